"""Every row of PS3.15 Table E.1-1, under every allowed set of options, at depth 0, 1 and 3.

The expectation is read from the standard's table itself, not from our module.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import pytest
from pydicom import Dataset
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement

from anonymizer.options import AVAILABLE, CONTRADICTIONS, Option
from anonymizer.table_e1_1 import ROWS
from tests.anonymizer.samples import released, replacement_for
from tests.support.builders import ct_image
from tests.support.data import standard_folder
from tools.make_table_e1_1 import PACKAGE, modules

COLUMN_OF = {
    Option.RETAIN_UIDS: "rtn_uids",
    Option.RETAIN_INSTITUTION_IDENTITY: "rtn_inst_id",
    Option.RETAIN_PATIENT_CHARACTERISTICS: "rtn_pat_chars",
    Option.RETAIN_FULL_DATES: "rtn_long_full_dates",
    Option.RETAIN_MODIFIED_DATES: "rtn_long_modif_dates",
}
UNTOUCHED_SEQUENCES = (0x00081115, 0x0008114A, 0x00081250)
"""Not in the table: they are gone through, and carry our rows to their depth."""

UNSTORABLE = {"(0000,1000)", "(0000,1001)", "(0002,0003)"}
"""Of the command set and of the file's header, never of a data set."""

REFERENCED_UID = "1.2.3.4.5.6789"
MARKER = "A planted code"


@dataclass(frozen=True)
class Row:
    """One row, for one concrete tag that it speaks of."""

    tag: int
    vr: str
    cells: dict[str, str]

    def actions(self, options: Sequence[Option]) -> set[str]:
        """Return the actions that the table allows under `options`."""
        wanted = {self.cells[COLUMN_OF[option]] for option in options} - {""}
        return wanted or set(self.cells["basic"].replace("*", "").split("/"))


def table() -> list[dict[str, str]]:
    path = standard_folder() / "table_E.1-1.csv"
    with path.open(encoding="utf-8") as source:
        return list(csv.DictReader(source))


def rows() -> Iterator[Row]:
    for cells in table():
        if cells["tag"] in UNSTORABLE:
            continue
        for tag in concrete_tags(cells["tag"]):
            vr = (cells["vr"] or "LO").split(" ")[0]
            yield Row(tag, vr, cells)


def concrete_tags(text: str) -> list[int]:
    if "ODD" in text:
        return [0x00091001, 0x00E11001, 0x7FE11010]
    digits = text.strip("()").replace(",", "")
    if digits.startswith("50XX"):
        return [0x50000010, 0x501E3000]
    groups = [digits[:2] + low for low in ("00", "1E")] if "XX" in digits[:4] else [digits[:4]]
    return [int(group + digits[4:], 16) for group in groups]


def option_sets() -> list[tuple[Option, ...]]:
    chosen = [
        options
        for size in range(len(AVAILABLE) + 1)
        for options in combinations(AVAILABLE, size)
        if not any(pair <= set(options) for pair in CONTRADICTIONS)
    ]
    assert len(chosen) == 24
    return chosen


def planted(row: Row) -> DataElement:
    if row.vr != "SQ":
        return DataElement(row.tag, row.vr, value_for(row))
    item = Dataset()
    item.CodeMeaning = MARKER
    item.ReferencedSOPInstanceUID = REFERENCED_UID
    return DataElement(row.tag, "SQ", [item])


def value_for(row: Row) -> object:
    """Return a value that no other row has, so that none is taken out for another's sake."""
    if row.tag == 0x00080201:
        return "+0100"
    text = f"T{row.tag:08X}"
    values: dict[str, object] = {
        "AS": "043Y",
        "DA": "20240229",
        "DS": "1.5",
        "DT": "20240229101500.5+0100",
        "IS": row.tag % 100_000,
        "OB": text.encode(),
        "PN": f"P{row.tag:08X}^Q{row.tag:08X}",
        "TM": "101500",
        "UI": f"1.2.3.{row.tag}",
        "UN": text.encode(),
        "UR": f"http://{text}.example",
        "US": 4711,
    }
    return values.get(row.vr, text)


def full_object(depth: int) -> Dataset:
    """Return an object with every row's attribute at the given depth, and nothing of the kind
    elsewhere."""
    target = Dataset()
    for row in rows():
        target.add(planted(row))
    dataset = ct_image()
    if depth == 0:
        kept = {"SOPClassUID": dataset.SOPClassUID, "PatientID": "PID-0001"}
        dataset.update(target)
        for keyword, value in kept.items():
            setattr(dataset, keyword, value)
        return dataset
    outer: Dataset = dataset
    for tag in UNTOUCHED_SEQUENCES[: depth - 1]:
        outer.add(DataElement(tag, "SQ", [Dataset()]))
        outer = outer[tag].value[0]
    outer.add(DataElement(UNTOUCHED_SEQUENCES[depth - 1], "SQ", [target]))
    return dataset


def at_depth(dataset: Dataset, depth: int) -> Dataset:
    for tag in UNTOUCHED_SEQUENCES[:depth]:
        dataset = dataset[tag].value[0]
    return dataset


def obeys(action: str, row: Row, before: Dataset, after: Dataset) -> bool:
    """Whether the attribute looks as `action` wants it."""
    if row.tag not in after:
        return action == "X"
    old, new = before[row.tag], after[row.tag]
    if row.vr == "SQ":
        return sequence_obeys(action, new)
    looks: dict[str, bool] = {
        "X": False,
        "Z": new.is_empty or new.value != old.value,
        "D": not new.is_empty and new.value != old.value,
        "K": new.value == old.value,
        "C": not new.is_empty and (row.vr in {"TM", "SH"} or new.value != old.value),
        "U": str(new.value).startswith("2.25."),
    }
    return looks[action]


def sequence_obeys(action: str, new: DataElement) -> bool:
    meanings = [entry.get("CodeMeaning") for entry in new.value]
    references = [str(entry.get("ReferencedSOPInstanceUID", "")) for entry in new.value]
    return {
        "X": False,
        "Z": not new.value,
        "D": bool(new.value) and MARKER not in meanings and REFERENCED_UID not in references,
        "K": meanings == [MARKER],
        "C": False,
        "U": meanings == [MARKER] and all(uid.startswith("2.25.") for uid in references),
    }[action]


def test_our_table_is_the_standards_table() -> None:
    columns = list(table()[0])[5:]
    theirs = [tuple(cells[column] for column in columns) for cells in table()]
    assert [row[3:] for row in ROWS] == theirs
    assert len(ROWS) == 621


def test_the_checked_in_modules_are_what_the_tool_makes() -> None:
    for name, text in modules(standard_folder()).items():
        assert (PACKAGE / name).read_text(encoding="utf-8") == text


@pytest.mark.parametrize("depth", [0, 1, 3])
@pytest.mark.parametrize("options", option_sets(), ids=lambda options: "+".join(options) or "basic")
def test_every_row_gets_an_action_that_the_table_allows(
    options: tuple[Option, ...], depth: int
) -> None:
    original = full_object(depth)
    before, after = at_depth(original, depth), at_depth(released(original, *options), depth)
    differences = [
        f"{row.tag:08X} {row.cells['keyword']} {row.actions(options)}"
        for row in rows()
        if not any(obeys(action, row, before, after) for action in permitted(row, options))
    ]
    assert differences == []


def permitted(row: Row, options: Sequence[Option]) -> set[str]:
    """Return the allowed actions; where an option's cleaning is not available, the stricter ones.

    Cleaned texts and pictures of time stamps cannot be told from originals: they go.
    """
    actions = row.actions(options)
    if "C" in actions and row.vr not in {"DA", "DT", "TM"} and row.tag != 0x00080201:
        return set(row.cells["basic"].split("/"))
    # Retaining options contradict each other on devices' dates: the one that protects more wins.
    return {"C"} if "C" in actions else actions


def test_the_planted_values_are_of_the_right_kind() -> None:
    """Otherwise the test above would test nothing."""
    wrong = [
        row
        for row in rows()
        if row.cells["vr"] and len(row.cells["vr"]) == 2 and not row.tag & 0x10000
        if row.tag >> 24 not in {0x50, 0x60} and dictionary_VR(row.tag) != row.vr
    ]
    assert wrong == []


def test_the_file_header_names_the_new_instance() -> None:
    """(0002,0003) is a row of the table, and no part of a data set."""
    original = ct_image()
    after = released(original)
    expected = replacement_for(original).uids.map(original.SOPInstanceUID)
    assert after.file_meta.MediaStorageSOPInstanceUID == after.SOPInstanceUID == expected


def test_elements_of_the_command_set_do_not_survive() -> None:
    """(0000,1000) and (0000,1001) never occur in a stored file."""
    original = ct_image()
    original.add(DataElement(0x00001000, "UI", "1.2.3"))
    original.add(DataElement(0x00001001, "UI", "1.2.3"))
    assert not [element.tag for element in released(original) if element.tag < 0x00080000]
