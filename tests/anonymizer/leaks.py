"""Search a released file for what identified the original; shares no code with `anonymizer`."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO

from pydicom import Dataset, dcmread
from pydicom.charset import python_encoding
from pydicom.dataelem import DataElement
from pydicom.multival import MultiValue
from pydicom.uid import UID

IDENTIFIERS = frozenset(
    (
        "PatientID", "OtherPatientIDs", "IssuerOfPatientID", "AccessionNumber", "StudyID",
        "AdmissionID", "PatientAddress", "PatientTelephoneNumbers", "InstitutionName",
        "InstitutionAddress", "StationName", "DeviceSerialNumber", "MedicalRecordLocator",
        "RequestedProcedureID", "PlacerOrderNumberImagingServiceRequest",
    )
)  # fmt: skip
NOT_OF_AN_INSTANCE = (
    "SOPClass", "TransferSyntax", "CodingScheme", "ContextUID", "MappingResource",
    "ImplementationClass", "ContextGroupExtension",
)  # fmt: skip
OUR_STATEMENTS = (0x00120063, 0x00120064)
BULK_BYTES = 64 * 1024
SHORT = 5
"""Values shorter than this are looked for as whole words: they occur by chance elsewhere."""


@dataclass(frozen=True)
class Token:
    """One value that must not be found."""

    kind: str
    text: str

    def stands_in(self, haystack: bytes, codec: str) -> bool:
        for written in {self.text.encode(), self.text.encode(codec, errors="ignore")} - {b""}:
            if written not in haystack:
                continue
            if len(self.text) >= SHORT or re.search(
                rb"(?<!\w)" + re.escape(written) + rb"(?!\w)", haystack
            ):
                return True
        return False


def tokens_of(original: Dataset) -> set[Token]:
    """Return what identifies in the original, at every depth."""
    return {token for element in elements(original) for token in _tokens(element)}


def elements(dataset: Dataset) -> Iterator[DataElement]:
    """Go through every element that can be read, items included."""
    for tag in sorted(dataset.keys()):
        try:
            element = dataset[tag]
        except Exception:  # noqa: BLE001 - the corpus holds what no reader can read
            continue
        if element.VR == "SQ":
            for entry in element.value:
                yield from elements(entry)
        else:
            yield element


def texts(element: DataElement) -> list[str]:
    value = element.value
    several = isinstance(value, MultiValue | list)
    return [str(part).strip(" \0") for part in (value if several else [value]) if part is not None]


def _tokens(element: DataElement) -> Iterator[Token]:
    if element.tag.is_private:
        return
    for text in texts(element):
        if element.VR == "PN":
            parts = re.split(r"[\s^=,;.]+", text)
            yield from (Token("name", part) for part in parts if len(part) >= 3)
        elif element.VR == "UI":
            is_instance = not any(word in element.keyword for word in NOT_OF_AN_INSTANCE)
            if is_instance and UID(text).name == text and len(text) >= 8:
                yield Token("uid", text)
        elif element.VR in {"DA", "DT"} and re.match(r"\d{8}", text):
            yield Token("date", text[:8])
        elif element.keyword in IDENTIFIERS and _is_identifying(text):
            yield Token("id", text)


def _is_identifying(text: str) -> bool:
    if len(set(text)) == 1:
        return False
    return len(text) >= (5 if text.isdecimal() else 4)


def leaks(tokens: set[Token], file: bytes, codec: str = "utf-8") -> set[Token]:
    """Return those tokens that stand in a released file.

    Left out: our own statements of method, pictures and curves, and for names also codes and
    numbers (`MARY` is in `PRIMARY`).
    """
    released = dcmread(BytesIO(file))
    for tag in OUR_STATEMENTS:
        if tag in released:
            del released[tag]
    all_bytes, words = bytearray(file[:132]), bytearray()
    for element in [*elements(released.file_meta), *elements(released)]:
        piece = _bytes(element)
        if len(piece) <= BULK_BYTES:
            all_bytes += piece + b"\n"
            words += b"" if element.VR in {"CS", "DS", "IS"} else piece + b"\n"
    return {
        token
        for token in tokens
        if token.stands_in(bytes(words if token.kind in {"name", "date"} else all_bytes), codec)
    }


def _bytes(element: DataElement) -> bytes:
    if isinstance(element.value, bytes):
        return element.value
    return "\\".join(texts(element)).encode(errors="replace")


def codec_of(original: Dataset) -> str:
    """Return the codec of the original's own character set."""
    try:
        terms = original.get("SpecificCharacterSet") or ""
        last = terms[-1] if isinstance(terms, MultiValue | list) else terms
        return python_encoding.get(str(last), "latin_1")
    except Exception:  # noqa: BLE001 - the corpus holds what no reader can read
        return "latin_1"
