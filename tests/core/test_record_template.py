"""Records that are written again and again with a few other values."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.record_template import LONGEST_KEPT, RecordTemplate
from core.records import dump_record


@dataclass(frozen=True)
class Note:
    """A record."""

    title: str
    name: str
    number: int | None
    end: str


@given(title=st.text(), name=st.text(), number=st.none() | st.integers(), end=st.text())
def test_a_template_writes_what_the_record_itself_would_be_written_as(
    title: str, name: str, number: int | None, end: str
) -> None:
    template = RecordTemplate(
        Note(title, "hole-1a5c", -77777777777, end), ("hole-1a5c", -77777777777)
    )
    assert template.fill((name, number)) == dump_record(Note(title, name, number, end))


@pytest.mark.parametrize("title", ["hole", "other"])
def test_a_hole_that_cannot_be_told_from_the_rest_is_refused(title: str) -> None:
    note = Note(title, "hole" if title == "hole" else "x", 1, "e")
    with pytest.raises(ValueError, match="exactly once"):
        RecordTemplate(note, ("hole",))


@pytest.mark.parametrize(("length", "is_short"), [(LONGEST_KEPT // 2, True), (LONGEST_KEPT, False)])
def test_a_template_says_whether_it_is_short_enough_to_be_kept(length: int, is_short: bool) -> None:
    note = Note("hole", "x" * length, 1, "e")
    assert RecordTemplate(note, ("hole",)).is_short is is_short
