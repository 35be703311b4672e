"""What happens to attributes that Table E.1-1 does not name.

The table speaks of what the standard's IODs hold; a stored object can hold anything. What is not in
PS3.6 goes, and so does what the table forgot but would replace if it were of an IOD that it covers:
names of people, dates, UIDs of instances, and links back to the original.
"""

from functools import cache

from pydicom._dicom_dict import DicomDictionary

from anonymizer.report import Reason

PERSON, DATE, UID, LINK = "person", "date", "uid", "link"

_RESOURCE_UIDS = frozenset(
    ("CodingSchemeUID", "ContextUID", "MappingResourceUID", "ContextGroupExtensionCreatorUID")
)
_RESOURCE_ADDRESSES = frozenset(
    ("CodingSchemeURL", "URNCodeValue", "RelativeURIReferenceWithinEncapsulatedDocument")
)
_LINKS = frozenset(
    (
        "EncryptedAttributesSequence", "EncryptedContent", "PriorRecordKey", "RecordKey",
        "RetrieveURI", "Signature",
    )
)  # fmt: skip
"""What leads back to the original: whoever can open or follow it knows the patient."""
_NEVER_STORED = frozenset((0x0000, 0x0002))
"""Groups of messages and of the file's header."""
_DIRECTORY = 0x0004
_KIND_OF_VR = {"PN": PERSON, "DA": DATE, "DT": DATE, "TM": DATE}


def is_private(tag: int) -> bool:
    """Whether the group is odd. Source: PS3.5 7.8."""
    return bool(tag & 0x10000)


def reason_to_remove(tag: int) -> Reason | None:
    """Say why an element has no place in a released object, or None if it may have one."""
    group = tag >> 16
    if is_private(tag):
        return Reason.PRIVATE
    if group in _NEVER_STORED or group == 0xFFFE or tag & 0xFFFF == 0:
        return Reason.NOT_OF_A_DATA_SET
    if group & 0xFF00 in {0x5000, 0x6000}:
        # Without its data an overlay plane is not valid, and its label and description are text.
        return Reason.RETIRED_GROUP
    if tag not in DicomDictionary:
        return Reason.UNKNOWN
    return None


def vr_of(tag: int) -> str:
    """Return the VR that PS3.6 gives a known tag; the first one where it gives a choice."""
    return DicomDictionary[tag][0].split(" ", maxsplit=1)[0]


@cache
def kind(tag: int) -> str | None:
    """Say what a known attribute outside the table is like; None for one that stays."""
    vr, _, _, _, keyword = DicomDictionary[tag]
    if vr == "UI":
        is_class = "SOPClass" in keyword or "TransferSyntax" in keyword
        return None if is_class or keyword in _RESOURCE_UIDS else UID
    if vr == "UR" and keyword not in _RESOURCE_ADDRESSES:
        return LINK
    if keyword in _LINKS or tag >> 16 == _DIRECTORY:
        return LINK
    return _KIND_OF_VR.get(vr)


@cache
def keyword_of(tag: int) -> str:
    """Return the keyword of a known tag, else nothing."""
    return DicomDictionary[tag][4] if tag in DicomDictionary else ""


_BYTES_OF_VR = {
    "AT": 4, "FD": 8, "FL": 4, "SL": 4, "SS": 2, "SV": 8, "UL": 4, "US": 2, "UV": 8,
}  # fmt: skip


@cache
def longest_value(tag: int, vr: str) -> int | None:
    """Return how many bytes a number may have at most; None where there is no bound."""
    if tag not in DicomDictionary or vr not in _BYTES_OF_VR:
        return None
    multiplicity = DicomDictionary[tag][1].rpartition("-")[2]
    return int(multiplicity) * _BYTES_OF_VR[vr] if multiplicity.isdecimal() else None
