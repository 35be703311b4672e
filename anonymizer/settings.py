"""The `anonymizer:` section of config.yaml."""

from typing import Annotated, Self

from pydantic import BaseModel, Field, StringConstraints, model_validator

from anonymizer.options import Option
from anonymizer.profile import Profile
from anonymizer.replacement import DATE_SHIFT_MAX_DAYS
from core.errors import ConfigurationError

MODELS = "models"
"""The profile of the copy that models see."""
_NAME = r"^[a-z][a-z0-9_-]{0,31}$"


class ProfileSettings(BaseModel, frozen=True, extra="forbid"):
    """One profile: the Basic profile of PS3.15, and what it keeps beyond it."""

    options: tuple[Option, ...] = (
        Option.RETAIN_MODIFIED_DATES,
        Option.RETAIN_PATIENT_CHARACTERISTICS,
    )
    """Options of PS3.15 E.3. By default intervals between dates and the patient's sex, age and
    size stay, because a model may need them; an empty list is the Basic profile alone."""


class AnonymizerSettings(BaseModel, frozen=True, extra="forbid"):
    """The `anonymizer:` section of config.yaml."""

    profiles: dict[Annotated[str, StringConstraints(pattern=_NAME)], ProfileSettings] = Field(
        default_factory=lambda: {MODELS: ProfileSettings()}
    )
    """Profiles by name; `models` is what models see and is there even if it is not named."""
    date_shift_max_days: int = Field(default=DATE_SHIFT_MAX_DAYS, ge=30, le=36_500)
    """Dates move 1 to this many days into the past. At least 30, because a small range can be
    guessed; changing it moves the dates of later objects of a patient by another amount."""

    @model_validator(mode="after")
    def _profiles_can_be_built(self) -> Self:
        for name in self.profiles:
            try:
                self.profile(name)
            except ConfigurationError as error:
                raise ValueError(str(error)) from None
        return self

    def profile(self, name: str) -> Profile:
        """Return the profile of that name.

        Raises
        ------
        ConfigurationError
            If there is none, its options contradict each other, or one is not available.
        """
        default = ProfileSettings() if name == MODELS else None
        chosen = self.profiles.get(name, default)
        if chosen is None:
            raise ConfigurationError(
                f"there is no profile {name!r}",
                remedy=f"Known: {', '.join(sorted({MODELS, *self.profiles}))}",
            )
        return Profile.of(name, chosen.options)
