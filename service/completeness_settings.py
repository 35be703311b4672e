"""The `completeness:` section of config.yaml."""

from collections.abc import Mapping
from typing import Self

from pydantic import BaseModel, Field, PositiveFloat, model_validator


class CompletenessRule(BaseModel, frozen=True, extra="forbid"):
    """One exception from the quiet times by modality."""

    name: str = Field(pattern=r"^[A-Za-z0-9._ -]{1,64}$")
    """What `study show` calls the rule when it decided."""
    peer: str | None = None
    """Only for what this peer (its name under `dicom_node.peers`) sent; by default any."""
    called_ae_title: str | None = None
    """Only for what was sent to this AE title of ours; by default any."""
    modality: str | None = None
    """Only for series of this modality, such as CT; by default any."""
    quiet_time_s: PositiveFloat
    """How long nothing more may arrive before the study counts as complete."""

    @model_validator(mode="after")
    def _say_for_what(self) -> Self:
        if self.peer is None and self.called_ae_title is None and self.modality is None:
            raise ValueError("a rule names a peer, a called_ae_title or a modality")
        return self


class CompletenessSettings(BaseModel, frozen=True, extra="forbid"):
    """The `completeness:` section of config.yaml."""

    quiet_time_s: PositiveFloat = 60.0
    """A study is complete when nothing more of it arrived for so long and no association that
    brought some of it is still open."""
    by_modality: Mapping[str, PositiveFloat] = Field(
        default_factory=lambda: {"ES": 180.0, "US": 180.0}
    )
    """Longer or shorter quiet times in seconds: endoscopes and ultrasound send while they examine,
    with pauses. The longest of a study's modalities counts."""
    rules: tuple[CompletenessRule, ...] = ()
    """Exceptions by peer, called AE title or modality; the first that fits a series decides."""
    association_lease_s: PositiveFloat = 30.0
    """An association that was not reported alive for so long is no longer waited for; its process
    may have died. Several times `dicom_node.heartbeat_s`."""
    longest_association_wait_s: PositiveFloat = 600.0
    """An open association that brought nothing of a study for so long no longer keeps that study
    waiting; some senders never hang up."""
    check_interval_s: PositiveFloat = 1.0
    """How often the worker looks for studies that have become complete."""
