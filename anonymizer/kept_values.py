"""What stays of an object, searched for values that identify once all of these are known."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pydicom.tag import BaseTag

from anonymizer import text
from anonymizer.dummies import dummy
from anonymizer.known_values import MIN_NAME, KnownValues
from anonymizer.report import Action, Ledger, Reason, tag_text
from anonymizer.text import Element
from anonymizer.uid_map import UidMap

Level = dict[BaseTag, Element]

LONGEST_SEARCHED_BYTES = 64 * 1024
"""Longer binary values are pictures, curves and tables: their content is not for us to read."""
_SHORTEST_SEARCHED_BYTES = 8
_FREE = text.TEXT_VRS | {"AE", "UR"}
_NUMBERS = frozenset(("DS", "IS"))
_CODE_STRING = re.compile(r"[A-Z0-9_ \\]*")
_CODE_BYTES = re.compile(rb"[A-Z0-9_ \\\0]*")


@dataclass(frozen=True)
class _Kept:
    level: Level
    element: Element
    vr: str
    path: str
    codecs: Sequence[str]

    def value(self) -> str:
        """Read the value as text, binary ones byte by byte."""
        if self.vr in text.STRING_VRS:
            return "\\".join(text.strings(self.element, self.vr, self.codecs))
        return bytes(self.element.value or b"").decode("latin_1")


class KeptValues:
    """Remembers what stays while an object is gone through."""

    def __init__(self) -> None:
        self._all: list[_Kept] = []

    def remember(
        self, level: Level, element: Element, vr: str, path: str, codecs: Sequence[str]
    ) -> None:
        """Note an element that is put into `level` as it came."""
        if _can_hide(element, vr):
            self._all.append(_Kept(level, element, vr, path, codecs))

    def clear(self, known: KnownValues, uids: UidMap, ledger: Ledger) -> None:
        """Take out what holds one of the known values."""
        for kept in self._all:
            action = _action(kept, known)
            if action is None:
                continue
            tag = kept.element.tag
            ledger.note(kept.path + tag_text(tag), action, Reason.KNOWN_IDENTITY)
            if action is Action.REMOVE:
                del kept.level[tag]
            elif action is Action.EMPTY:
                kept.level[tag] = text.binary(tag, kept.vr, b"")
            else:
                kept.level[tag] = dummy(tag, kept.vr, uids)


def _can_hide(element: Element, vr: str) -> bool:
    """Whether a value is of a kind and size that may hold what identifies."""
    value = element.value
    if vr in _FREE or vr in _NUMBERS:
        return bool(value) and (not isinstance(value, bytes) or len(value) >= MIN_NAME)
    if vr == "CS":
        return not isinstance(value, bytes) or _CODE_BYTES.fullmatch(value) is None
    return (
        vr not in text.STRING_VRS
        and isinstance(value, bytes)
        and _SHORTEST_SEARCHED_BYTES <= len(value) <= LONGEST_SEARCHED_BYTES
    )


def _action(kept: _Kept, known: KnownValues) -> Action | None:
    """Choose what keeps the object valid: a text may be any, a code or a number may not."""
    value = kept.value()
    if kept.vr in _FREE:
        return Action.DUMMY if known.in_text(value) else None
    if kept.vr in _NUMBERS:
        return Action.EMPTY if known.is_one(value) else None
    if kept.vr == "CS":
        is_code = _CODE_STRING.fullmatch(value) is not None
        return Action.EMPTY if not is_code and known.in_text(value) else None
    return Action.REMOVE if known.in_bytes(value) else None
