"""Instances and pictures in, readings out."""

import io
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from core.findings import Box, Conclusion, Outcome, Reading
from core.model import InstanceKey
from imaging.decode import Decoder
from inference.engine import Engine
from inference.errors import ModelFailedError, ModelPackageError, NotAcceptedError
from inference.model import Model
from inference.package import Accepts, InputContract
from inference.registry import Registry
from inference.requests import ModelOrder, Skipped, StudyInstance
from tests.support.builders import ct_image, endoscopic_image, jpeg_frames
from tests.support.detector import bright_cells_package, picture_with_cells

A, B, C = (InstanceKey(name) for name in "abc")
NOT_FINITE = InputContract(width=64, height=64, scale=1e36)  # the sum of three channels is inf


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    folder = tmp_path_factory.mktemp("packages")
    bright_cells_package(folder / "cells")
    bright_cells_package(folder / "scope", accepts=Accepts(modalities=("ES",), pictures=False))
    bright_cells_package(folder / "failing", input=NOT_FINITE)
    with Decoder() as decoder, Engine(Registry([folder]), decoder, threads=1) as shared:
        yield shared


def frame(key: InstanceKey, *cells: tuple[int, int]) -> StudyInstance:
    return frames(key, [picture_with_cells(*cells)])


def frames(key: InstanceKey, pictures: list[NDArray[np.uint8]]) -> StudyInstance:
    dataset = endoscopic_image(pictures[0])
    dataset.NumberOfFrames = len(pictures)
    dataset.PixelData = b"".join(picture.tobytes() for picture in pictures)
    return encoded(key, dataset)


def encoded(key: InstanceKey, dataset: object) -> StudyInstance:
    out = io.BytesIO()
    dataset.save_as(out, enforce_file_format=True)  # type: ignore[attr-defined] # a data set
    return StudyInstance.whole(key, out.getvalue())


def read(engine: Engine, *instances: StudyInstance, model: str = "cells") -> Reading:
    (reading,) = engine.read_study(instances, [ModelOrder(model)])
    return reading


def test_findings_name_their_instance_and_frame(engine: Engine) -> None:
    dark, bright = picture_with_cells(), picture_with_cells((1, 2))
    reading = read(engine, frames(A, [dark, bright, dark]))
    (finding,) = reading.findings
    assert (finding.frame.instance_key, finding.frame.frame) == (A, 2)
    assert finding.region == Box(8, 16, 16, 24)
    assert reading.evaluations[0].frames == 3


def test_findings_are_in_the_same_order_however_instances_come(engine: Engine) -> None:
    instances = [frame(A, (1, 1), (2, 2)), frame(B, (0, 0)), frame(C, (7, 7))]
    forth, back = read(engine, *instances), read(engine, *reversed(instances))
    assert forth.findings == back.findings
    assert len(forth.findings) == 4


def test_nothing_found_is_no_finding(engine: Engine) -> None:
    assert read(engine, frame(A)).conclusion is Conclusion.NO_FINDING


def test_an_instance_that_cannot_be_read_says_why_and_spares_the_others(engine: Engine) -> None:
    reading = read(engine, frame(A), StudyInstance.whole(B, b"nothing"), frame(C))
    outcomes = [one.outcome for one in reading.evaluations]
    assert outcomes == [Outcome.EVALUATED, Outcome.COULD_NOT_PROCESS, Outcome.EVALUATED]
    assert reading.evaluations[1].reason == "The object names no transfer syntax"
    assert reading.conclusion is Conclusion.COULD_NOT_PROCESS


def test_pixels_that_end_early_are_not_begun(engine: Engine) -> None:
    dataset = endoscopic_image(picture_with_cells((0, 0)))
    dataset.NumberOfFrames = 2
    reading = read(engine, encoded(A, dataset))
    assert reading.findings == ()
    assert reading.evaluations[0].outcome is Outcome.COULD_NOT_PROCESS


def test_what_was_found_before_a_frame_that_cannot_be_decoded_counts(engine: Engine) -> None:
    last_is_broken = jpeg_frames([picture_with_cells(), picture_with_cells((1, 2))], broken=1)
    reading = read(engine, frame(B), encoded(A, last_is_broken))
    (finding,) = reading.findings
    assert (finding.frame.instance_key, finding.frame.frame) == (A, 2)
    assert reading.conclusion is Conclusion.FINDINGS
    assert not reading.is_complete
    whole, partial = reading.evaluations
    assert (whole.outcome, partial.outcome) == (Outcome.EVALUATED, Outcome.COULD_NOT_PROCESS)
    assert partial.frames == 2
    assert partial.reason.endswith("only 2 of 3 frames could be read")


def test_nothing_found_before_a_frame_that_cannot_be_decoded_is_not_no_finding(
    engine: Engine,
) -> None:
    last_is_broken = jpeg_frames([picture_with_cells()] * 2, broken=1)
    for instances in ([encoded(A, last_is_broken)], [frame(B), encoded(A, last_is_broken)]):
        assert read(engine, *instances).conclusion is Conclusion.COULD_NOT_PROCESS


def test_one_model_that_fails_at_a_late_frame_keeps_what_it_found(engine: Engine) -> None:
    class Failing:
        def __init__(self, model: Model) -> None:
            self.model, self.frames = model, 0

        def __getattr__(self, name: str) -> Any:
            return getattr(self.model, name)

        def detect(self, pixels: NDArray[np.uint8], *, threshold: float) -> Any:
            self.frames += 1
            if self.frames == 2:
                raise ModelFailedError("it gave numbers that are none")
            return self.model.detect(pixels, threshold=threshold)

    (reading,) = engine.open_readings([ModelOrder("cells")])
    reading.model = cast("Model", Failing(reading.model))
    shown = frames(A, [picture_with_cells((0, 0))] * 3)
    engine.read_instance([reading], A, shown.pieces, shown.size)
    concluded = reading.conclude()
    assert len(concluded.findings) == 1
    assert concluded.evaluations[0].outcome is Outcome.COULD_NOT_PROCESS
    assert "only 1 of 3 frames" in concluded.evaluations[0].reason


def test_what_the_model_does_not_accept_is_not_evaluated(engine: Engine) -> None:
    reading = read(engine, encoded(A, ct_image()), model="scope")
    assert reading.evaluations[0].outcome is Outcome.NOT_EVALUATED
    assert reading.evaluations[0].reason == "scope does not read modality CT"
    assert reading.conclusion is Conclusion.NOT_EVALUATED


def test_what_the_rules_skip_is_not_evaluated_and_not_decoded(engine: Engine) -> None:
    order = ModelOrder("cells", skipped=(Skipped(A, "The rule says so"),))
    (reading,) = engine.read_study([StudyInstance.whole(A, b"nothing"), frame(B)], [order])
    assert [one.reason for one in reading.evaluations] == ["The rule says so", ""]


def test_an_object_without_pixels_is_not_evaluated(engine: Engine) -> None:
    dataset = endoscopic_image()
    del dataset.PixelData
    reading = read(engine, encoded(A, dataset))
    assert reading.evaluations[0].outcome is Outcome.NOT_EVALUATED


def test_one_model_that_fails_spares_the_other(engine: Engine) -> None:
    orders = [ModelOrder("failing"), ModelOrder("cells")]
    failed, whole = engine.read_study([frame(A, (1, 1))], orders)
    assert failed.evaluations[0].outcome is Outcome.COULD_NOT_PROCESS
    assert failed.evaluations[0].reason == "Model failing gave numbers that are none"
    assert len(whole.findings) == 1


def test_the_threshold_of_the_order_is_the_one_in_effect(engine: Engine) -> None:
    order = ModelOrder("cells", score_threshold=0.6)
    half = np.full((64, 64, 3), 127, np.uint8)
    (reading,) = engine.read_study([frames(A, [half])], [order])
    assert reading.algorithm.threshold == 0.6
    assert reading.findings == ()


def test_another_package_than_the_one_ordered_is_refused(engine: Engine) -> None:
    with pytest.raises(ModelPackageError, match="not the one that was chosen"):
        engine.read_study([], [ModelOrder("cells", digest="0" * 64)])


def png(*cells: tuple[int, int]) -> bytes:
    out = io.BytesIO()
    Image.fromarray(picture_with_cells(*cells)[:48]).save(out, "PNG")
    return out.getvalue()


def test_a_picture_is_read_in_its_own_pixels(engine: Engine) -> None:
    answer = engine.read_picture(png((3, 1)), ModelOrder("cells"))
    assert (answer.rows, answer.columns) == (48, 64)
    (finding,) = answer.reading.findings
    assert finding.score == pytest.approx(1)
    assert answer.reading.evaluations[0].outcome is Outcome.EVALUATED


def test_a_model_that_is_none_for_pictures_says_so(engine: Engine) -> None:
    with pytest.raises(NotAcceptedError, match="scope does not read pictures"):
        engine.read_picture(png(), ModelOrder("scope"))


def test_what_is_no_picture_is_refused(engine: Engine) -> None:
    with pytest.raises(NotAcceptedError, match="neither a JPEG nor a PNG"):
        engine.read_picture(b"GIF89a", ModelOrder("cells"))


def test_a_model_that_fails_over_a_picture_is_an_error(engine: Engine) -> None:
    with pytest.raises(ModelFailedError):
        engine.read_picture(png((0, 0)), ModelOrder("failing"))


def test_states_name_what_is_loaded_and_what_is_refused(engine: Engine) -> None:
    engine.model("cells")
    states = {state.name: state for state in engine.states()}
    assert states["cells"].is_loaded
    assert replace(states["cells"], is_loaded=False, digest="").reason == ""
