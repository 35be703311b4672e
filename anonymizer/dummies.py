"""Values that say nothing, of the right VR and good enough for the IOD. Source: PS3.15 E.1-1a (D).

A sequence becomes one item that is whole in itself; nothing of the old items stays.
"""

from collections.abc import Callable

from pydicom import Dataset
from pydicom.dataelem import DataElement
from pydicom.sequence import Sequence

from anonymizer.text import Element, binary, encoded
from anonymizer.uid_map import UidMap
from core.codes import COMMENT, PRIVATE_SCHEME, Code

REMOVED = "REMOVED"
DATE, TIME = "19000101", "000000"

_BY_VR = {
    "AE": REMOVED, "AS": "000Y", "CS": REMOVED, "DA": DATE, "DS": "0", "DT": DATE + TIME, "IS": "0",
    "LO": REMOVED, "LT": REMOVED, "PN": REMOVED, "SH": REMOVED, "ST": REMOVED, "TM": TIME,
    "UC": REMOVED, "UR": "urn:removed", "UT": REMOVED,
}  # fmt: skip
_BY_TAG = {0x00080201: "+0000", 0x04000565: "CORRECT"}
"""Values where only some are allowed. Source: PS3.3 C.12.1."""

_REMOVED_CODE = Code(REMOVED, PRIVATE_SCHEME, "Removed")
_PERFORMED_STEP = "1.2.840.10008.3.1.2.3.3"
NUMBER_OF_BYTES = 8
"""Long enough to be whole values of any binary VR."""


def dummy(tag: int, vr: str, uids: UidMap) -> Element:
    """Return an element that holds a value and says nothing."""
    if vr == "SQ":
        build = _ITEMS.get(tag, _empty_item)
        return DataElement(tag, "SQ", Sequence([build(uids)]), already_converted=True)
    if vr == "UI":
        return encoded(tag, vr, [uids.dummy(f"{tag:08X}")])
    value = _BY_TAG.get(tag) or _BY_VR.get(vr)
    if value is None:
        return binary(tag, vr, bytes(NUMBER_OF_BYTES))
    return encoded(tag, vr, [value])


def code_item(code: Code) -> Dataset:
    """Write a coded concept as an item. Source: PS3.3 8.8."""
    elements = (
        encoded(0x00080100, "SH", [code.value]),
        encoded(0x00080102, "SH", [code.scheme]),
        encoded(0x00080104, "LO", [code.meaning]),
    )
    return Dataset({element.tag: element for element in elements})


def _empty_item(_: UidMap) -> Dataset:
    return Dataset()


def _content(_: UidMap) -> Dataset:
    item = Dataset()
    item.RelationshipType, item.ValueType = "CONTAINS", "TEXT"
    item.ConceptNameCodeSequence = [code_item(COMMENT)]
    item.TextValue = REMOVED
    return item


def _code(_: UidMap) -> Dataset:
    return code_item(_REMOVED_CODE)


def _person(_: UidMap) -> Dataset:
    item = Dataset()
    item.PersonIdentificationCodeSequence = [code_item(_REMOVED_CODE)]
    item.InstitutionName = REMOVED
    return item


def _verifying_observer(_: UidMap) -> Dataset:
    item = Dataset()
    item.VerifyingObserverName = item.VerifyingOrganization = REMOVED
    item.VerifyingObserverIdentificationCodeSequence = []
    item.VerificationDateTime = DATE + TIME
    return item


def _performed_step(uids: UidMap) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = _PERFORMED_STEP
    item.ReferencedSOPInstanceUID = uids.dummy("performed procedure step")
    return item


def _graphic_annotation(_: UidMap) -> Dataset:
    text = Dataset()
    text.UnformattedTextValue = REMOVED
    text.AnchorPoint = [1.0, 1.0]
    text.AnchorPointAnnotationUnits, text.AnchorPointVisibility = "PIXEL", "N"
    item = Dataset()
    item.GraphicLayer = REMOVED
    item.TextObjectSequence = [text]
    return item


def _flow(_: UidMap) -> Dataset:
    item = Dataset()
    item.FlowIdentifier = bytes(NUMBER_OF_BYTES)
    return item


_ITEMS: dict[int, Callable[[UidMap], Dataset]] = {
    0x0040A730: _content,
    0x00080082: _code,
    0x00401101: _code,
    0x00081072: _person,
    0x0040A073: _verifying_observer,
    0x00081111: _performed_step,
    0x00700001: _graphic_annotation,
    0x00340001: _flow,
}
"""Items of the sequences that Table E.1-1 may want a dummy for."""
