"""Go through a data set and all its items, and do to each element what the profile says."""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from io import BytesIO
from typing import cast

from pydicom import Dataset
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.filereader import read_sequence
from pydicom.sequence import Sequence as Items
from pydicom.tag import BaseTag
from pydicom.valuerep import VR

from anonymizer import beyond_table, text
from anonymizer.actions import ACTIONS, UNCLEANABLE, Place
from anonymizer.encoding import UNDEFINED, Encoding
from anonymizer.kept_values import KeptValues, Level
from anonymizer.known_values import KnownValues
from anonymizer.part10 import element_of, guarded
from anonymizer.profile import Decision, Profile
from anonymizer.replacement import Replacement
from anonymizer.report import Action, Ledger, Reason, tag_text
from anonymizer.text import Element
from core.errors import MalformedInstanceError
from core.limits import MAX_DEPTH

CHARACTER_SET = BaseTag(0x00080005)
_PIXEL_DATA = BaseTag(0x7FE00010)

_VRS = frozenset(vr.value for vr in VR if len(vr.value) == 2)
_WITHOUT_BYTE_ORDER = text.STRING_VRS | {"OB", "UN"}
_NOTHING_TO_LEARN = frozenset(
    (Reason.PRIVATE, Reason.UNKNOWN, Reason.RETIRED_GROUP, Reason.NOT_OF_A_DATA_SET)
)
_GONE_THROUGH = frozenset((Action.KEEP, Action.REPLACE_UID))
"""Actions that leave a sequence with its items."""


@dataclass(frozen=True)
class Spot:
    """The data set or item that is being gone through."""

    codecs: Sequence[str] = text.DEFAULT_CODECS
    sequence: int | None = None
    """The sequence whose item this is; None for the data set itself."""
    path: str = ""
    depth: int = 0


class Walk:
    """One pass over one object."""

    def __init__(
        self, profile: Profile, replacement: Replacement, sop_class_uid: str, encoding: Encoding
    ) -> None:
        self.ledger = Ledger()
        self._profile = profile
        self._replacement = replacement
        self._sop_class_uid = sop_class_uid
        self._encoding = encoding
        self._known = KnownValues()
        self._known.learn_patient(replacement.patient)
        self._kept = KeptValues()

    def release(self, original: Dataset) -> Level:
        """Return the elements that stand in the place of the original's."""
        level = self._level(original, Spot())
        self._kept.clear(self._known, self._replacement.uids, self.ledger)
        return level

    def _level(self, source: Dataset, outer: Spot) -> Level:
        if outer.depth > MAX_DEPTH:
            raise MalformedInstanceError(f"sequences are nested deeper than {MAX_DEPTH}")
        spot = _with_character_set(source, outer)
        released: Level = {}
        for element in _elements(source):
            if element.tag == CHARACTER_SET:
                continue
            decision = self._profile.decide(
                element.tag, sop_class_uid=self._sop_class_uid, sequence=spot.sequence
            )
            if decision.action is Action.KEEP and decision.reason is None:
                outcome = self._stays(element, decision, spot, released)
            else:
                outcome = self._changes(element, decision, spot, released)
            if outcome is not None:
                released[element.tag] = outcome
        return released

    def _stays(
        self, element: Element, decision: Decision, spot: Spot, released: Level
    ) -> Element | None:
        """Leave what neither the table nor we have anything against."""
        if decision.vr == "SQ" or element.VR == "SQ":
            return self._sequence(element, decision, spot)
        if isinstance(element, DataElement) and isinstance(element.value, bytes):
            element = self._as_raw(element)
        if isinstance(element, RawDataElement):
            return self._raw(element, decision.vr, spot, released)
        copied = element if element.is_buffered else deepcopy(element)
        self._kept.remember(released, copied, element.VR, spot.path, spot.codecs)
        return copied

    def _as_raw(self, element: DataElement) -> RawDataElement:
        """Take a parsed element of bytes as it was before it was parsed."""
        return RawDataElement(
            element.tag,
            element.VR,
            UNDEFINED if element.is_undefined_length else len(element.value),
            element.value,
            0,
            self._encoding.is_implicit,
            self._encoding.is_little,
        )

    def _changes(
        self, element: Element, decision: Decision, spot: Spot, released: Level
    ) -> Element | None:
        """Do what the profile says, or what is stricter where the value does not allow it."""
        if decision.reason is not None and decision.reason in _NOTHING_TO_LEARN:
            self._note_removed(element, spot, decision.reason)
            return None
        if decision.vr == "SQ" or element.VR == "SQ":
            return self._sequence(element, decision, spot)
        action, reason = decision.action, cast("Reason", decision.reason)
        place = Place(self._replacement, decision.vr, spot.codecs, spot.sequence is not None)
        outcome = ACTIONS[action](element, place)
        if outcome == UNCLEANABLE:
            action, reason = decision.otherwise, Reason.UNCLEANABLE
            outcome = ACTIONS[action](element, place)
        if action is not Action.KEEP:
            self._learn(element, decision.vr, spot)
        self.ledger.note(spot.path + tag_text(element.tag), action, reason)
        if outcome is element:
            return self._stays(element, decision, spot, released)
        return cast("Element | None", outcome)

    def _sequence(self, element: Element, decision: Decision, spot: Spot) -> Element | None:
        if decision.vr != "SQ" or element.VR not in {"SQ", "UN", None}:
            self._note_removed(element, spot, Reason.UNREADABLE)
            return None
        path = spot.path + tag_text(element.tag)
        if decision.reason is not None:
            self.ledger.note(path, decision.action, decision.reason)
        inner = Spot(spot.codecs, element.tag, f"{path}>", spot.depth + 1)
        if decision.action not in _GONE_THROUGH:
            self._learn_items(element, inner)
            place = Place(self._replacement, "SQ", spot.codecs, spot.sequence is not None)
            return cast("Element | None", ACTIONS[decision.action](element, place))
        items = [self._item(item, inner) for item in _items(element, spot.codecs)]
        return DataElement(element.tag, "SQ", Items(items), already_converted=True)

    def _item(self, source: Dataset, spot: Spot) -> Dataset:
        item = Dataset(self._level(source, spot), parent_encoding=text.UTF_8)
        item.set_original_encoding(self._encoding.is_implicit, self._encoding.is_little, text.UTF_8)
        return item

    def _raw(
        self, element: RawDataElement, standard_vr: str, spot: Spot, released: Level
    ) -> Element | None:
        """Pass an element on as it came, but for its character set and a wrong VR."""
        vr = element.VR or standard_vr
        if vr not in _VRS or vr == "UN" or _hides_text(vr, standard_vr):
            vr = standard_vr
        is_foreign = element.is_little_endian != self._encoding.is_little
        is_unreadable = _is_too_long(element, vr) or _is_unending(element)
        if (is_foreign and vr not in _WITHOUT_BYTE_ORDER) or is_unreadable:
            self._note_removed(element, spot, Reason.UNREADABLE)
            return None
        if vr != element.VR and not (element.VR is None and self._encoding.is_implicit):
            element = element._replace(VR=vr)
        value = cast("bytes", element.value)
        if vr in text.TEXT_VRS and not text.is_plain(value):
            element = text.encoded(element.tag, vr, [text.decode(value, spot.codecs)])
        if element.length != UNDEFINED:
            self._kept.remember(released, element, vr, spot.path, text.UTF_8)
        return element

    def _note_removed(self, element: Element, spot: Spot, reason: Reason) -> None:
        self.ledger.note(spot.path + tag_text(element.tag), Action.REMOVE, reason)

    def _learn(self, element: Element, vr: str, spot: Spot) -> None:
        if vr in text.STRING_VRS:
            values = text.strings(element, vr, spot.codecs)
            self._known.learn(beyond_table.keyword_of(element.tag), vr, values)

    def _learn_items(self, element: Element, outer: Spot) -> None:
        """Read what a sequence says that is about to go."""
        if outer.depth > MAX_DEPTH or element.VR not in {"SQ", "UN", None}:
            return
        try:
            items = _items(element, outer.codecs)
        except MalformedInstanceError:
            return  # it goes anyway
        for item in items:
            spot = _with_character_set(item, outer)
            for inner in _elements(item):
                decision = self._profile.decide(
                    inner.tag, sop_class_uid=self._sop_class_uid, sequence=spot.sequence
                )
                if decision.vr == "SQ":
                    self._learn_items(inner, Spot(spot.codecs, inner.tag, "", spot.depth + 1))
                elif decision.action is not Action.KEEP and decision.vr in text.STRING_VRS:
                    self._learn(inner, decision.vr, spot)


def _elements(source: Dataset) -> Iterator[Element]:
    for element in source.values():
        if isinstance(element, RawDataElement) and element.value is None:
            if element.length:  # left in the file when it was read
                element = cast("Element", element_of(source, element.tag))  # noqa: PLW2901
            else:
                element = element._replace(value=b"")  # noqa: PLW2901
        if _is_cut_off(element):
            raise MalformedInstanceError(
                f"{tag_text(element.tag)} is cut off",
                remedy="The object is damaged; ask its sender for a sound copy",
            )
        yield element


def _is_cut_off(element: Element) -> bool:
    return (
        isinstance(element, RawDataElement)
        and element.length != UNDEFINED
        and len(element.value or b"") < element.length
    )


def _with_character_set(source: Dataset, spot: Spot) -> Spot:
    """Read the character set that an item names for itself (PS3.5 6.1.2.4)."""
    element = element_of(source, CHARACTER_SET)
    if element is None:
        return spot
    terms = text.strings(element, "CS", text.DEFAULT_CODECS)
    return Spot(text.codecs_of(terms), spot.sequence, spot.path, spot.depth)


def _items(element: Element, codecs: Sequence[str]) -> list[Dataset]:
    """Return the items of a sequence; one hidden in UN is in implicit VR (PS3.5 6.2.2)."""
    if isinstance(element, DataElement):
        return list(element.value or ())
    value = cast("bytes", element.value)
    is_hidden = element.VR == "UN"
    with guarded(f"reading the sequence {tag_text(element.tag)}"):
        items = read_sequence(
            BytesIO(value),
            is_hidden or element.is_implicit_VR,
            is_hidden or element.is_little_endian,
            len(value),
            list(codecs),
        )
        return list(items)


def _hides_text(vr: str, standard_vr: str) -> bool:
    """Whether text is declared as something that would not be searched."""
    return standard_vr in text.STRING_VRS and vr not in text.STRING_VRS


def _is_unending(element: RawDataElement) -> bool:
    """Whether something other than pixels is of undefined length, and may hide whole items."""
    return element.length == UNDEFINED and element.tag != _PIXEL_DATA


def _is_too_long(element: RawDataElement, vr: str) -> bool:
    """Whether a number is longer than its attribute can be, and so something else."""
    longest = beyond_table.longest_value(element.tag, vr)
    return longest is not None and len(element.value or b"") > longest
