"""The last check of any object before it may leave: the encoded bytes, read by other code.

Nothing here comes from the encoder. The bytes are parsed anew, and measured against what intake
sealed of the originals and what the de-identified world is known to hold. Each statement has a
name; what breaks it is refused by that name, without a value of the object.

Source: requirements R1, R2, R3, R8, A1 to A9, A11, A12 of the project; IHE AIR; PS3.3.
"""

import re
import struct
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from io import BytesIO

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from core.dataset_stream import DataSetScanner
from core.model import Instance, StudyIdentity, study_identity
from results import sr_conformance
from results.errors import BorderError
from results.wording import DISCLAIMER

COMPREHENSIVE_3D_SR = "1.2.840.10008.5.1.4.1.1.88.34"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"

_UID = re.compile(rb"(?<![\d.])[0-2](?:\.(?:0|[1-9]\d*)){2,}(?![\d.])")
_META = struct.Struct("<128s4sHH2sHI")
"""Preamble, prefix, and (0002,0000), whose value says how long the rest is. Source: PS3.10 7.1."""
_MIN_PSEUDONYM = 6
"""A shorter one would be found by chance."""

_OF_THE_SOURCE = frozenset(("ReferencedStudySequence", "ReferencedPatientSequence"))
"""Copied with patient and study; they refer to objects that hold no images and that nobody kept."""


@dataclass(frozen=True)
class Border:
    """What an object is measured against: the originals on this side, the copies on the other."""

    identity: StudyIdentity = field(repr=False)
    """As intake sealed it, not as the encoder read it."""
    originals: Mapping[str, Instance] = field(repr=False)
    """Every original of the revision, by SOP Instance UID."""
    patient_identity_removed: str = ""
    """(0012,0062) of the originals; empty if absent."""
    is_released_uid: Callable[[str], bool] = field(default=lambda _uid: False, repr=False)
    """Whether a UID belongs to the de-identified world."""
    pseudonyms: Collection[str] = field(default=(), repr=False)
    """Every name that the de-identified world has for this patient and study."""

    @cached_property
    def known_uids(self) -> frozenset[str]:
        """The UIDs of the originals; an option may have left some of them in the copies too."""
        series = (instance.series_instance_uid for instance in self.originals.values())
        return frozenset((self.identity.study_instance_uid, *self.originals, *series))


@dataclass(frozen=True)
class Reread:
    """An encoded object, read again."""

    part10: bytes = field(repr=False)
    dataset: Dataset = field(repr=False)

    @property
    def text_bytes(self) -> bytes:
        """Everything but native pixels, which come last and hold no text."""
        pixels = self.dataset.get("PixelData") or b""
        return self.part10[: -len(pixels)] if pixels else self.part10


Statement = Callable[[Reread, Border], str | None]
"""Returns how it is broken; None if it holds."""


def check_results(objects: Iterable[bytes], border: Border) -> None:
    """Prove that the results of one reading may leave together.

    Raises
    ------
    BorderError
        Naming the first statement that an object, or the set of them, breaks.
    """
    classes: set[str] = set()
    uids: set[str] = set()
    for part10 in objects:
        dataset = check_object(part10, border).dataset
        if str(dataset.SOPInstanceUID) in uids:
            raise BorderError("A2", "two results have one SOP Instance UID")
        classes.add(str(dataset.SOPClassUID))
        uids.add(str(dataset.SOPInstanceUID))
    if SECONDARY_CAPTURE in classes and COMPREHENSIVE_3D_SR not in classes:
        raise BorderError("A11", "a capture is the only result")


def check_object(part10: bytes, border: Border) -> Reread:
    """Prove that one object may leave; return it as it was read again.

    Raises
    ------
    BorderError
        Naming the first statement that it breaks.
    """
    read_again = _read(part10)
    kind = str(read_again.dataset.get("SOPClassUID"))
    for name, statement in (*STATEMENTS, *_OF_KIND.get(kind, {}).items()):
        broken = statement(read_again, border)
        if broken is not None:
            raise BorderError(name, broken)
    return read_again


def _read(part10: bytes) -> Reread:
    try:
        _prove_whole(part10)
        dataset = dcmread(BytesIO(part10))
        for element in dataset.iterall():
            element.value  # noqa: B018 - every value must be decodable, at every depth
    except Exception as error:  # noqa: BLE001 - pydicom lets a dozen types escape
        # The chain is cut: the text of a decoder's error may hold the value.
        raise BorderError("A1", f"it cannot be read again ({type(error).__name__})") from None
    return Reread(part10, dataset)


def _prove_whole(part10: bytes) -> None:
    """Walk every length of the data set: pydicom reads a cut one without a word."""
    start = _META.size + _META.unpack_from(part10)[-1]
    scanner = DataSetScanner(ExplicitVRLittleEndian)
    scanner.feed(part10[start:])
    scanner.finish()


def _one_of_our_kinds(each: Reread, _border: Border) -> str | None:
    kind = each.dataset.get("SOPClassUID")
    if kind not in _OF_KIND:
        return "its SOP class is none that we make"
    meta = each.dataset.file_meta
    same = (
        meta.get("MediaStorageSOPClassUID") == kind
        and meta.get("MediaStorageSOPInstanceUID") == each.dataset.get("SOPInstanceUID")
        and meta.TransferSyntaxUID == ExplicitVRLittleEndian
        and each.part10[:132] == bytes(128) + b"DICM"  # nothing hides in the preamble
    )
    return None if same else "its file meta information is of another object"


def _identity_is_known(_each: Reread, border: Border) -> str | None:
    patient_id = border.identity.patient.patient_id
    return None if patient_id and border.originals else "no sealed identity matches"


def _identity_is_the_originals(each: Reread, border: Border) -> str | None:
    found, sealed = study_identity(each.dataset), border.identity
    differing = [
        name
        for name in sealed.patient.__dict__
        if getattr(found.patient, name) != getattr(sealed.patient, name)
    ]
    differing += [
        name
        for name in ("study_instance_uid", "accession_number", "study_date")
        if getattr(found, name) != getattr(sealed, name)
    ]
    return f"{', '.join(differing)} differ from the originals" if differing else None


def _flat(identity: StudyIdentity) -> dict[str, str]:
    whole = asdict(identity)
    return {**whole.pop("patient"), **whole}


def _references_are_originals(each: Reread, border: Border) -> str | None:
    for item in references(each.dataset):
        original = border.originals.get(str(item.get("ReferencedSOPInstanceUID")))
        if original is None:
            return "it refers to an instance that is no original of this study"
        if item.get("ReferencedSOPClassUID") != original.sop_class_uid:
            return "it refers to an original by another SOP class"
        frames = item.get("ReferencedFrameNumber")
        numbers = [frames] if isinstance(frames, int) else frames or []
        if any(not 1 <= int(number) <= original.number_of_frames for number in numbers):
            return "it refers to a frame that the original does not have"
    return None


def _nothing_released(each: Reread, border: Border) -> str | None:
    header = each.text_bytes
    for match in set(_UID.findall(header)):
        uid = match.decode()
        if uid not in border.known_uids and border.is_released_uid(uid):
            return "it holds a UID of the de-identified world"
    for pseudonym in border.pseudonyms:
        if len(pseudonym) >= _MIN_PSEUDONYM and pseudonym.encode() in header:
            return "it holds a name of the de-identified world"
    return None


def _removal_is_the_originals(each: Reread, border: Border) -> str | None:
    found = str(each.dataset.get("PatientIdentityRemoved") or "")
    return None if found == border.patient_identity_removed else "(0012,0062) was changed"


def _is_new_in_the_study(each: Reread, border: Border) -> str | None:
    own = str(each.dataset.get("SOPInstanceUID") or "")
    series = str(each.dataset.get("SeriesInstanceUID") or "")
    if not own or not series:
        return "it has no SOP Instance UID or no Series Instance UID"
    if own in border.known_uids or series in border.known_uids or own == series:
        return "its UIDs are not its own"
    return None


def _says_what_it_is(each: Reread, _border: Border) -> str | None:
    if DISCLAIMER not in str(each.dataset.get("SeriesDescription") or ""):
        return "its Series Description does not say that it is an AI result"
    for keyword in ("Manufacturer", "ManufacturerModelName", "SoftwareVersions", "SeriesNumber"):
        if not each.dataset.get(keyword):
            return f"it has no {keyword}"
    return None


def _has_its_source(each: Reread, border: Border) -> str | None:
    sources = each.dataset.get("SourceImageSequence") or []
    if len(sources) != 1:
        return "the capture does not refer to one source image"
    uid = str(sources[0].get("ReferencedSOPInstanceUID"))
    if uid not in border.originals or border.originals[uid].rows == 0:
        return "the capture's source is no image of this study"
    return None


def _is_a_capture(each: Reread, _border: Border) -> str | None:
    dataset = each.dataset
    needed = ("ConversionType", "DerivationDescription", "Rows", "Columns", "PixelData")
    missing = [keyword for keyword in needed if not dataset.get(keyword)]
    if missing:
        return f"the capture has no {', '.join(missing)}"
    samples = int(dataset.get("SamplesPerPixel") or 0)
    size = int(dataset.Rows) * int(dataset.Columns) * samples
    return None if len(dataset.PixelData) == size + size % 2 else "its pixels are not whole"


def references(dataset: Dataset) -> Iterator[Dataset]:
    """Yield every item at any depth that refers to a SOP instance."""
    for element in dataset:
        if element.VR != "SQ" or element.keyword in _OF_THE_SOURCE:
            continue
        for item in element.value:
            if "ReferencedSOPInstanceUID" in item:
                yield item
            yield from references(item)


STATEMENTS: tuple[tuple[str, Statement], ...] = (
    ("A1", _one_of_our_kinds),
    ("R3", _identity_is_known),
    ("R1", _identity_is_the_originals),
    ("R2", _nothing_released),
    ("R2", _references_are_originals),
    ("R8", _removal_is_the_originals),
    ("A2", _is_new_in_the_study),
    ("UX-9", _says_what_it_is),
)
"""What holds for every object, by name."""


def _of_report(check: Callable[[Dataset, Collection[Instance]], str | None]) -> Statement:
    return lambda each, border: check(each.dataset, border.originals.values())


_OF_KIND: Mapping[str, Mapping[str, Statement]] = {
    COMPREHENSIVE_3D_SR: {
        name: _of_report(check) for name, check in sr_conformance.STATEMENTS.items()
    },
    SECONDARY_CAPTURE: {"A11": _has_its_source, "A1": _is_a_capture},
}
"""What holds for one kind besides, by SOP class."""
