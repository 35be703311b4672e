"""What a model says about a study: findings, where they are, and what was not looked at.

A finding names an instance key and a frame, both ours, and nothing of a patient: it was made from
the de-identified copy and is put back under an identity only by the encoders in `results`.
"""

from dataclasses import dataclass
from enum import StrEnum

from core.codes import Code
from core.model import InstanceKey


@dataclass(frozen=True, order=True)
class FrameReference:
    """One frame of one instance."""

    instance_key: InstanceKey
    frame: int
    """1 for the first, as in Referenced Frame Number (0008,1160)."""


@dataclass(frozen=True)
class Box:
    """An axis-parallel rectangle in pixels of the source image.

    x to the right, y down, origin at the top left corner of the top left pixel; x2 and y2
    are exclusive, so that a box of one pixel is (0, 0, 1, 1).
    """

    x1: float
    y1: float
    x2: float
    y2: float


@dataclass(frozen=True)
class Polygon:
    """A closed outline in pixels of the source image, in the coordinates of `Box`."""

    points: tuple[tuple[float, float], ...]


Region = Box | Polygon


@dataclass(frozen=True)
class Measurement:
    """One number about a finding, with its unit (UCUM)."""

    concept: Code
    value: float
    unit: Code


@dataclass(frozen=True)
class Finding:
    """One claim of one model about one frame."""

    concept: Code
    label: str
    """The model's own name of the class, as on the wire of `/v1/detect`."""
    score: float
    """0 to 1, as the model gives it; not a probability."""
    probability: float | None
    """None until the model's card carries a calibration."""
    frame: FrameReference
    region: Region | None
    measurements: tuple[Measurement, ...] = ()


@dataclass(frozen=True)
class Algorithm:
    """Which model spoke, so exactly that the same answer could be had again."""

    name: str
    version: str
    manufacturer: str
    digest: str
    """SHA-256 of the model package, hex."""
    parameters: tuple[tuple[str, str], ...]
    """The effective configuration: threshold, input size and what else changes the answer."""
    threshold: float
    labels: tuple[str, ...]
    """Everything it can find; what a "no finding" is about."""
    concept: Code
    """The procedure or finding class that the model as a whole evaluates."""
    finding_site: Code | None = None


class Outcome(StrEnum):
    """What became of one instance, or of a whole reading."""

    EVALUATED = "evaluated"
    NOT_EVALUATED = "not evaluated"
    """The model does not accept it; no fault."""
    COULD_NOT_PROCESS = "could not process"
    """It should have been evaluated and was not."""


@dataclass(frozen=True)
class Evaluation:
    """What became of one instance in one reading."""

    instance_key: InstanceKey
    outcome: Outcome
    frames: int = 0
    """How many frames the model saw."""
    reason: str = ""
    """One sentence without patient data; empty if evaluated."""


class Conclusion(StrEnum):
    """What a reading as a whole says; each is a result of its own kind (protocol A8)."""

    FINDINGS = "findings"
    NO_FINDING = "no finding"
    """Every selected instance was evaluated, and nothing above the threshold was found."""
    NOT_EVALUATED = "not evaluated"
    COULD_NOT_PROCESS = "could not process"


@dataclass(frozen=True)
class Reading:
    """Everything one model says about one revision of a study."""

    algorithm: Algorithm
    findings: tuple[Finding, ...]
    evaluations: tuple[Evaluation, ...]
    """One for each instance of the revision, selected or not."""

    @property
    def evaluated(self) -> int:
        """How many instances the model saw."""
        return self._count(Outcome.EVALUATED)

    @property
    def failed(self) -> int:
        """How many instances it should have seen and could not."""
        return self._count(Outcome.COULD_NOT_PROCESS)

    @property
    def is_complete(self) -> bool:
        """Whether every instance that the model accepts was evaluated."""
        return self.failed == 0

    @property
    def conclusion(self) -> Conclusion:
        """What the reading says; never "no finding" while an instance could not be processed."""
        if self.findings:
            return Conclusion.FINDINGS
        if self.failed:
            return Conclusion.COULD_NOT_PROCESS
        return Conclusion.NO_FINDING if self.evaluated else Conclusion.NOT_EVALUATED

    def _count(self, outcome: Outcome) -> int:
        return sum(evaluation.outcome is outcome for evaluation in self.evaluations)
