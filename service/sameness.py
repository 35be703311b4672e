"""Whether two data sets under one SOP Instance UID say the same.

Compared are the data elements, whatever their encoding: byte order, explicit or implicit VR,
defined or undefined lengths, padding, group lengths. Values are compared as bytes in little endian
order, never decoded, so that nothing a decoder trips over can decide. Where that cannot tell (other
compression, private sequences that one encoding hides), two data sets count as different: a
conflict too many is seen by a person, one too few by nobody.

Source: PS3.5 7.1, 7.2, 7.3, 6.2.
"""

from collections.abc import Iterable
from enum import StrEnum
from io import BytesIO

from pydicom._dicom_dict import DicomDictionary
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag
from pydicom.uid import UID

from core.errors import MalformedInstanceError
from core.inflation import DEFLATED_TRANSFER_SYNTAXES, inflated


class Sameness(StrEnum):
    """How two data sets under one SOP Instance UID relate."""

    EQUAL = "equal"
    CORRECTED = "corrected"
    """Only attributes of patient or order differ."""
    OTHER = "other"


_Value = bytes | tuple["_Elements", ...]
_Elements = dict[int, _Value]

_PIXEL_DATA = 0x7FE00010
_PADDING = 0xFFFCFFFC
_SWAPPED = {
    **dict.fromkeys(("AT", "OW", "SS", "US"), 2),
    **dict.fromkeys(("FL", "OF", "OL", "SL", "UL"), 4),
    **dict.fromkeys(("FD", "OD", "OV", "SV", "UV"), 8),
}
"""Bytes of one value that big endian turns round. Source: PS3.5 7.3."""

_PADDED = frozenset(
    ("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI")
) | {"UR", "UT"}
"""VRs whose trailing spaces or zeros say nothing. Source: PS3.5 6.2."""

_PATIENT_AND_ORDER_GROUPS = frozenset({0x0010, 0x0032, 0x0038})
"""Patient; order and requested procedure; visit. Source: PS3.3 C.7.1, C.4.11, C.3."""

_PATIENT_AND_ORDER = frozenset(
    {
        0x00080005,  # Specific Character Set, which a new name may need
        0x00080012,  # Instance Creation Date, and Time below
        0x00080013,
        0x00080015,  # Instance Coercion DateTime
        0x00080020,  # Study Date
        0x00080030,  # Study Time
        0x00080050,  # Accession Number
        0x00080051,  # Issuer of Accession Number Sequence
        0x00080090,  # Referring Physician's Name
        0x00080096,  # Referring Physician Identification Sequence
        0x00081030,  # Study Description
        0x00081032,  # Procedure Code Sequence
        0x00081048,  # Physician(s) of Record
        0x00081110,  # Referenced Study Sequence
        0x00081120,  # Referenced Patient Sequence
        0x00120062,  # Patient Identity Removed
        0x0018A001,  # Contributing Equipment Sequence, to which who corrects adds himself
        0x00200010,  # Study ID
        0x00400275,  # Request Attributes Sequence
        0x04000561,  # Original Attributes Sequence, in which a correction is told
    }
)
"""Single attributes that belong to patient, order or the telling of a correction.

Source: PS3.3 C.7.2.1, C.12.1; IHE RAD, Patient Information Reconciliation.
"""


def compare(
    new: bytes, new_transfer_syntax_uid: str, old: bytes, old_transfer_syntax_uid: str
) -> Sameness:
    """Compare two encoded data sets, neither with meta information."""
    try:
        ours = _elements(new, UID(new_transfer_syntax_uid))
        theirs = _elements(old, UID(old_transfer_syntax_uid))
    except MalformedInstanceError:
        return Sameness.OTHER
    if not _are_comparable(UID(new_transfer_syntax_uid), UID(old_transfer_syntax_uid)):
        return Sameness.OTHER
    tags = ours.keys() | theirs.keys()
    differing = {tag for tag in tags if ours.get(tag) != theirs.get(tag)}
    if not differing:
        return Sameness.EQUAL
    if all(_is_of_patient_or_order(tag) for tag in differing):
        return Sameness.CORRECTED
    return Sameness.OTHER


def _are_comparable(one: UID, other: UID) -> bool:
    return one == other or not (one.is_encapsulated or other.is_encapsulated)


def _is_of_patient_or_order(tag: int) -> bool:
    return tag in _PATIENT_AND_ORDER or tag >> 16 in _PATIENT_AND_ORDER_GROUPS


def _elements(encoded: bytes, syntax: UID) -> _Elements:
    try:
        content = inflated(encoded) if syntax in DEFLATED_TRANSFER_SYNTAXES else BytesIO(encoded)
        dataset = read_dataset(content, syntax.is_implicit_VR, syntax.is_little_endian)
        return _of_dataset(dataset, is_little=syntax.is_little_endian)
    except Exception as error:  # noqa: BLE001 - pydicom lets a dozen types escape (NET-7)
        raise MalformedInstanceError(
            f"the data set cannot be compared ({type(error).__name__})"
        ) from None


def _of_dataset(dataset: Dataset, *, is_little: bool) -> _Elements:
    found: _Elements = {}
    for tag in list(dataset.keys()):
        if tag.element == 0 or tag == _PADDING:  # group lengths say nothing
            continue
        element = dataset.get_item(tag)
        if element.VR == "SQ" or (element.VR is None and _public_vr(tag) == "SQ"):
            items = dataset[tag].value
            found[int(tag)] = tuple(_of_dataset(item, is_little=is_little) for item in items)
        else:
            found[int(tag)] = _value(tag, element, is_little=is_little)
    return found


def _value(tag: BaseTag, element: DataElement | RawDataElement, *, is_little: bool) -> bytes:
    value = _encoded(element.value)
    width = 0 if is_little else _SWAPPED.get(element.VR or "", 0)
    if width:
        value = b"".join(
            value[start : start + width][::-1] for start in range(0, len(value), width)
        )
    # By the dictionary, not by the encoding, which may or may not know the VR.
    return value.rstrip(b" \0") if _public_vr(tag) in _PADDED else value


def _encoded(value: object) -> bytes:
    """Return a value as bytes; pydicom decodes Specific Character Set while it reads."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode("latin-1")
    return b"\\".join(_encoded(item) for item in value) if isinstance(value, Iterable) else b""


def _public_vr(tag: BaseTag) -> str:
    known = DicomDictionary.get(int(tag))
    return known[0] if known else ""
