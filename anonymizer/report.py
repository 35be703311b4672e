"""What was done to what; never a value."""

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum


class Action(StrEnum):
    """What is done to an attribute. Source: PS3.15 E.1-1a."""

    DUMMY = "D"
    """Replaced by a value that says nothing."""
    EMPTY = "Z"
    """Emptied, or replaced by a value that says nothing."""
    REMOVE = "X"
    KEEP = "K"
    """Kept; the items of a sequence are gone through all the same."""
    CLEAN = "C"
    """Replaced by a value of like meaning that identifies nobody."""
    REPLACE_UID = "U"
    """Replaced by the UID that stands for it everywhere."""


class Reason(StrEnum):
    """Why it was done."""

    TABLE = "PS3.15 Table E.1-1, Basic profile"
    OPTION = "PS3.15 Table E.1-1, option"
    UNCLEANABLE = "the option would keep it, but the value cannot be read or cleaned"
    PRIVATE = "private attribute"
    UNKNOWN = "not in PS3.6"
    RETIRED_GROUP = "retired group, overlay or curve"
    NOT_OF_A_DATA_SET = "does not belong in a stored data set"
    LIKE_THE_TABLE = "not in the table, but of a kind that it replaces"
    KNOWN_IDENTITY = "holds a value that identifies the patient elsewhere in the object"
    UNREADABLE = "the value contradicts its own encoding"
    CHARACTER_SET = "texts are written in UTF-8"


@dataclass(frozen=True, order=True)
class Change:
    """One thing that was done, to one attribute or to the same one in many items."""

    path: str
    """Tags from the data set inwards, item numbers left out: `(0040,0275)>(0008,0050)`."""
    action: Action
    reason: Reason
    count: int
    """How many elements of this path."""


@dataclass(frozen=True)
class Report:
    """The record of one object's de-identification; safe to show to anybody."""

    profile: str
    options: tuple[str, ...]
    changes: tuple[Change, ...]

    def count(self, *, reason: Reason) -> int:
        """How many elements were changed for `reason`."""
        return sum(change.count for change in self.changes if change.reason is reason)


class Ledger:
    """Collects changes while an object is gone through."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, Action, Reason]] = Counter()

    def note(self, path: str, action: Action, reason: Reason) -> None:
        """Add one element."""
        self._counts[path, action, reason] += 1

    def changes(self) -> tuple[Change, ...]:
        """Return everything noted, in the order of paths."""
        return tuple(sorted(Change(*what, count) for what, count in self._counts.items()))


def tag_text(tag: int) -> str:
    """Write a tag as the standard does."""
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
