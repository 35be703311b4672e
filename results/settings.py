"""The `results:` section of config.yaml."""

from typing import Literal, Self

from pydantic import BaseModel, Field, PositiveInt, model_validator

from core.findings import Conclusion


class ResultsSettings(BaseModel, frozen=True, extra="forbid"):
    """The `results:` section of config.yaml."""

    kinds: tuple[Literal["SR", "SC"], ...] = ("SR", "SC")
    """Which objects a reading becomes: SR for workstations that read structured reports, SC
    (secondary capture) for all others. Captures are never the only result (IHE AIR)."""
    captures_for: tuple[Conclusion, ...] = tuple(Conclusion)
    """Which conclusions get a capture; leave only `findings` where reading lists grow too long."""
    captures_max: PositiveInt = 16
    """At most so many frames of one reading are captured, those with the highest scores; the
    report still holds every finding, and says how many frames are shown."""
    captures_from: Literal["original", "released"] = "original"
    """Whose pixels a capture shows: the clinic's own, or the de-identified copy that the model
    saw."""
    series_number_base: int = Field(default=9000, ge=1, le=9_999_000)
    """Result series are numbered from here, so that they come after those of the modality."""
    institution_name: str = Field(default="", max_length=64)
    """Institution Name (0008,0080) of the equipment that made the results, which is this
    service; empty leaves it out."""

    @model_validator(mode="after")
    def _captures_are_not_alone(self) -> Self:
        if "SR" not in self.kinds:
            raise ValueError("kinds must hold SR; a capture is never the only result")
        return self
