"""What is fuzzed: every way of an object from its bytes to its released copy.

Every outcome has a name: `released`, or the leaf of our own errors that refused the object.
Anything else that is raised is a defect.
"""

from collections.abc import Callable
from io import BytesIO

from pydicom import Dataset, dcmread

from anonymizer.deidentifier import deidentify
from anonymizer.part10 import read, write
from anonymizer.settings import MODELS, AnonymizerSettings
from core.dataset_stream import DataSetScanner
from core.errors import MalformedInstanceError, ServiceError
from core.limits import DataSetLimits
from core.model import Instance, InstanceKey, study_identity
from core.part10 import data_set_of, file_head
from dicom_node.part10 import from_part10, reencoded
from dicom_node.presentation import IMPLICIT_LITTLE, UNCOMPRESSED
from imaging.facts import DecoderLimits
from imaging.stored import check_budget, pixel_facts, read_object
from results.provenance import SourceInstance
from service.cli.releasing import OneTimeKeys
from service.objects import read_part10, read_pieces
from service.sameness import compare

LIMITS = DataSetLimits(
    max_elements=5000, max_inflated_bytes=2 * 1024**2, freely_inflated_bytes=64 * 1024
)
SYNTAXES = (
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.4.50",
)
_PIECE = 997
_SETTINGS = AnonymizerSettings()
_KEYS = OneTimeKeys()


def exercise(data: bytes) -> tuple[str, ...]:
    """Take `data` along every way that bytes come in; return how each of them ended."""
    return tuple(f"{way.__name__}: {_outcome(way, data)}" for way in WAYS)


def as_file(data: bytes) -> str:
    """Read it as `deidentify` and `detect` read a file: checked from end to end, then parsed."""
    original = read_part10(data, LIMITS)
    Instance.parse(original, transfer_syntax_uid=str(original.file_meta.TransferSyntaxUID))
    return _released(original)


def as_data_set(data: bytes) -> str:
    """Take it in as a C-STORE does, and read it back as the worker and the encoders do."""
    syntax = SYNTAXES[data[0] % len(SYNTAXES)] if data else SYNTAXES[0]
    body = data[1:]
    scanner = DataSetScanner(syntax, LIMITS)
    for start in range(0, len(body), _PIECE):
        scanner.feed(body[start : start + _PIECE])
    instance = Instance.parse(scanner.finish(), transfer_syntax_uid=syntax)
    kept = file_head(instance.sop_class_uid, instance.sop_instance_uid, syntax) + body
    assert bytes(data_set_of(kept)) == body
    compare(body, syntax, body, syntax)
    _guarded(lambda: SourceInstance.read(InstanceKey("i"), BytesIO(kept), LIMITS))
    original = read(BytesIO(kept), LIMITS)
    assert original.file_meta.TransferSyntaxUID == syntax, "the data set spoke for its head"
    return _released(original)


def as_found(data: bytes) -> str:
    """Read it as well as can be, without any check before."""
    return _released(read(BytesIO(data), LIMITS))


def as_pieces(data: bytes) -> str:
    """Read it as `deidentify` reads what it finds: checked while it comes, head or not."""
    pieces = (data[start : start + _PIECE] for start in range(0, len(data), _PIECE))
    return _released(read_pieces(pieces, LIMITS))


def as_outgoing(data: bytes) -> str:
    """Read it as `send` does, and encode it anew as for a peer that takes implicit VR only."""
    pieces = [data[start : start + _PIECE] for start in range(0, len(data), _PIECE)]
    outgoing = from_part10(lambda: pieces)
    if outgoing.transfer_syntax_uid not in UNCOMPRESSED:
        return "as it is"
    reencoded(outgoing, IMPLICIT_LITTLE)
    return "encoded anew"


def as_pixels(data: bytes) -> str:
    """Look at it as the decoder does before it decodes anything."""
    facts = pixel_facts(read_object(BytesIO(data), DecoderLimits(encoded_mib=2)))
    check_budget(facts, DecoderLimits())
    return "within budget"


WAYS: tuple[Callable[[bytes], str], ...] = (
    as_file,
    as_data_set,
    as_found,
    as_pieces,
    as_outgoing,
    as_pixels,
)


def _released(original: Dataset) -> str:
    replacement = _KEYS.replacement(study_identity(original), _SETTINGS)
    made = deidentify(original, _SETTINGS.profile(MODELS), replacement)
    content = write(made.released)
    assert content[:128] == bytes(128), "something hides in the preamble"
    again = dcmread(BytesIO(content))
    if again.get("SOPInstanceUID") != made.released.SOPInstanceUID:
        raise AssertionError("the released copy does not read as it was written")
    return "released"


def _outcome(way: Callable[[bytes], str], data: bytes) -> str:
    try:
        return way(data)
    except ServiceError as error:
        return type(error).__name__


def _guarded(action: Callable[[], object]) -> None:
    try:
        action()
    except MalformedInstanceError:
        return
    except ServiceError:
        return
