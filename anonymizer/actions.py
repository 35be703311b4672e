"""D, Z, X, K, C, U: one function each. Source: PS3.15 E.1-1a.

Each takes an element and returns the one that stands in its place: None to remove it, and
`UNCLEANABLE` if the value cannot be kept or cleaned and the Basic profile's action must be taken.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from pydicom.dataelem import DataElement
from pydicom.sequence import Sequence as Items

from anonymizer.dates import is_tm, is_utc_offset
from anonymizer.dummies import dummy
from anonymizer.replacement import Replacement
from anonymizer.report import Action
from anonymizer.text import Element, binary, encoded, is_empty, strings

UNCLEANABLE: Final = "uncleanable"
Outcome = Element | None | Literal["uncleanable"]

PATIENT_NAME, PATIENT_ID, PATIENT_AGE = 0x00100010, 0x00100020, 0x00101010
OLDEST_TOLD_YEARS = 89
"""Older people are few enough to be known by their age (45 CFR 164.514(b)(2)(i)(C))."""
OLDER = "090Y"


@dataclass(frozen=True)
class Place:
    """Where an element stands."""

    replacement: Replacement
    vr: str
    """As the standard gives it; what the sender wrote may differ."""
    codecs: Sequence[str]
    is_inside_item: bool


def use_dummy(element: Element, place: Place) -> Outcome:
    """D: hold a value that says nothing; one that is empty already says nothing."""
    if element.tag in {PATIENT_ID, PATIENT_NAME}:
        return _pseudonym(element, place)
    if is_empty(element):
        return empty(element, place)
    return dummy(element.tag, place.vr, place.replacement.uids)


def empty(element: Element, place: Place) -> Outcome:
    """Z: hold nothing; the patient's name and ID hold the pseudonym, which Z permits."""
    if element.tag == PATIENT_ID or (element.tag == PATIENT_NAME and not place.is_inside_item):
        return _pseudonym(element, place)
    if place.vr == "SQ":
        return DataElement(element.tag, "SQ", Items([]), already_converted=True)
    return binary(element.tag, place.vr, b"")


def remove(_element: Element, _place: Place) -> Outcome:
    """X: take it out."""
    return None


def keep(element: Element, place: Place) -> Outcome:
    """K: leave it, but tell no age above 89."""
    if place.vr != "AS":
        return element
    ages = strings(element, "AS", place.codecs)
    folded = [_folded(age) for age in ages]
    if None in folded:
        return UNCLEANABLE
    return encoded(element.tag, "AS", [age for age in folded if age])


def clean(element: Element, place: Place) -> Outcome:
    """C: move dates, keep times; nothing else can be cleaned yet."""
    values = strings(element, place.vr, place.codecs)
    cleaner = _CLEANERS.get(place.vr)
    if cleaner is None:
        return UNCLEANABLE
    cleaned = [cleaner(value, place.replacement) if value else "" for value in values]
    if None in cleaned:
        return UNCLEANABLE
    return encoded(element.tag, place.vr, [value for value in cleaned if value is not None])


def replace_uid(element: Element, place: Place) -> Outcome:
    """U: put the UIDs that stand for these."""
    values = strings(element, "UI", place.codecs)
    mapped = [place.replacement.uids.map(value) if value else "" for value in values]
    return encoded(element.tag, "UI", mapped)


def _pseudonym(element: Element, place: Place) -> Element:
    if not place.is_inside_item:
        return encoded(element.tag, place.vr, [place.replacement.patient_pseudonym])
    if element.tag == PATIENT_NAME or is_empty(element):
        return binary(element.tag, place.vr, b"")
    patient_id = "\\".join(strings(element, place.vr, place.codecs))
    return encoded(element.tag, place.vr, [place.replacement.pseudonym_of(patient_id)])


def _folded(age: str) -> str | None:
    """Source: PS3.5 6.2 (AS): nnnD, nnnW, nnnM or nnnY."""
    if len(age) != 4 or not age[:3].isdecimal() or not age.isascii() or age[3] not in "DWMY":
        return None
    return OLDER if age[3] == "Y" and int(age[:3]) > OLDEST_TOLD_YEARS else age


def _kept_if(is_right: Callable[[str], bool]) -> Callable[[str, Replacement], str | None]:
    return lambda value, _: value if is_right(value) else None


_CLEANERS: Mapping[str, Callable[[str, Replacement], str | None]] = {
    "DA": lambda value, replacement: replacement.dates.da(value),
    "DT": lambda value, replacement: replacement.dates.dt(value),
    "TM": _kept_if(is_tm),
    "SH": _kept_if(is_utc_offset),
}
"""SH is Timezone Offset From UTC, the one attribute of that VR with a date option."""

ACTIONS: Mapping[Action, Callable[[Element, Place], Outcome]] = {
    Action.DUMMY: use_dummy,
    Action.EMPTY: empty,
    Action.REMOVE: remove,
    Action.KEEP: keep,
    Action.CLEAN: clean,
    Action.REPLACE_UID: replace_uid,
}
