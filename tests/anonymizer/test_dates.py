"""Dates move, intervals stay. Source: PS3.15 E.3.6; PS3.5 6.2."""

from datetime import date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anonymizer.dates import DateShifter, is_tm, is_utc_offset
from anonymizer.pseudonyms import Subject
from core.clock import format_da, parse_da

KEY = b"k" * 32
DAYS = st.dates(min_value=date(1920, 1, 1), max_value=date(2100, 12, 31))
SHIFTS = st.integers(1, 3650).map(DateShifter)


def of(patient_id: str, *, key: bytes = KEY, max_days: int = 3650) -> DateShifter:
    return DateShifter.of(key, Subject("patient", ("A", patient_id)), max_days=max_days)


@given(DAYS, DAYS, SHIFTS)
def test_the_interval_between_two_dates_survives(
    first: date, second: date, shift: DateShifter
) -> None:
    moved = [parse_da(shift.da(format_da(day)) or "") for day in (first, second)]
    assert moved[1] - moved[0] == second - first
    assert moved[0] < first


@given(
    st.datetimes(min_value=datetime(1920, 1, 1), max_value=datetime(2100, 1, 1)),  # noqa: DTZ001
    st.sampled_from(["+0000", "-0930", "+1400"]),
    SHIFTS,
)
def test_a_date_time_keeps_time_and_offset(
    moment: datetime, offset: str, shift: DateShifter
) -> None:
    text = moment.strftime("%Y%m%d%H%M%S.%f") + offset
    moved = shift.dt(text) or ""
    back = datetime.strptime(moved[:-5], "%Y%m%d%H%M%S.%f") + timedelta(shift.days)  # noqa: DTZ007
    assert (back, moved[-5:]) == (moment, offset)


def test_intervals_across_a_leap_day_survive() -> None:
    shift = of("P1")
    first, second = shift.da("20240227") or "", shift.da("20240301") or ""
    assert (parse_da(second) - parse_da(first)).days == 3


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2024", "2023"),
        ("202403", "202401"),
        ("20240301", "20240121"),
        ("2024030110", "2024012110"),
    ],
)
def test_a_date_time_keeps_its_precision(value: str, expected: str) -> None:
    assert DateShifter(40).dt(value) == expected


@given(st.text(max_size=12), st.integers(1, 50))
def test_the_shift_is_within_its_range_and_never_zero(patient_id: str, max_days: int) -> None:
    assert 1 <= of(patient_id, max_days=max_days).days <= max_days


def test_the_shift_belongs_to_patient_and_key() -> None:
    assert of("P1") == of("P1")
    shifts = {of(f"P{number}").days for number in range(50)}
    assert len(shifts) > 40
    assert of("P1") != of("P1", key=b"x" * 32)


@pytest.mark.parametrize("value", ["", "2024-02-30", "20240230", "yesterday", "00010101", "2024AB"])
def test_what_is_no_date_is_not_moved(value: str) -> None:
    assert DateShifter(40).da(value) is None


@pytest.mark.parametrize(
    "value", ["", "Smith", "20241301", "20240101 10", "2024010199999999", "24"]
)
def test_what_is_no_date_time_is_not_moved(value: str) -> None:
    assert DateShifter(40).dt(value) is None


def test_times_and_offsets_are_recognised() -> None:
    assert all(map(is_tm, ("10", "1015", "101500", "101500.123456", "10:15:00")))
    assert not any(map(is_tm, ("", "10h", "Smith", "1", "101500.1234567")))
    assert is_utc_offset("+0100")
    assert not is_utc_offset("Europe/Berlin")


def test_the_shift_is_not_shown() -> None:
    assert repr(DateShifter(1234)) == "DateShifter()"
