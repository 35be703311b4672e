"""An instance that could be read only to some frame: what was found is said, the rest is not."""

from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import FileDataset

from core.findings import Conclusion
from core.model import RevisionKey
from tests.support.builders import jpeg_frames
from tests.support.detector import picture_with_cells
from tests.support.house import House, house


def results(home: House, revision: RevisionKey) -> dict[str, FileDataset]:
    archive = home.foundation.archive
    with archive.snapshot() as tx:
        made = archive.results.objects(tx, revision)
    contents = [archive.read_object(revision.study_key, one.blob_name) for one in made]
    return {str(read.Modality): read for read in map(dcmread, map(BytesIO, contents))}


@pytest.mark.parametrize(
    ("cells", "conclusion"),
    [([(1, 1)], Conclusion.FINDINGS), ([], Conclusion.COULD_NOT_PROCESS)],
)
def test_a_late_frame_that_cannot_be_decoded_makes_the_reading_partial(
    tmp_path: Path, cells: list[tuple[int, int]], conclusion: Conclusion
) -> None:
    pictures = [picture_with_cells(), picture_with_cells(*cells)]
    with house(tmp_path) as home:
        revision = home.take(jpeg_frames(pictures, broken=1))
        home.process(revision)
        archive = home.foundation.archive
        with archive.snapshot() as tx:
            (reading,) = archive.results.readings(tx, revision)
        report = results(home, revision)["SR"]
    assert reading.conclusion is conclusion
    assert len(reading.findings) == len(cells)
    assert report.CompletionFlag == "PARTIAL"
    said = " ".join(str(each.value) for each in report.iterall() if each.keyword == "TextValue")
    assert "only 2 of 3 frames could be read" in said
    assert "No finding" not in said
