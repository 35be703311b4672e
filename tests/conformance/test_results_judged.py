"""Results of the readable corpus, judged by dciodvfy, PixelMed and DCMTK."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from io import BytesIO
from itertools import cycle, repeat
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from core.findings import (
    Box,
    Conclusion,
    Evaluation,
    FrameReference,
    Outcome,
    Polygon,
    Reading,
)
from core.model import InstanceKey
from results.encoder import encode
from results.errors import NotEncodableError
from results.provenance import EncodedObject, Kind, SourceInstance, StudySources
from tests.results.readings import (
    FRAME,
    KEY,
    READINGS,
    context,
    finding,
    multi_frame_image,
    reading,
    source,
    sources,
)
from tests.support.builders import ct_image
from tests.support.data import TEST_DATA, data_folder
from tests.support.judges import Verdict, dciodvfy, new_errors, pixelmed

MOST_PIXELS = 2_000_000
"""A larger frame gets a card, to spare the machine; the header is the same."""


def corpus() -> list[Path]:
    """Every object of the corpus, malformed ones included."""
    root = Path(os.environ.get(TEST_DATA, "/nowhere")) / "dicom"
    return sorted(path for path in root.rglob("*") if path.is_file() and path.suffix != ".csv")


def encoded(path: Path, conclusion: Conclusion) -> tuple[EncodedObject, ...]:
    """The results of one source, with a box where it has pixels."""
    with path.open("rb") as part10:
        one = SourceInstance.read(KEY, part10)
    told = READINGS[conclusion]
    if one.is_image and conclusion is Conclusion.FINDINGS:
        box = Box(0.1 * one.columns, 0.2 * one.rows, 0.7 * one.columns, 0.8 * one.rows)
        told = reading(finding(region=box))
    elif conclusion is Conclusion.FINDINGS:
        told = reading(finding(region=None))
    pixels = {}
    if one.is_image and one.rows * one.columns <= MOST_PIXELS:
        pixels[FRAME] = np.zeros((one.rows, one.columns, 3), np.uint8)
    return encode(told, StudySources((one,)), context(), pixels)


@cache
def source_verdict(path: Path, folder: Path) -> Verdict:
    """What dciodvfy says of the source; of its header alone where it dies of the pixels."""
    verdict = dciodvfy(path)
    if not verdict.crashed:
        return verdict
    dataset = dcmread(path, stop_before_pixels=True, force=True)
    header = folder / "header.dcm"
    dataset.save_as(header)
    return dciodvfy(header)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("judged")


def other_conclusions() -> Iterator[Conclusion]:
    """Every conclusion but findings, in turn: they differ in codes and text, not in structure."""
    return cycle([each for each in Conclusion if each is not Conclusion.FINDINGS])


@pytest.mark.external("dciodvfy")
@pytest.mark.slow
@pytest.mark.parametrize("conclusions", [repeat(Conclusion.FINDINGS), other_conclusions()])
def test_no_result_of_the_corpus_has_an_error_of_its_own(
    conclusions: Iterator[Conclusion], scratch: Path
) -> None:
    data_folder()
    faults: list[str] = []
    judged = 0
    for path, conclusion in zip(corpus(), conclusions, strict=False):
        try:
            made = encoded(path, conclusion)
        except NotEncodableError:
            continue  # a held study, with that reason
        for each in made:
            file = scratch / "result.dcm"
            file.write_bytes(each.part10)
            errors = new_errors(dciodvfy(file), source_verdict(path, scratch))
            faults += [f"{path.name} {each.kind}: {error}" for error in errors]
            judged += 1
    assert faults == []
    assert judged > 500


def test_what_is_not_encodable_says_why() -> None:
    data_folder()
    reasons: set[str] = set()
    for path in corpus():
        try:
            encoded(path, Conclusion.NO_FINDING)
        except NotEncodableError as error:
            reasons.add(error.message.split(" (")[0])
    assert reasons <= {
        "the source has no PatientID",
        "a source cannot be read",
        *(reason for reason in reasons if reason.startswith("a source lacks")),
    }


def partial() -> tuple[Reading, StudySources]:
    """Findings in one CT of a Japanese name, another instance that could not be processed."""
    japanese = {
        "SpecificCharacterSet": ["", "ISO 2022 IR 87"],
        "PatientName": "Yamada^Tarou=山田^太郎=やまだ^たろう",
    }
    image = ct_image(attributes=japanese)
    other = ct_image(attributes={**japanese, "StudyInstanceUID": image.StudyInstanceUID})
    study = StudySources((source(image), source(other, InstanceKey("instance-2"))))
    failed = Evaluation(InstanceKey("instance-2"), Outcome.COULD_NOT_PROCESS, 0, "cut off")
    whole = READINGS[Conclusion.FINDINGS]
    return replace(whole, evaluations=(*whole.evaluations, failed)), study


def every_region() -> tuple[Reading, StudySources]:
    """A box in a third frame, an outline, and a finding of the whole frame."""
    third = FrameReference(KEY, 3)
    outline = Polygon(((1, 1), (9, 1), (5, 8)))
    told = reading(finding(frame=third), finding(region=outline), finding(region=None))
    return told, sources(multi_frame_image(3))


def samples() -> Mapping[str, tuple[Reading, StudySources]]:
    """One of each kind of report."""
    plain = {conclusion.value: (one, sources()) for conclusion, one in READINGS.items()}
    return {**plain, "partial": partial(), "every region": every_region()}


@pytest.mark.external("PixelMed", "dciodvfy")
@pytest.mark.slow
@pytest.mark.parametrize("name", samples())
def test_pixelmed_finds_no_error_in_any_kind_of_report(name: str, tmp_path: Path) -> None:
    """IHE's own judge of templates and context groups (A10)."""
    one, study = samples()[name]
    file = tmp_path / "report.dcm"
    file.write_bytes(encode(one, study, context())[0].part10)
    assert pixelmed(file).errors == ()
    assert dciodvfy(file).errors == ()


@pytest.mark.external("dciodvfy")
@pytest.mark.parametrize("name", samples())
def test_dciodvfy_finds_no_error_in_any_kind_of_capture(name: str, tmp_path: Path) -> None:
    one, study = samples()[name]
    capture, *_ = (each for each in encode(one, study, context()) if each.kind is Kind.SC)
    file = tmp_path / "capture.dcm"
    file.write_bytes(capture.part10)
    assert dciodvfy(file).errors == ()


@pytest.mark.external("DCMTK")
@pytest.mark.parametrize("name", samples())
def test_dcmtk_prints_every_report(name: str, tmp_path: Path) -> None:
    one, study = samples()[name]
    file = tmp_path / "report.dcm"
    file.write_bytes(encode(one, study, context())[0].part10)
    done = subprocess.run(["dsrdump", "+Pl", file], capture_output=True, check=True)
    assert b"not for diagnosis" in done.stdout
    assert b"E:" not in done.stderr


def test_the_corpus_is_read_as_pydicom_reads_it() -> None:
    """What pydicom calls no Part 10 file, we call unreadable; nothing else is lost."""
    data_folder()
    for path in corpus():
        try:
            dcmread(BytesIO(path.read_bytes()), stop_before_pixels=True)
        except InvalidDicomError:
            with pytest.raises(NotEncodableError, match=r"cannot be read|lacks"):
                encoded(path, Conclusion.NO_FINDING)
        except Exception:  # noqa: BLE001 - malformed in other ways
            continue
