# syntax=docker/dockerfile:1
# Two images from one file:
#   docker build --target service .          reads with ONNX Runtime; no torch
#   docker build --target service-torch .    also trains, and reads .pt models
# Run with a read-only root file system; only /data is written:
#   docker run --read-only --tmpfs /tmp -v second-reader:/data -p 11112:11112 -p 8080:8080 second-reader

FROM python:3.11-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/second-reader
ENV PATH=/opt/second-reader/bin:$PATH
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY core core
COPY archive archive
COPY audit audit
COPY imaging imaging
COPY dicom_node dicom_node
COPY anonymizer anonymizer
COPY inference inference
COPY results results
COPY api api
COPY service service
RUN pip install --constraint constraints.txt '.[hsm,postgres]'

FROM build AS build-torch
RUN pip install --constraint constraints.txt '.[torch,hsm,postgres]'

FROM python:3.11-slim AS runtime
RUN useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin reader \
    && install --directory --owner reader --group reader --mode 0700 /data
ENV PATH=/opt/second-reader/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER reader
WORKDIR /data
VOLUME /data
EXPOSE 11112 8080
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/readyz', timeout=4)"]
ENTRYPOINT ["second-reader"]
CMD ["serve", "--config", "/data/config.yaml"]

FROM runtime AS service-torch
COPY --from=build-torch /opt/second-reader /opt/second-reader

FROM runtime AS service
COPY --from=build /opt/second-reader /opt/second-reader
