"""`archive scrub` as an operator runs it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import second_reader
from tests.support.house import House, house, image_with_cells


@pytest.fixture
def home(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path) as opened:
        opened.take(image_with_cells((1, 1), StudyInstanceUID="2.25.55"))
        yield opened


def test_whole_objects_are_counted_and_the_command_leaves_its_record(
    home: House, tmp_path: Path
) -> None:
    config = tmp_path / "config.yaml"
    ran = second_reader("archive", "scrub", "--config", config, "--json")
    assert ran.code == 0, ran.err
    assert (ran.data["ok"], ran.data["objects"], ran.data["damaged"]) == (True, 1, [])
    assert "1 stored object read, 0 damaged" in second_reader("audit", "read", "-c", config).out


def test_a_damaged_object_ends_the_command_with_1_and_shows_in_its_study(
    home: House, tmp_path: Path
) -> None:
    config = tmp_path / "config.yaml"
    (path,) = (p for p in (tmp_path / "data" / "objects").rglob("*") if p.is_file())
    path.write_bytes(path.read_bytes()[:-1])
    ran = second_reader("archive", "scrub", "--config", config)
    assert ran.code == 1
    assert "1 stored object read, 1 damaged" in ran.out
    shown = second_reader("study", "show", "2.25.55", "--config", config)
    assert "damaged objects" in shown.out
    assert "HELD" in shown.out
    data = second_reader("study", "show", "2.25.55", "--config", config, "--json").data
    assert [one["kind"] for one in data["damaged"]] == ["instance"]
    assert data["hold_reason"] == "damaged object"
