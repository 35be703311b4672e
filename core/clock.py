"""The clock we hand in, and DICOM's dates and times to and from Python's."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime

from core.errors import InputError

Clock = Callable[[], datetime]
"""Returns the present as an aware `datetime` in UTC."""

_DA = re.compile(r"(\d{4})\.?(\d{2})\.?(\d{2})")


def utc_now() -> datetime:
    """Return the present, in UTC."""
    return datetime.now(UTC)


def parse_da(value: str) -> date:
    """Read a DICOM date (DA), the retired form with dots included. Source: PS3.5 6.2.

    Raises
    ------
    InputError
        If `value` is not a date of the calendar.
    """
    match = _DA.fullmatch(value.strip())
    if match is None:
        raise InputError("a date is not of the form YYYYMMDD")
    try:
        return date(*(int(part) for part in match.groups()))
    except ValueError as error:
        raise InputError("a date is not in the calendar") from error


def format_da(day: date) -> str:
    """Write a DICOM date (DA). Source: PS3.5 6.2."""
    return f"{day.year:04d}{day.month:02d}{day.day:02d}"


def format_tm(moment: datetime) -> str:
    """Write a DICOM time (TM) to the second. Source: PS3.5 6.2."""
    return moment.strftime("%H%M%S")


def format_dt(moment: datetime) -> str:
    """Write a DICOM date-time (DT) with its offset from UTC. Source: PS3.5 6.2."""
    return moment.strftime("%Y%m%d%H%M%S.%f%z")
