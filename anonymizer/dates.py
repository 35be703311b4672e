"""Dates moved by one secret number of days for each patient. Source: PS3.15 E.3.6.

Times of day stay: a whole number of days keeps every interval, leap days and offsets from UTC
included, because a date-time with its offset is moved as the day it says.
"""

import re
from dataclasses import dataclass, field
from datetime import date, timedelta

from anonymizer.pseudonyms import Subject
from core.clock import format_da, parse_da
from core.errors import InputError
from core.uids import keyed_digest

_DT = re.compile(
    r"(?P<year>\d{4})(?P<month>\d{2})?(?(month)(?P<day>\d{2})?)"
    r"(?(day)(?P<time>(\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?)?))(?P<offset>[+-]\d{4})?"
)
_TM = re.compile(r"\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?|\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?")
_OFFSET = re.compile(r"[+-]\d{4}")


@dataclass(frozen=True)
class DateShifter:
    """Moves all dates of one patient into the past."""

    days: int = field(repr=False)

    @classmethod
    def of(cls, key: bytes, subject: Subject, *, max_days: int) -> "DateShifter":
        """Draw the patient's own number of days, 1 to `max_days`, from the key."""
        digest = keyed_digest(key, "date shift", subject.kind, *subject.parts)
        return cls(1 + int.from_bytes(digest) % max_days)

    def da(self, value: str) -> str | None:
        """Move a date (DA); None if it is not one."""
        try:
            return format_da(self._moved(parse_da(value)))
        except (InputError, OverflowError):
            return None

    def dt(self, value: str) -> str | None:
        """Move a date-time (DT) and keep its precision; None if it is not one.

        A value without day or month is moved from the first day it may mean.
        """
        match = _DT.fullmatch(value.strip())
        if match is None:
            return None
        day = match["year"] + (match["month"] or "01") + (match["day"] or "01")
        moved = self.da(day)
        if moved is None:
            return None
        digits = 4 + 2 * bool(match["month"]) + 2 * bool(match["day"])
        return moved[:digits] + (match["time"] or "") + (match["offset"] or "")

    def _moved(self, day: date) -> date:
        return day - timedelta(days=self.days)


def is_tm(value: str) -> bool:
    """Whether `value` is a time of day (TM), the retired form with colons included."""
    return _TM.fullmatch(value.strip()) is not None


def is_utc_offset(value: str) -> bool:
    """Whether `value` is an offset from UTC. Source: PS3.3 C.12.1.1.8."""
    return _OFFSET.fullmatch(value.strip()) is not None
