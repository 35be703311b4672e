"""One run of `detect`: the models in this process, behind the same border as in the service."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy import uint8
from numpy.typing import NDArray
from pydicom.dataset import FileDataset

from anonymizer.deidentifier import deidentify
from anonymizer.part10 import write
from anonymizer.settings import MODELS, AnonymizerSettings
from api.views import DetectionAnswer, DetectionRequest, Medium
from api.wording import bounding_box, outline
from audit import triggers
from audit.parties import StudyContent, medium
from audit.vocabulary import Media, Outcome
from core.clock import utc_now
from core.errors import InputError, ServiceError
from core.findings import Box, Conclusion, Finding
from core.model import StudyIdentity, study_identity
from core.uids import random_uid
from imaging.decode import Decoder
from imaging.pictures import strip_metadata
from imaging.render import Mark, draw, png
from inference.engine import Engine
from inference.registry import SHIPPED, Registry
from inference.settings import InferenceSettings
from service.cli.desk import Desk, at_desk_if_any
from service.cli.releasing import OneTimeKeys, object_limits
from service.detection import Detection, InThisProcess
from service.objects import MAX_OBJECT_BYTES

NOTICE = "For research and second reading; not for diagnosis."
_NO_LIMIT_S = 3600.0


@dataclass(frozen=True)
class Options:
    """What may be said about a detection besides the file."""

    model: str | None = None
    confidence: float | None = None
    overlay: Path | None = None


@dataclass
class Border:
    """Where the identity of an object stops; remembers the copy, to draw on."""

    settings: AnonymizerSettings
    released: bytes = b""
    identity: StudyIdentity | None = None
    keys: OneTimeKeys = field(default_factory=OneTimeKeys)

    def release(self, dataset: FileDataset) -> bytes:
        """Return the de-identified copy, which alone a model sees."""
        self.identity = study_identity(dataset)
        replacement = self.keys.replacement(self.identity, self.settings)
        self.released = write(
            deidentify(dataset, self.settings.profile(MODELS), replacement).released
        )
        return self.released


def detect_file(file: Path, config: Path | None, options: Options) -> dict[str, Any]:
    """Read one file, draw what was found if asked to; return the answer of `/v1/detect`.

    Raises
    ------
    InputError
        If the model does not read such a file, or the overlay is there already.
    """
    if options.overlay is not None and options.overlay.exists():
        raise InputError(f"{options.overlay} is there already", remedy="Name another file")
    request = _request(file, options)
    with at_desk_if_any("detect", config) as desk:
        inference, folders, anonymizer = _settings(desk)
        border = Border(anonymizer)
        registry = Registry((SHIPPED, *folders))
        with (
            _recorded(desk, file, border),
            Decoder(inference.decoder.limits()) as decoder,
            Engine(registry, decoder, threads=inference.threads) as engine,
        ):
            detection = Detection(
                InThisProcess(engine),
                registry,
                inference.models,
                border.release,
                utc_now,
                object_limits(desk),
            )
            answer = detection.detect(request)
            _refuse_unread(answer)
            if options.overlay is not None:
                pixels = _pixels(request, answer, border, engine, decoder)
                _write_overlay(options.overlay, pixels, answer)
    return on_the_wire(answer)


def on_the_wire(answer: DetectionAnswer) -> dict[str, Any]:
    """Return what `/v1/detect` answers (`api.schemas.DetectAnswer`)."""
    algorithm = answer.reading.algorithm
    return {
        "detections": [_detection(finding) for finding in answer.reading.findings],
        "processed_at": answer.processed_at,
        "model_version": f"{algorithm.name} {algorithm.version}",
        "model": {
            "name": algorithm.name,
            "version": algorithm.version,
            "digest": algorithm.digest,
        },
        "threshold": algorithm.threshold,
        "conclusion": answer.reading.conclusion,
        "image": {
            "rows": answer.rows,
            "columns": answer.columns,
            "number_of_frames": answer.number_of_frames,
        },
        "request_id": random_uid(),
        "notice": NOTICE,
    }


def _detection(finding: Finding) -> dict[str, Any]:
    return {
        "bbox": bounding_box(finding.region),
        "outline": outline(finding.region),
        "confidence": finding.score,
        "class": finding.label,
        "frame": finding.frame.frame,
    }


def _request(file: Path, options: Options) -> DetectionRequest:
    if not file.is_file():
        raise InputError(f"{file} is no file")
    if file.stat().st_size > MAX_OBJECT_BYTES:
        raise InputError(f"{file} is longer than 2 GiB")
    content = file.read_bytes()
    kind = Medium.DICOM if content[128:132] == b"DICM" else Medium.PICTURE
    return DetectionRequest(kind, content, options.model, options.confidence, _NO_LIMIT_S)


def _settings(
    desk: Desk | None,
) -> tuple[InferenceSettings, tuple[Path, ...], AnonymizerSettings]:
    if desk is None:
        return InferenceSettings(), (), AnonymizerSettings()
    ours = desk.foundation.installation
    inference = ours.settings.inference
    folders = tuple(ours.path(folder) for folder in inference.package_folders)
    return inference, folders, ours.settings.anonymizer


@contextmanager
def _recorded(desk: Desk | None, file: Path, border: Border) -> Iterator[None]:
    """Record that the file of the block came in, however the block ends."""
    outcome, why = Outcome.SERIOUS_FAILURE, "a defect"
    try:
        yield
        outcome, why = Outcome.SUCCESS, ""
    except ServiceError as error:
        refused = isinstance(error, InputError)
        outcome = Outcome.MINOR_FAILURE if refused else Outcome.SERIOUS_FAILURE
        why = error.message
        raise
    finally:
        if desk is not None:
            studies = () if border.identity is None else (StudyContent(border.identity),)
            event = triggers.data_import(
                desk.stamp(),
                (desk.who,),
                medium(file.absolute().as_uri(), Media.URI),
                studies=studies,
            )
            desk.record(event.ended(outcome, why))


def _refuse_unread(answer: DetectionAnswer) -> None:
    """Refuse to answer for a file that was not read; an empty list would say "no finding"."""
    reading = answer.reading
    if reading.conclusion in {Conclusion.NOT_EVALUATED, Conclusion.COULD_NOT_PROCESS}:
        reasons = {evaluation.reason for evaluation in reading.evaluations} - {""}
        raise InputError(
            f"{reading.algorithm.name}: {reading.conclusion}: {'; '.join(sorted(reasons))}",
            remedy="`second-reader model show` says what a model accepts",
        )


def _pixels(
    request: DetectionRequest,
    answer: DetectionAnswer,
    border: Border,
    engine: Engine,
    decoder: Decoder,
) -> NDArray[uint8]:
    """Return the display values of the frame that is drawn on."""
    if request.medium is Medium.PICTURE:
        return decoder.picture(strip_metadata(request.content))
    algorithm = answer.reading.algorithm
    window = engine.model(algorithm.name, algorithm.version).window
    return decoder.display_frames(border.released, frames=[_frame(answer)], window=window)[0]


def _frame(answer: DetectionAnswer) -> int:
    """Return the frame with the highest score; the first one if nothing was found."""
    best = max(answer.reading.findings, key=lambda finding: finding.score, default=None)
    return 1 if best is None else best.frame.frame


def _write_overlay(path: Path, pixels: NDArray[uint8], answer: DetectionAnswer) -> None:
    algorithm, frame = answer.reading.algorithm, _frame(answer)
    labels = algorithm.labels
    marks = [
        Mark(finding.region, f"{finding.label} {finding.score:.2f}", labels.index(finding.label))
        for finding in answer.reading.findings
        if isinstance(finding.region, Box) and finding.frame.frame == frame
    ]
    banner = [f"{algorithm.name} {algorithm.version}, frame {frame}", NOTICE]
    content = png(draw(pixels, marks, banner=banner))
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
