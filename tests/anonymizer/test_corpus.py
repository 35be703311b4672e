"""Every object we have: de-identified without a trace, or refused as malformed."""

import csv
from collections import defaultdict
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import FileDataset

from anonymizer import part10
from anonymizer.deidentifier import deidentify
from anonymizer.settings import MODELS, AnonymizerSettings
from core.errors import InputError
from tests.anonymizer.leaks import Token, codec_of, leaks, tokens_of
from tests.anonymizer.samples import replacement_for
from tests.support.builders import ct_image
from tests.support.data import data_folder

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")

NO_OBJECT = {".csv", ".json", ".md", ".png", ".txt"}
FOLDERS = (
    "dicom/charset", "dicom/linked", "dicom/malformed", "dicom/modality", "dicom/objects",
    "dicom/photometric_bits", "dicom/private_nested", "dicom/transfer_syntax", "phi",
)  # fmt: skip
PROFILE = AnonymizerSettings().profile(MODELS)


def files(folder: str) -> Iterator[Path]:
    for path in sorted((data_folder() / folder).rglob("*")):
        if path.is_file() and path.suffix not in NO_OBJECT:
            yield path


def release(path: Path) -> bytes | None:
    """Return the released file, or None where it was refused as it should be."""
    try:
        with path.open("rb") as source:
            original = part10.read(source)
        result = deidentify(original, PROFILE, replacement_for(original))
        return part10.write(result.released)
    except InputError as error:
        assert error.__cause__ is None  # noqa: PT017 - it might quote a value
        return None


def original_of(path: Path) -> FileDataset:
    return dcmread(path, force=True)


@pytest.mark.parametrize("folder", FOLDERS)
def test_nothing_that_identifies_is_left(folder: str) -> None:
    found: dict[str, set[Token]] = {}
    released = 0
    for path in files(folder):
        content = release(path)
        if content is None:
            continue
        released += 1
        original = original_of(path)
        if hits := leaks(tokens_of(original), content, codec_of(original)):
            found[path.name] = hits
    assert found == {}
    assert released > 0


def test_the_listed_identity_values_are_gone() -> None:
    values: dict[str, set[Token]] = defaultdict(set)
    with (data_folder() / "phi/identity_values.csv").open(encoding="utf-8") as source:
        for row in csv.DictReader(source):
            if row["attribute_path"].endswith("RequestedProcedureDescription"):
                continue  # no name, number or address, and the procedure's code says the same
            is_name = "Name" in row["attribute_path"] and "^" in row["value"]
            parts = row["value"].split("^") if is_name else [row["value"]]
            values[row["file"]] |= {Token("listed", part) for part in parts if len(part) >= 3}
    contents = {name: release(data_folder() / "phi" / name) for name in values}
    found = {
        name: [token for token in leaks(values[name], content) if not is_kept(token)]
        for name, content in contents.items()
        if content is not None
    }
    assert len(found) >= 20
    assert {name: tokens for name, tokens in found.items() if tokens} == {}


def is_kept(token: Token) -> bool:
    """Whether a listed value is a word that codes of the standard hold by chance."""
    return token.text in {"MARY"}  # PRIMARY


def test_most_objects_are_released() -> None:
    """What is refused lacks its SOP class, is a directory, or is damaged."""
    refused = [path for folder in FOLDERS for path in files(folder) if release(path) is None]
    sound = [path for path in refused if path.parent.name != "malformed"]
    assert len(sound) <= 20
    assert len(refused) <= 34


@pytest.mark.parametrize("keyword", ["SeriesNumber", "Manufacturer", "SOPClassUID"])
def test_a_planted_value_is_found(keyword: str) -> None:
    """The search above can fail."""
    original = ct_image(attributes={"PatientID": "98765"})
    content = BytesIO()
    copy = ct_image(attributes={keyword: "98765"})
    copy.save_as(content, enforce_file_format=True)
    assert Token("id", "98765") in leaks(tokens_of(original), content.getvalue())


def test_a_planted_name_and_uid_are_found_in_the_header_and_at_depth() -> None:
    original = ct_image()
    copy = ct_image(attributes={"PatientName": "Other^Person", "ImageComments": "saw ada"})
    copy.ReferencedSeriesSequence = [copy.__class__("", {}, file_meta=copy.file_meta)]
    copy.ReferencedSeriesSequence[0].SeriesInstanceUID = original.SeriesInstanceUID
    copy.preamble = original.StudyInstanceUID.encode().ljust(128, b"\0")
    content = BytesIO()
    copy.save_as(content, enforce_file_format=True)
    hits = {token.text for token in leaks(tokens_of(original), content.getvalue())}
    assert {original.SeriesInstanceUID, original.StudyInstanceUID} <= hits
