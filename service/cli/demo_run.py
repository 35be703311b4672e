"""The stages of the demo: install, start, send, wait, fetch, stop, verify."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from pydicom import Dataset, dcmread

from core.clock import utc_now
from core.errors import InputError, UnavailableError
from core.findings import Box
from dicom_node.association import Destination
from dicom_node.part10 import from_part10
from dicom_node.server import DicomNode
from dicom_node.store_scu import SendState, send
from imaging.decode import Decoder
from imaging.render import png
from inference.errors import UnknownModelError
from inference.model import load_model
from inference.protocol import LONGEST_PATH
from inference.registry import Registry
from service.cli.audit_desk import as_json, every_event, verified
from service.cli.desk import sequence
from service.cli.options import installation, to_json
from service.cli.setup import install
from service.demo_frame import draw_frame
from service.demo_pacs import AE_TITLE as PACS_TITLE
from service.demo_pacs import Inbox, demo_pacs
from service.demo_study import DemoStudy, demo_study
from service.foundation import opened
from service.sr_text import sr_text

PEER, PEER_TITLE, OUR_TITLE = "demo", "DEMO_ENDOSCOPE", "SECOND_READER"
MODELS = ("polyp", "demo")
"""In the order of preference; `demo` is a package of its own, for drawn frames only."""
START_S, READ_S, STOP_S = 60.0, 90.0, 45.0
POLL_S = 0.5
SR = "1.2.840.10008.5.1.4.1.1.88."


class DemoError(UnavailableError):
    """A stage of the demo did not come to its end."""


@dataclass(frozen=True)
class Outcome:
    """What the demo left behind."""

    results: dict[str, Any]
    """As REST gave them."""
    drawn_at: str
    verification: str
    files: dict[str, Path]
    """By what each of them is."""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Demo:
    """One run, in a folder of its own."""

    folder: Path
    seed: int
    model: str | None
    tell: Callable[[str], None]
    dicom_port: int = field(default_factory=_free_port)
    api_port: int = field(default_factory=_free_port)
    _api_key: str = field(default="", repr=False)

    @property
    def config(self) -> Path:
        """Settings of the demo's own installation."""
        return self.folder / "installation" / "config.yaml"

    @property
    def log(self) -> Path:
        """What the service wrote to standard error."""
        return self.folder / "service.log"

    @property
    def checkpoints(self) -> Path:
        """The checkpoints that are kept outside of the installation."""
        return self.folder / "checkpoints-kept-outside"

    def run(self) -> Outcome:
        """Go through all stages.

        Raises
        ------
        DemoError
            Naming the stage that failed, and the log.
        """
        for name in ("sent", "results"):
            (self.folder / name).mkdir(parents=True)
        picture, (drawn,) = draw_frame(self.seed)
        study = demo_study(picture, utc_now())
        self._write("sent/frame.png", png(picture))
        self._write("sent/frame.dcm", study.part10)
        chosen = model_for(picture, Registry(), *([self.model] if self.model else MODELS))
        inbox = Inbox(self.folder / "results")
        pacs = demo_pacs(inbox, OUR_TITLE)
        pacs.start()
        try:
            self._install(chosen, pacs)
            with self._service():
                self._send(study)
                results = self._results(study)
                self._await_delivery(study)
        finally:
            pacs.stop()
        self.tell("stopped the service; verifying the audit log")
        verification = self._verified_log()
        self._name_results(inbox)
        return Outcome(results, _corners(drawn), verification, self._files())

    def _install(self, model: str, pacs: DicomNode) -> None:
        settings = self._settings(model, pacs)
        made = install(self.config.parent, yaml.safe_dump(settings, sort_keys=False))
        self._api_key = made.api_key
        self.tell(f"installed; model {model}, DICOM on port {self.dicom_port}")

    def _settings(self, model: str, pacs: DicomNode) -> dict[str, Any]:
        destination = {
            "name": "pacs",
            "host": "127.0.0.1",
            "port": pacs.port,
            "called_ae_title": PACS_TITLE,
        }
        inference: dict[str, Any] = {"models": [{"name": model, "peers": [PEER]}]}
        if len(str(self.config.parent / "run" / "reader.sock").encode()) > LONGEST_PATH:
            short = Path(tempfile.mkdtemp(prefix="sr-demo-"))
            inference["socket"] = str(short / "reader.sock")
        return {
            "dicom_node": {
                "ae_title": OUR_TITLE,
                "host": "127.0.0.1",
                "port": self.dicom_port,
                "peers": [{"name": PEER, "ae_title": PEER_TITLE, "addresses": ["127.0.0.0/8"]}],
            },
            "completeness": {"quiet_time_s": 1.0, "by_modality": {}},
            "inference": inference,
            "delivery": {"destinations": [destination]},
            "audit": {"source_id": "demo", "checkpoint_files": [str(self.checkpoints)]},
            "api": {"host": "127.0.0.1", "port": self.api_port},
        }

    @contextmanager
    def _service(self) -> Iterator[None]:
        """Run the service as an operator would, in processes of its own."""
        command = [sys.executable, "-m", "service", "serve", "--config", str(self.config)]
        with self.log.open("wb") as log:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=_environment()
            )
        try:
            self._await_ready(process)
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _await_ready(self, process: "subprocess.Popen[bytes]") -> None:
        self.tell("starting the service")
        deadline, why = time.monotonic() + START_S, ""
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise self._failed(f"the service ended with {process.returncode}")
            try:
                self._get("/readyz")
            except urllib.error.HTTPError as error:
                why = _unready(error)
            except (OSError, ValueError):
                why = "nothing answers"
            else:
                return
            time.sleep(0.2)
        raise self._failed(f"the service was not ready within {START_S:g} s: {why}")

    def _send(self, study: DemoStudy) -> None:
        to = Destination("service", "127.0.0.1", self.dicom_port, OUR_TITLE, PEER_TITLE)
        (outcome,) = send([from_part10(lambda: [study.part10])], to)
        if outcome.state is SendState.FAILED:
            raise self._failed(f"the frame was not taken: {outcome.text}")
        self.tell("sent the drawn frame by C-STORE; waiting for the result")

    def _results(self, study: DemoStudy) -> dict[str, Any]:
        deadline, shown = time.monotonic() + READ_S, ""
        address = f"/v1/studies/{study.study_instance_uid}"
        while time.monotonic() < deadline:
            found = self._get(address)
            if found["state"] != shown:
                shown = found["state"]
                self.tell(f"the study is {shown}")
            if shown in {"FAILED", "HELD", "CANCELED"}:
                last = found["journey"][-1] if found["journey"] else {}
                raise self._failed(f"the study is {shown}: {last.get('reason', '')}")
            if shown == "COMPLETED":
                results: dict[str, Any] = self._get(f"{address}/results")
                self._write("results/results.json", to_json(results).encode())
                if not any(reading["findings"] for reading in results["readings"]):
                    raise self._failed("the model found nothing on the drawn frame")
                return results
            time.sleep(POLL_S)
        raise self._failed(f"the study was not read within {READ_S:g} s")

    def _await_delivery(self, study: DemoStudy) -> None:
        deadline = time.monotonic() + READ_S
        while time.monotonic() < deadline:
            found = self._get(f"/v1/studies/{study.study_instance_uid}")
            states = [delivery["state"] for delivery in found["deliveries"]]
            if states and set(states) == {"COMPLETED"}:
                self._write("results/study.json", to_json(found).encode())
                self.tell(f"delivered {len(states)} result objects by C-STORE")
                return
            time.sleep(POLL_S)
        raise self._failed(f"the results were not delivered within {READ_S:g} s")

    def _verified_log(self) -> str:
        with opened(installation(self.config), "cli") as foundation:
            sequence(foundation)
            report = verified(foundation, [self.checkpoints])
            events = [as_json(logged) for logged in every_event(foundation)]
        self._write("audit/events.json", to_json(events).encode())
        self._write("audit/verification.txt", f"{report.summary()}\n".encode())
        if not report.is_ok:
            raise self._failed(f"the audit log does not hold: {report.summary()}")
        return f"The audit log holds. {report.summary()}"

    def _name_results(self, inbox: Inbox) -> None:
        """Give the delivered objects names that a person finds, and make them readable."""
        for path in inbox.received:
            dataset = dcmread(path)
            is_report = str(dataset.SOPClassUID).startswith(SR)
            path.rename(path.with_name("report.dcm" if is_report else "capture.dcm"))
            if is_report:
                self._write("results/report.txt", sr_text(dataset).encode())
            else:
                self._write_capture(dataset)

    def _write_capture(self, dataset: Dataset) -> None:
        content = (self.folder / "results" / "capture.dcm").read_bytes()
        with Decoder() as decoder:
            self._write("results/capture.png", png(decoder.display_frames(content, frames=[1])[0]))
        if dataset.PatientName != "Invented^Iris":
            raise self._failed("the capture came back under another name")

    def _files(self) -> dict[str, Path]:
        files = {
            "the drawn frame": "sent/frame.png",
            "the report (DICOM SR), as text": "results/report.txt",
            "the report (DICOM SR)": "results/report.dcm",
            "the capture": "results/capture.png",
            "the capture (DICOM)": "results/capture.dcm",
            "the result as JSON, from REST": "results/results.json",
            "the audit log, opened": "audit/events.json",
            "the audit log, verified": "audit/verification.txt",
            "the service's own log": "service.log",
        }
        missing = [name for name in files.values() if not (self.folder / name).exists()]
        if missing:
            raise self._failed(f"{', '.join(missing)} was not made")
        return {what: self.folder / name for what, name in files.items()}

    def _get(self, path: str) -> Any:  # noqa: ANN401 - JSON
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.api_port}{path}",
            headers={"Authorization": f"Bearer {self._api_key}"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - loopback
            return json.loads(answer.read())

    def _write(self, name: str, content: bytes) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def _failed(self, what: str) -> DemoError:
        return DemoError(what, remedy=f"See {self.log}")


def scratch_folder(folder: Path | None) -> Path:
    """Return the folder of a run: a new temporary one, or the one that was named.

    Raises
    ------
    InputError
        If that is there and holds something.
    """
    if folder is None:
        return Path(tempfile.mkdtemp(prefix="second-reader-demo-"))
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is there already", remedy="Name a folder that is not")
    return folder.absolute()


def model_for(picture: NDArray[np.uint8], registry: Registry, *names: str) -> str:
    """Return the first of these models that finds the drawn polyp.

    Raises
    ------
    DemoError
        If none does, or none is here.
    """
    missing: list[str] = []
    for name in names:
        try:
            model = load_model(registry.get(name))
        except UnknownModelError as error:
            missing.append(error.message)
            continue
        found = model.detect(picture)
        model.close()
        if found:
            return name
    raise DemoError(
        "; ".join(["no model finds the drawn polyp", *missing]),
        remedy="Draw another one with --seed, or name another model with --model",
    )


def _unready(error: urllib.error.HTTPError) -> str:
    """Say which parts are not ready, as `/readyz` told it."""
    try:
        parts = json.loads(error.read())["parts"]
        return "; ".join(f"{p['name']}: {p['reason']}" for p in parts if not p["is_ready"])
    except (OSError, ValueError, LookupError):
        return f"it answers {error.code}"


def _environment() -> dict[str, str]:
    """Let the service find our own modules, wherever the demo was started."""
    root = str(Path(__file__).resolve().parents[2])
    path = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": root if not path else f"{root}{os.pathsep}{path}"}


def _corners(box: Box) -> str:
    return f"{box.x1:.0f}, {box.y1:.0f}, {box.x2:.0f}, {box.y2:.0f}"
