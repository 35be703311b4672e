"""Invented readings of invented studies."""

from collections.abc import Mapping
from datetime import UTC, datetime
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset

from core.codes import COLON, POLYP
from core.findings import (
    Algorithm,
    Box,
    Conclusion,
    Evaluation,
    Finding,
    FrameReference,
    Outcome,
    Reading,
    Region,
)
from core.model import Instance, InstanceKey, RevisionKey, StudyKey
from results.conformance import Border
from results.provenance import Equipment, ResultContext, Side, SourceInstance, StudySources
from results.settings import ResultsSettings
from tests.support.builders import endoscopic_image, part10

KEY = InstanceKey("instance-1")
FRAME = FrameReference(KEY, 1)
BOX = Box(3, 4, 20, 25.5)
MOMENT = datetime(2026, 3, 1, 11, 0, 5, tzinfo=UTC)

ALGORITHM = Algorithm(
    name="polyp",
    version="1.0.0",
    manufacturer="Second Reader",
    digest="ab" * 32,
    parameters=(("input", "352"),),
    threshold=0.25,
    labels=("polyp",),
    concept=POLYP,
    finding_site=COLON,
)


def finding(
    score: float = 0.87, *, frame: FrameReference = FRAME, region: Region | None = BOX
) -> Finding:
    return Finding(POLYP, "polyp", score, None, frame, region)


def reading(
    *findings: Finding,
    outcome: Outcome = Outcome.EVALUATED,
    reason: str = "",
    algorithm: Algorithm = ALGORITHM,
) -> Reading:
    """A reading of one instance."""
    frames = 1 if outcome is Outcome.EVALUATED else 0
    return Reading(algorithm, findings, (Evaluation(KEY, outcome, frames, reason),))


READINGS: Mapping[Conclusion, Reading] = {
    Conclusion.FINDINGS: reading(finding(0.87), finding(0.44)),
    Conclusion.NO_FINDING: reading(),
    Conclusion.NOT_EVALUATED: reading(
        outcome=Outcome.NOT_EVALUATED, reason="the model accepts no CT"
    ),
    Conclusion.COULD_NOT_PROCESS: reading(
        outcome=Outcome.COULD_NOT_PROCESS, reason="the pixels cannot be decoded"
    ),
}


def context(
    settings: ResultsSettings | None = None, *, revision: int = 1, identity_version: int = 1
) -> ResultContext:
    return ResultContext(
        result_key=b"k" * 32,
        side=Side.CLINICAL,
        revision=RevisionKey(StudyKey("study-1"), revision),
        identity_version=identity_version,
        moment=MOMENT,
        completed_by="quiet for 180 s",
        equipment=Equipment("0.1.0", "installation-1"),
        settings=settings or ResultsSettings(),
    )


def source(dataset: FileDataset | None = None, key: InstanceKey = KEY) -> SourceInstance:
    whole = endoscopic_image() if dataset is None else dataset
    return SourceInstance.read(key, BytesIO(part10(whole)))


def sources(dataset: FileDataset | None = None) -> StudySources:
    return StudySources((source(dataset),))


def multi_frame_image(frames: int) -> FileDataset:
    """A Multi-frame True Color Secondary Capture (header only) of the invented patient."""
    return endoscopic_image(
        attributes={
            "SOPClassUID": "1.2.840.10008.5.1.4.1.1.7.4",
            "NumberOfFrames": frames,
            "PixelData": None,
        }
    )


def border(originals: Dataset, *others: Dataset) -> Border:
    """What intake sealed of these originals."""
    instances = [
        Instance.parse(each, transfer_syntax_uid="1.2.840.10008.1.2.1")
        for each in (originals, *others)
    ]
    return Border(instances[0].identity, {each.sop_instance_uid: each for each in instances})


def read_back(encoded: bytes) -> FileDataset:
    return dcmread(BytesIO(encoded))


def frame_pixels(rows: int = 32, columns: int = 32) -> NDArray[np.uint8]:
    """Noise, the same each time."""
    noise = np.random.default_rng(1).integers(0, 256, (rows, columns, 3))
    return noise.astype(np.uint8)
