"""What we release, of real files and mutated ones, is read by another library (NET-7)."""

import random
import subprocess
from pathlib import Path

import pytest

from anonymizer.deidentifier import deidentify
from anonymizer.part10 import write
from anonymizer.settings import MODELS, AnonymizerSettings
from core.errors import InputError
from core.limits import DataSetLimits
from core.model import study_identity
from service.cli.releasing import OneTimeKeys
from service.objects import read_part10
from tests.fuzz.mutation import mutated
from tests.fuzz.seeds import seeds

SAMPLE = 60


def released(content: bytes) -> bytes | None:
    settings = AnonymizerSettings()
    try:
        original = read_part10(content, DataSetLimits(max_elements=5000))
        replacement = OneTimeKeys().replacement(study_identity(original), settings)
        return write(deidentify(original, settings.profile(MODELS), replacement).released)
    except InputError:
        return None


@pytest.mark.external("DCMTK")
@pytest.mark.filterwarnings("ignore")  # of pydicom, about what was done to the objects
def test_dcmtk_reads_every_released_copy(tmp_path: Path) -> None:
    random_ = random.Random(3)
    originals = [content for name, content in sorted(seeds()) if name.endswith(".dcm")]
    copies = []
    for number in range(SAMPLE):
        content = originals[number % len(originals)]
        is_changed = number >= len(originals)
        copies.append(released(mutated(content, originals, random_) if is_changed else content))
    files = []
    for number, copy in enumerate(one for one in copies if one is not None):
        files.append(tmp_path / f"{number}.dcm")
        files[-1].write_bytes(copy)
    assert len(files) > SAMPLE / 6
    for file in files:
        done = subprocess.run(
            ["dcmdump", "--quiet", "+fo", str(file)], capture_output=True, check=False
        )
        assert done.returncode == 0, (file, done.stderr[:500])
