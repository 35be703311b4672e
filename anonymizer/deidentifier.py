"""Data set in, de-identified data set and record out. Source: PS3.15 E.1.1."""

from collections.abc import Iterable
from dataclasses import dataclass

from pydicom import Dataset
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.tag import BaseTag
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from anonymizer import risk, text
from anonymizer.actions import PATIENT_ID, PATIENT_NAME
from anonymizer.dummies import code_item
from anonymizer.encoding import Encoding
from anonymizer.kept_values import Level
from anonymizer.options import Option, code_of
from anonymizer.part10 import PREAMBLE_BYTES, element_of
from anonymizer.profile import Profile
from anonymizer.replacement import Replacement
from anonymizer.report import Report
from anonymizer.walk import CHARACTER_SET, Walk
from core.codes import BASIC_PROFILE
from core.errors import MalformedInstanceError
from core.model import BurnedIn
from core.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

METHOD = "Second Reader, PS3.15 Basic Profile with options as coded"

_TRANSFER_SYNTAX = 0x00020010
_SOP_CLASS, _SOP_INSTANCE, _STUDY = 0x00080016, 0x00080018, 0x0020000D
_DIRECTORY_RECORDS = 0x00041220
_MODALITY, _IMAGE_TYPE, _BURNED_IN = 0x00080060, 0x00080008, 0x00280301
_IDENTITY_REMOVED, _METHOD, _METHOD_CODES = 0x00120062, 0x00120063, 0x00120064
_TEMPORAL = 0x00280303
_SPECIES = (0x00102201, 0x00102202)
_RESPONSIBLE = {0x00102297: "PN", 0x00102299: "LO"}
_PIXELS = (0x7FE00010, 0x7FE00008, 0x7FE00009)
_UNDEFINED = 0xFFFFFFFF
_SYNTAX_OF_ENCODING = {
    Encoding(is_implicit=True, is_little=True): ImplicitVRLittleEndian,
    Encoding(is_implicit=False, is_little=True): ExplicitVRLittleEndian,
    Encoding(is_implicit=False, is_little=False): ExplicitVRBigEndian,
}


@dataclass(frozen=True)
class Deidentified:
    """What became of one object."""

    released: FileDataset
    report: Report
    flags: tuple[risk.Flag, ...]
    """Why its pixels must be looked at before it goes to anybody; they are passed on untouched."""


def deidentify(original: Dataset, profile: Profile, replacement: Replacement) -> Deidentified:
    """Return a de-identified copy of `original`, which is left untouched.

    The copy keeps the transfer syntax and shares the bytes of the pixels. Everything in it is
    decided by the profile, at every depth; header and preamble are new.

    Raises
    ------
    MalformedInstanceError
        If the object is none, or cannot be read well enough to promise anything.
    """
    sop_class_uid = _first(original, _SOP_CLASS, "UI")
    if _DIRECTORY_RECORDS in original:
        raise MalformedInstanceError(
            "a DICOMDIR is a directory of files, no instance",
            remedy="De-identify the files it names, and make a new directory of these",
        )
    if not sop_class_uid or not _first(original, _SOP_INSTANCE, "UI"):
        raise MalformedInstanceError("the data set lacks SOPClassUID or SOPInstanceUID")
    syntax, encoding = _transfer_syntax(original)
    walk = Walk(profile, replacement, sop_class_uid, encoding)
    level = walk.release(original)
    _add_statements(level, profile)
    if _STUDY in level:
        level[BaseTag(PATIENT_ID)] = text.encoded(PATIENT_ID, "LO", [replacement.patient_pseudonym])
        level[BaseTag(PATIENT_NAME)] = text.encoded(
            PATIENT_NAME, "PN", [replacement.patient_pseudonym]
        )
        _keep_animal_valid(level)
    return Deidentified(
        released=_file(level, syntax, encoding),
        report=Report(profile.name, tuple(sorted(profile.options)), walk.ledger.changes()),
        flags=_flags(original, sop_class_uid),
    )


def _transfer_syntax(original: Dataset) -> tuple[UID, Encoding]:
    """Return the syntax to release in: the original's, unless it was not what it said."""
    implicit, little = original.original_encoding
    actual = None if implicit is None or little is None else Encoding(implicit, little)
    named = _first(getattr(original, "file_meta", Dataset()), _TRANSFER_SYNTAX, "UI")
    if not named:
        encoding = actual or Encoding(is_implicit=False, is_little=True)
        return _SYNTAX_OF_ENCODING[encoding], encoding
    syntax = UID(named)
    if not syntax.is_transfer_syntax or syntax.is_private:
        raise MalformedInstanceError("the transfer syntax is not one that we know")
    encoding = Encoding(syntax.is_implicit_VR, syntax.is_little_endian)
    if _is_encapsulated(original) is (not syntax.is_compressed):
        raise MalformedInstanceError("the pixel data are not of the transfer syntax that is named")
    if actual in {None, encoding}:
        return syntax, encoding
    if syntax.is_compressed or actual not in _SYNTAX_OF_ENCODING:
        raise MalformedInstanceError("the data set is not of the transfer syntax that is named")
    return _SYNTAX_OF_ENCODING[actual], actual


def _is_encapsulated(original: Dataset) -> bool | None:
    """Whether the pixels came in fragments; None without pixels."""
    element = element_of(original, _PIXELS[0])
    if element is None or text.is_empty_bytes(element):
        return None
    if isinstance(element, RawDataElement):
        return element.length == _UNDEFINED
    return bool(element.is_undefined_length) if isinstance(element, DataElement) else None


def _add_statements(level: Level, profile: Profile) -> None:
    """Say what was done, in the object itself. Source: PS3.15 E.1.1; PS3.3 C.7.1.1, C.12.1."""
    codes = [BASIC_PROFILE, *(code_of(option) for option in sorted(profile.options))]
    items = Items([code_item(code) for code in codes])
    for element in (
        text.encoded(CHARACTER_SET, "CS", [text.UTF_8_TERM]),
        text.encoded(_IDENTITY_REMOVED, "CS", ["YES"]),
        text.encoded(_METHOD, "LO", [METHOD]),
        DataElement(_METHOD_CODES, "SQ", items, already_converted=True),
        text.encoded(_TEMPORAL, "CS", [_temporal_information(profile)]),
    ):
        level[element.tag] = element


def _keep_animal_valid(level: Level) -> None:
    """Leave room for who is responsible for an animal: the table removes what is of type 2C.

    Source: PS3.3 C.7.1.1.
    """
    if any(tag in level for tag in _SPECIES):
        for tag, vr in _RESPONSIBLE.items():
            level[BaseTag(tag)] = text.binary(tag, vr, b"")


def _temporal_information(profile: Profile) -> str:
    """Source: PS3.3 C.12.1 (0028,0303)."""
    if Option.RETAIN_FULL_DATES in profile.options:
        return "UNMODIFIED"
    return "MODIFIED" if Option.RETAIN_MODIFIED_DATES in profile.options else "REMOVED"


def _file(level: Level, syntax: UID, encoding: Encoding) -> FileDataset:
    """Give the elements a header of our own. Source: PS3.10 7.1."""
    released = FileDataset(
        "",
        level,
        preamble=bytes(PREAMBLE_BYTES),
        is_implicit_VR=encoding.is_implicit,
        is_little_endian=encoding.is_little,
    )
    released.set_original_encoding(encoding.is_implicit, encoding.is_little, text.UTF_8)
    elements = (
        text.binary(0x00020001, "OB", b"\0\1"),
        text.encoded(0x00020002, "UI", [_first(released, _SOP_CLASS, "UI")]),
        text.encoded(0x00020003, "UI", [_first(released, _SOP_INSTANCE, "UI")]),
        text.encoded(0x00020010, "UI", [syntax]),
        text.encoded(0x00020012, "UI", [IMPLEMENTATION_CLASS_UID]),
        text.encoded(0x00020013, "SH", [IMPLEMENTATION_VERSION_NAME]),
    )
    released.file_meta = FileMetaDataset({element.tag: element for element in elements})
    return released


def _flags(original: Dataset, sop_class_uid: str) -> tuple[risk.Flag, ...]:
    if not any(tag in original for tag in _PIXELS):
        return ()
    declared = _first(original, _BURNED_IN, "CS") == "YES"
    return risk.flags(
        sop_class_uid=sop_class_uid,
        modality=_first(original, _MODALITY, "CS"),
        burned_in_annotation=BurnedIn.YES if declared else BurnedIn.UNKNOWN,
        image_type=_values(original, _IMAGE_TYPE, "CS"),
    )


def _first(dataset: Dataset, tag: int, vr: str) -> str:
    values: Iterable[str] = _values(dataset, tag, vr)
    return next(iter(values), "")


def _values(dataset: Dataset, tag: int, vr: str) -> list[str]:
    element = element_of(dataset, tag)
    return [] if element is None else text.strings(element, vr, text.DEFAULT_CODECS)
