"""One-off reads: the choice of the model, the identity border, and hostile objects."""

import io
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import FileDataset
from pydicom.uid import DeflatedExplicitVRLittleEndian

from api.views import DetectionRequest, Medium
from core.errors import InputError, MalformedInstanceError
from core.findings import Box, Conclusion, Outcome, Reading
from core.inflation import InflationError
from core.limits import DataSetLimits
from imaging.decode import Decoder
from inference.engine import Engine
from inference.errors import NotAcceptedError, UnknownModelError
from inference.package import Accepts
from inference.registry import Registry
from inference.requests import PICTURE_KEY, ModelOrder, PictureReading, StudyInstance
from inference.settings import ModelRule
from service.detection import SUBJECT, Detection, InThisProcess
from service.objects import read_part10
from tests.support.archives import NOON
from tests.support.builders import endoscopic_image, part10
from tests.support.detector import bright_cells_package, picture_with_cells

TAG_BEFORE_PIXELS = b"\xe0\x7f\x10\x00"


@dataclass
class FakeReader:
    """Remembers what it was asked and answers with nothing found."""

    registry: Registry
    orders: list[ModelOrder] = field(default_factory=list)
    sent: list[bytes] = field(default_factory=list)
    timeouts_s: list[float] = field(default_factory=list)

    def read_study(
        self, instances: Iterable[StudyInstance], orders: Sequence[ModelOrder], *, timeout_s: float
    ) -> tuple[Reading, ...]:
        self.sent += [b"".join(map(bytes, one.pieces)) for one in instances]
        return tuple(self._answer(order, timeout_s) for order in orders)

    def read_picture(self, data: bytes, order: ModelOrder, *, timeout_s: float) -> PictureReading:
        self.sent.append(data)
        return PictureReading(8, 8, self._answer(order, timeout_s))

    def _answer(self, order: ModelOrder, timeout_s: float) -> Reading:
        self.orders.append(order)
        self.timeouts_s.append(timeout_s)
        package = self.registry.get(order.name, order.version)
        return Reading(package.algorithm(order.score_threshold), (), ())


def detection(
    folder: Path, *rules: dict[str, Any], limits: DataSetLimits | None = None, **cards: Any
) -> tuple[Detection, FakeReader]:
    """Return a detection over packages named in `cards`, each with what it accepts."""
    for name, accepts in (cards or {"cells": {}}).items():
        bright_cells_package(folder / name, accepts=Accepts.model_validate(accepts))
    registry = Registry([folder])
    reader = FakeReader(registry)
    given = [ModelRule.model_validate(rule) for rule in rules or ({"name": "cells"},)]
    return (
        Detection(
            reader,
            registry,
            given,
            lambda _: b"released",
            lambda: NOON,
            limits or DataSetLimits(),
        ),
        reader,
    )


def request(
    content: bytes = b"", model: str | None = None, confidence: float | None = None
) -> DetectionRequest:
    """Return a request for a picture, or for an object if the content is one."""
    medium = Medium.DICOM if content[128:132] == b"DICM" else Medium.PICTURE
    return DetectionRequest(medium, content or picture(), model, confidence, 12.5)


def picture(*cells: tuple[int, int]) -> bytes:
    out = io.BytesIO()
    exif = Image.Exif()
    exif[0x9C9C] = "Example^Ada"
    Image.fromarray(picture_with_cells(*cells)).save(out, "JPEG", quality=95, exif=exif)
    return out.getvalue()


def with_extra(extra: bytes) -> bytes:
    """Return an object with more encoded elements before its pixels."""
    whole = part10(endoscopic_image(np.zeros((8, 8, 3), np.uint8)))
    at = whole.rindex(TAG_BEFORE_PIXELS)
    return whole[:at] + extra + whole[at:]


# --- the choice of the model ---------------------------------------------------------------------


def test_the_first_rule_in_force_reads_a_picture_with_its_own_threshold(tmp_path: Path) -> None:
    rules = (
        {"name": "off", "enabled": False},
        {"name": "scope", "peers": ["tower"]},
        {"name": "objects"},
        {"name": "cells", "score_threshold": 0.4},
    )
    cards: dict[str, Any] = {
        "off": {},
        "scope": {},
        "objects": {"pictures": False},
        "cells": {},
    }
    detect, reader = detection(tmp_path, *rules, **cards)
    answer = detect.detect(request())
    assert (reader.orders[0].name, reader.orders[0].score_threshold) == ("cells", 0.4)
    assert answer.reading.algorithm.threshold == 0.4
    assert answer.identity is None


def test_an_object_goes_to_the_first_model_that_wants_it(tmp_path: Path) -> None:
    cards: dict[str, Any] = {"ct": {"modalities": ["CT"]}, "es": {"modalities": ["ES"]}}
    detect, reader = detection(tmp_path, {"name": "ct"}, {"name": "es"}, **cards)
    detect.detect(request(part10(endoscopic_image())))
    assert [order.name for order in reader.orders] == ["es"]


def test_an_object_that_no_model_wants_is_refused_by_the_first_in_its_own_words(
    tmp_path: Path,
) -> None:
    bright_cells_package(tmp_path / "ct", accepts=Accepts(modalities=("CT",)))
    registry = Registry([tmp_path])
    with Decoder() as decoder, Engine(registry, decoder) as engine:
        rules = [ModelRule(name="ct")]
        reader = InThisProcess(engine)
        detect = Detection(reader, registry, rules, lambda _: b"", lambda: NOON)
        answer = detect.detect(request(part10(endoscopic_image())))
    assert answer.reading.conclusion is Conclusion.NOT_EVALUATED
    assert answer.reading.evaluations[0].reason == "ct does not read modality ES"


def test_a_model_that_is_named_reads_with_the_threshold_that_is_in_force_here(
    tmp_path: Path,
) -> None:
    detect, reader = detection(tmp_path, {"name": "cells", "score_threshold": 0.4})
    detect.detect(request(model="cells"))
    detect.detect(request(model="cells", confidence=0.9))
    detect.detect(request(confidence=0.0))
    assert [order.score_threshold for order in reader.orders] == [0.4, 0.9, 0.0]
    assert {order.digest for order in reader.orders} == {detect.registry.get("cells").digest}


def test_a_model_without_a_rule_can_be_named(tmp_path: Path) -> None:
    detect, reader = detection(tmp_path, {"name": "cells"}, cells={}, other={})
    detect.detect(request(model="other"))
    assert (reader.orders[0].name, reader.orders[0].score_threshold) == ("other", None)


def test_a_model_of_certain_peers_reads_nothing_else_even_if_it_is_named(tmp_path: Path) -> None:
    detect, reader = detection(tmp_path, {"name": "demo"}, demo={"peers": ["demo"]})
    with pytest.raises(NotAcceptedError, match="certain peers"):
        detect.detect(request(model="demo"))
    with pytest.raises(InputError, match="no model reads what comes from no peer"):
        detect.detect(request())
    assert reader.orders == []


def test_a_model_for_objects_reads_no_picture(tmp_path: Path) -> None:
    detect, _ = detection(tmp_path, {"name": "objects"}, objects={"pictures": False})
    for name in ("objects", None):
        with pytest.raises(NotAcceptedError, match="does not read pictures"):
            detect.detect(request(model=name))


def test_a_model_that_is_not_here_is_named(tmp_path: Path) -> None:
    detect, _ = detection(tmp_path)
    with pytest.raises(UnknownModelError, match="there is no model lung"):
        detect.detect(request(model="lung"))


# --- what crosses the border ---------------------------------------------------------------------


def test_the_reader_gets_the_released_copy_and_what_is_left_of_the_time(tmp_path: Path) -> None:
    detect, reader = detection(tmp_path)
    answer = detect.detect(request(part10(endoscopic_image(attributes={"PatientID": "P-7"}))))
    assert reader.sent == [b"released"]
    assert reader.timeouts_s == [12.5]
    assert answer.identity is not None
    assert answer.identity.patient.patient_id == "P-7"
    assert answer.processed_at == NOON


def test_a_picture_is_read_without_its_metadata(tmp_path: Path) -> None:
    detect, reader = detection(tmp_path)
    detect.detect(request(picture((1, 1))))
    assert b"Ada" not in reader.sent[0]
    assert b"Exif" not in reader.sent[0]


def test_what_a_model_finds_comes_back_in_pixels_of_what_was_sent(tmp_path: Path) -> None:
    bright_cells_package(tmp_path / "cells", accepts=Accepts())
    registry = Registry([tmp_path])
    whole = part10(endoscopic_image(picture_with_cells((2, 3))))
    with Decoder() as decoder, Engine(registry, decoder) as engine:
        rules, released = [ModelRule(name="cells", score_threshold=0.9)], whole
        detect = Detection(InThisProcess(engine), registry, rules, lambda _: released, lambda: NOON)
        of_object = detect.detect(request(whole))
        of_picture = detect.detect(request(picture((2, 3))))
    for answer, key in ((of_object, SUBJECT), (of_picture, PICTURE_KEY)):
        (found,) = answer.reading.findings
        assert found.region == Box(16, 24, 24, 32)
        assert found.frame.instance_key == key
        assert answer.reading.evaluations[0].outcome is Outcome.EVALUATED
        assert (answer.rows, answer.columns, answer.number_of_frames) == (64, 64, 1)


# --- hostile objects -----------------------------------------------------------------------------


def test_a_part_10_file_is_read_as_it_is() -> None:
    whole = part10(endoscopic_image(attributes={"PatientID": "P-7"}))
    assert read_part10(whole) == dcmread(io.BytesIO(whole))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "lacks the prefix"),
        (b"GIF89a", "lacks the prefix"),
        (bytes(128) + b"DICM", "meta information"),
        (bytes(128) + b"DICM" + b"\x02\x00\x00\x00UL\x04\x00\xff\xff\xff\xff", "meta information"),
        (bytes(128) + b"DICM" + b"\x02\x00\x00\x00UL\x04\x00\x40\x00\x00\x00", "transfer syntax"),
    ],
)
def test_what_is_no_part_10_file_is_refused(content: bytes, reason: str) -> None:
    with pytest.raises(MalformedInstanceError, match=reason):
        read_part10(content)


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.999])
def test_a_file_that_is_cut_is_refused(kept: float) -> None:
    whole = part10(endoscopic_image())
    with pytest.raises(MalformedInstanceError):
        read_part10(whole[: int(len(whole) * kept)])


def test_a_deflated_object_is_read_like_any_other() -> None:
    dataset = endoscopic_image()
    plain = read_part10(part10(dataset))
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    read = read_part10(part10(dataset))
    assert read == plain
    assert read.file_meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian


def test_a_deflated_bomb_is_refused() -> None:
    dataset = endoscopic_image(attributes={"PixelData": bytes(1024)})
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    limits = DataSetLimits(max_inflation_ratio=2, freely_inflated_bytes=1000)
    with pytest.raises(InflationError, match="more than 2 times"):
        read_part10(part10(dataset), limits)


def test_an_object_of_endless_items_is_refused_before_it_is_parsed() -> None:
    items = struct.pack("<HHI", 0xFFFE, 0xE000, 0) * 2000
    sequence = struct.pack("<HH2sHI", 0x0040, 0x0275, b"SQ", 0, len(items)) + items
    assert isinstance(
        read_part10(with_extra(sequence), DataSetLimits(max_elements=3000)), FileDataset
    )
    with pytest.raises(MalformedInstanceError, match="more than 1000 elements"):
        read_part10(with_extra(sequence), DataSetLimits(max_elements=1000))


def test_an_object_nested_without_end_is_refused() -> None:
    opening = struct.pack("<HH2sHI", 0x0040, 0x0275, b"SQ", 0, 0xFFFFFFFF)
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    with pytest.raises(MalformedInstanceError, match="nested deeper"):
        read_part10(with_extra((opening + item) * 5000))


def test_a_refusal_repeats_nothing_of_the_object(tmp_path: Path) -> None:
    detect, _ = detection(tmp_path)
    dataset = endoscopic_image(attributes={"PatientName": "Example^Ada", "PatientID": "P-7"})
    del dataset.SOPInstanceUID
    with pytest.raises(MalformedInstanceError) as caught:
        detect.detect(request(part10(dataset)))
    assert "Ada" not in str(caught.value)
    assert "P-7" not in str(caught.value)


def test_a_picture_is_not_read_as_an_object(tmp_path: Path) -> None:
    detect, reader = detection(tmp_path)
    with pytest.raises(MalformedInstanceError):
        detect.detect(DetectionRequest(Medium.DICOM, picture(), None, None, 1.0))
    assert reader.orders == []
