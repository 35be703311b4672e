"""Values that identify the patient, looked for in everything that stays.

Table E.1-1 replaces attributes, but people type: a name ends up in a device's comment. Whatever an
object's own replaced attributes said must not stand anywhere else in it.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache

from anonymizer.uid_map import is_standard
from core.model import PatientIdentity

MIN_NAME = 3
MIN_ID = 4
MIN_NUMBER = 5
"""Shorter numbers count everything; they single out nobody."""
MIN_UID = 8
MIN_ANYWHERE = 5
"""Shorter values count only as a whole word: `Lee` is no part of `sleep`."""

_NAME_PARTS = re.compile(r"[\s^=,;.]+")
_DAY = re.compile(r"\d{8}")
_IDENTIFIER = re.compile(
    r"(ID|IDs|Identifier|Identification|Number|Numbers|Address|Locator|Residence|Location"
    r"|Organization|Service|ID\w*Issuer|Telephone\w*|Telecom\w*)$"
    r"|^(Institution|Station|Issuer)"
)
"""Keywords whose values are an identifier, a place or an organization."""


@cache
def is_identifier(keyword: str) -> bool:
    """Whether the values of an attribute of the table single out a person, place or thing."""
    return _IDENTIFIER.search(keyword) is not None


@dataclass
class KnownValues:
    """What the replaced attributes of one object said, in lower case."""

    values: set[str] = field(default_factory=set, repr=False)

    def learn(self, keyword: str, vr: str, values: list[str]) -> None:
        """Take the values of an attribute that is being replaced."""
        if vr == "PN":
            self._learn_names(values)
        elif vr == "UI":
            self._add((value for value in values if not is_standard(value)), MIN_UID)
        elif vr in {"DA", "DT"}:
            self._add((value[:8] for value in values if _DAY.match(value)), 8)
        elif is_identifier(keyword):
            self._add((value for value in values if not value.isdecimal()), MIN_ID)
            self._add((value for value in values if value.isdecimal()), MIN_NUMBER)

    def _learn_names(self, names: list[str]) -> None:
        for group in (group for name in names for group in name.split("=")):
            parts = _NAME_PARTS.split(group)
            self._add(parts, MIN_NAME)
            # Ideographic names are short, and written without a space between their parts.
            self._add((part for part in (*parts, "".join(parts)) if _is_ideographic(part)), 2)

    def learn_patient(self, patient: PatientIdentity) -> None:
        """Take who the patient is, even if this object does not say so where it should."""
        self.learn("PatientName", "PN", [patient.patient_name])
        self.learn("PatientID", "LO", [patient.patient_id])
        self.learn("PatientBirthDate", "DA", [patient.patient_birth_date])

    def in_text(self, text: str) -> bool:
        """Whether any of the values stands in `text`."""
        lowered = text.casefold()
        return any(value in lowered and _stands(value, lowered) for value in self.values)

    def in_bytes(self, text: str) -> bool:
        """Whether any of the longer values stands in `text`, which is no text."""
        lowered = text.casefold()
        return any(len(value) >= MIN_ANYWHERE and value in lowered for value in self.values)

    def is_one(self, text: str) -> bool:
        """Whether `text` is one of the longer values as a whole."""
        return len(text) >= MIN_ANYWHERE and text.casefold() in self.values

    def _add(self, values: Iterable[str], minimum: int) -> None:
        self.values.update(value.casefold() for value in values if len(value) >= minimum)


def _is_ideographic(text: str) -> bool:
    """Whether a text is in a script that puts no space between words. Source: Unicode blocks."""
    return bool(text) and all(character >= "\u2e80" for character in text)


def _stands(value: str, text: str) -> bool:
    if len(value) >= MIN_ANYWHERE or _is_ideographic(value):
        return True
    return re.search(rf"(?<!\w){re.escape(value)}(?!\w)", text) is not None
