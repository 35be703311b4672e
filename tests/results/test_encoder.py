import json

import pytest
from pydantic import ValidationError

from core.findings import Conclusion, FrameReference
from results.conformance import check_results
from results.encoder import encode
from results.errors import NotEncodableError
from results.json_report import json_report
from results.provenance import Kind
from results.settings import ResultsSettings
from tests.results.readings import (
    FRAME,
    KEY,
    READINGS,
    border,
    context,
    finding,
    frame_pixels,
    multi_frame_image,
    read_back,
    reading,
    sources,
)
from tests.support.builders import endoscopic_image


@pytest.mark.parametrize("conclusion", Conclusion)
def test_every_conclusion_becomes_a_report_and_a_capture(conclusion: Conclusion) -> None:
    image = endoscopic_image()
    made = encode(READINGS[conclusion], sources(image), context(), {FRAME: frame_pixels()})
    assert [each.kind for each in made] == [Kind.SR, Kind.SC]
    check_results([each.part10 for each in made], border(image))


def test_a_rerun_writes_the_same_bytes() -> None:
    study, pixels = sources(), {FRAME: frame_pixels()}
    one = READINGS[Conclusion.FINDINGS]
    assert encode(one, study, context(), pixels) == encode(one, study, context(), pixels)


def test_another_identity_version_makes_other_objects() -> None:
    study = sources()
    first = encode(reading(), study, context(identity_version=1))
    second = encode(reading(), study, context(identity_version=2))
    uids = {each.sop_instance_uid for each in (*first, *second)}
    assert len(uids) == 4


def test_the_index_of_an_object_is_what_its_bytes_say() -> None:
    for each in encode(reading(finding()), sources(), context()):
        again = read_back(each.part10)
        assert again.SOPClassUID == each.sop_class_uid
        assert again.SOPInstanceUID == each.sop_instance_uid
        assert again.SeriesInstanceUID == each.series_instance_uid
        assert again.file_meta.TransferSyntaxUID == each.transfer_syntax_uid


def test_the_report_says_if_captures_show_only_some_frames() -> None:
    found = [finding(frame=FrameReference(KEY, number)) for number in (1, 2, 3)]
    limited = context(ResultsSettings(captures_max=2))
    made = encode(reading(*found), sources(multi_frame_image(3)), limited)
    assert len(made) == 3
    assert b"Captures show 2 of 3 frames with findings." in made[0].part10


def test_an_institution_is_named_where_configured() -> None:
    settings = ResultsSettings(institution_name="Example Hospital")
    made = encode(reading(), sources(), context(settings))
    assert {read_back(each.part10).InstitutionName for each in made} == {"Example Hospital"}


def test_captures_alone_cannot_be_configured() -> None:
    """A11."""
    with pytest.raises(ValidationError, match="never the only result"):
        ResultsSettings(kinds=("SC",))


def test_a_study_without_patient_id_is_not_encodable() -> None:
    with pytest.raises(NotEncodableError):
        encode(reading(), sources(endoscopic_image(attributes={"PatientID": ""})), context())


def test_a_report_of_a_later_revision_has_its_own_uids_and_series() -> None:
    study = sources()
    first, second = (encode(reading(), study, context(revision=n))[0] for n in (1, 2))
    assert first.sop_instance_uid != second.sop_instance_uid
    assert read_back(second.part10).SeriesNumber == 9011


@pytest.mark.parametrize("conclusion", Conclusion)
def test_json_holds_the_conclusion_and_only_json(conclusion: Conclusion) -> None:
    one = READINGS[conclusion]
    told = json_report(one, sources(), completed_by="quiet for 180 s")
    assert json.loads(json.dumps(told)) == told
    assert told["conclusion"] == conclusion.value
    assert len(told["findings"]) == len(one.findings)


def test_json_has_boxes_as_found_and_uids_of_the_originals() -> None:
    image = endoscopic_image()
    told = json_report(reading(finding()), sources(image), completed_by="quiet for 180 s")
    (found,) = told["findings"]
    assert found["bbox"] == [3, 4, 20, 25.5]
    assert found["sop_instance_uid"] == image.SOPInstanceUID
    assert found["score"] == 0.87
