"""Released objects are as valid as their originals. Judge: dciodvfy (dicom3tools)."""

import re
import subprocess
from collections import Counter
from io import BytesIO
from pathlib import Path

import pytest

from anonymizer import part10
from anonymizer.deidentifier import deidentify
from anonymizer.options import Option
from anonymizer.profile import Profile
from core.errors import InputError
from tests.anonymizer.samples import DEFAULT_OPTIONS, replacement_for, run
from tests.support.builders import ct_image, endoscopic_image
from tests.support.builders import part10 as as_file
from tests.support.data import data_folder

pytestmark = [
    pytest.mark.external("dciodvfy"),
    pytest.mark.filterwarnings("ignore::UserWarning:pydicom"),
]
LARGEST_BYTES = 3_000_000
SETS_OF_OPTIONS = [(), DEFAULT_OPTIONS, (Option.RETAIN_UIDS, Option.RETAIN_FULL_DATES)]


def errors(path: Path) -> Counter[str]:
    """Return the judge's errors, with UIDs taken out: they differ by intent."""
    done = subprocess.run(["dciodvfy", str(path)], capture_output=True, timeout=60, check=False)
    lines = (done.stderr + done.stdout).decode(errors="replace").splitlines()
    return Counter(re.sub(r"<[\d.]+>", "<uid>", line) for line in lines if line.startswith("Error"))


def new_errors(content: bytes, options: tuple[Option, ...], folder: Path) -> Counter[str]:
    """Return the errors that de-identification brought in."""
    original = part10.read(BytesIO(content))
    profile = Profile.of("test", options)
    released = deidentify(original, profile, replacement_for(original)).released
    before, after = folder / "before.dcm", folder / "after.dcm"
    before.write_bytes(content)
    after.write_bytes(part10.write(released))
    return errors(after) - errors(before)


@pytest.mark.parametrize(
    "options", SETS_OF_OPTIONS, ids=lambda options: "+".join(options) or "basic"
)
@pytest.mark.parametrize("folder", ["modality", "objects", "linked", "private_nested", "charset"])
def test_no_error_that_the_original_did_not_have(
    folder: str, options: tuple[Option, ...], tmp_path: Path
) -> None:
    found = {}
    for path in sorted((data_folder() / "dicom" / folder).rglob("*")):
        if not path.is_file() or path.stat().st_size > LARGEST_BYTES:
            continue
        try:
            brought_in = new_errors(path.read_bytes(), options, tmp_path)
        except InputError:
            continue
        if brought_in:
            found[path.name] = dict(brought_in)
    assert found == {}


def test_our_own_samples_stay_valid(tmp_path: Path) -> None:
    for dataset in (ct_image(), endoscopic_image()):
        assert not new_errors(as_file(dataset), DEFAULT_OPTIONS, tmp_path)


def test_the_judge_can_fail(tmp_path: Path) -> None:
    released = run(ct_image()).released
    del released[0x00280010]
    broken = tmp_path / "broken.dcm"
    broken.write_bytes(part10.write(released))
    assert any("Rows" in line for line in errors(broken))
