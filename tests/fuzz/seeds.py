"""Where fuzzing begins: real objects, their pixels cut down so that every byte matters."""

import os
import warnings
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.data.data_manager import DATA_ROOT
from pydicom.encaps import encapsulate
from pydicom.uid import DeflatedExplicitVRLittleEndian

from tests.fuzz.target import SYNTAXES
from tests.support.builders import ct_image, encoded, endoscopic_image, part10
from tests.support.data import TEST_DATA

LONGEST = 32 * 1024
_LONGEST_VALUE = 256


def seeds() -> Iterator[tuple[str, bytes]]:
    """Yield small objects, each once as a file and once as what a C-STORE brings."""
    for name, dataset in (("ct", ct_image()), ("endoscopy", endoscopic_image())):
        yield f"{name}.dcm", part10(dataset)
        yield f"{name}.body", bytes([1]) + encoded(dataset)
        yield f"{name}-implicit.body", bytes([0]) + encoded(dataset, implicit=True)
        dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        yield f"{name}-deflated.dcm", part10(dataset)
    for path in files():
        whole = _small(path)
        if whole is None:
            continue
        yield path.name, whole
        body = _body(whole)
        if body is not None:
            yield f"{path.name}.body", body


def files() -> list[Path]:
    """Return pydicom's own test files, and those of the corpus if there is one."""
    found = list(Path(DATA_ROOT, "test_files").rglob("*.dcm"))
    folder = os.environ.get(TEST_DATA)
    if folder:
        found += [path for path in Path(folder, "dicom").rglob("*") if path.is_file()]
    return sorted(set(found))


def _small(path: Path) -> bytes | None:
    """Return a file with its long values cut, or as it is if it cannot be read."""
    raw = path.read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset = dcmread(BytesIO(raw), force=True)
            _shorten(dataset)
            buffer = BytesIO()
            dataset.save_as(buffer)
            raw = buffer.getvalue()
        except Exception:  # noqa: BLE001 - a seed that breaks pydicom is a good one
            raw = raw[:LONGEST]
    return raw if 0 < len(raw) <= LONGEST else None


def _shorten(dataset: Dataset) -> None:
    for tag in list(dataset.keys()):
        element = dataset[tag]
        if element.VR == "SQ":
            del element.value[2:]
            for item in element.value:
                _shorten(item)
        elif isinstance(element.value, bytes) and len(element.value) > _LONGEST_VALUE:
            is_encapsulated = element.is_undefined_length
            cut = element.value[-_LONGEST_VALUE:]
            element.value = encapsulate([cut]) if is_encapsulated else cut


def _body(whole: bytes) -> bytes | None:
    if whole[128:132] != b"DICM":
        return None
    start = 144 + int.from_bytes(whole[140:144], "little")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            syntax = str(dcmread(BytesIO(whole), force=True).file_meta.TransferSyntaxUID)
        except Exception:  # noqa: BLE001 - as above
            return None
    return bytes([SYNTAXES.index(syntax)]) + whole[start:] if syntax in SYNTAXES else None
