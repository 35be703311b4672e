"""One action for each attribute at each place. Source: PS3.15 E.1-1, E.1-1a."""

import pytest

from anonymizer.options import AVAILABLE, Option
from anonymizer.profile import CLEANABLE, Profile, resolve, row_of
from anonymizer.report import Action, Reason
from anonymizer.requirements import Requirement, requirement
from core.errors import ConfigurationError

CT, MR_ENHANCED, PET = (f"1.2.840.10008.5.1.4.1.1.{suffix}" for suffix in ("2", "4.1", "128"))
BASIC = Profile.of("basic", ())
VALUE, PRESENCE, NONE = Requirement.VALUE, Requirement.PRESENCE, Requirement.NONE


@pytest.mark.parametrize(
    ("cell", "needed", "expected"),
    [
        ("X/Z/D", VALUE, "D"),
        ("X/Z/D", PRESENCE, "Z"),
        ("X/Z/D", NONE, "X"),
        ("X/D", PRESENCE, "D"),
        ("X/D", NONE, "X"),
        ("X/Z", VALUE, "D"),
        ("X/Z", NONE, "X"),
        ("Z/D", VALUE, "D"),
        ("Z/D", NONE, "Z"),
        ("Z", VALUE, "D"),
        ("Z", NONE, "Z"),
        ("D", NONE, "D"),
        ("U", PRESENCE, "U"),
        ("X", VALUE, "D"),
        ("X", PRESENCE, "Z"),
        ("X", NONE, "X"),
    ],
)
def test_a_choice_is_made_by_the_attributes_type(
    cell: str, needed: Requirement, expected: str
) -> None:
    assert resolve(cell, needed, "LO") == expected


def test_references_that_are_demanded_go_on_resolving() -> None:
    """X/Z/U*: PS3.15 E.1-1a."""
    assert [resolve("X/Z/U*", needed, "SQ") for needed in Requirement] == ["U", "U", "X"]


def test_the_same_attribute_is_treated_by_the_iod_it_is_in() -> None:
    series_date = 0x00080021
    assert BASIC.decide(series_date, sop_class_uid=CT).action is Action.REMOVE
    assert BASIC.decide(series_date, sop_class_uid=PET).action is Action.DUMMY  # type 1 there


def test_what_the_table_removes_stays_as_a_dummy_where_the_iod_demands_it() -> None:
    """Presentation Creation Date is X in the table and of type 1 in presentation states."""
    presentation_state = f"{CT[:-2]}.11.1"
    decide = BASIC.decide
    assert decide(0x00700082, sop_class_uid=presentation_state).action is Action.DUMMY
    assert decide(0x00700082, sop_class_uid=CT).action is Action.REMOVE
    assert decide(0x00700082, sop_class_uid="1.2.3").action is Action.REMOVE


def test_an_unknown_class_is_treated_as_the_strictest() -> None:
    assert BASIC.decide(0x00080021, sop_class_uid="1.2.3").action is Action.DUMMY


def test_items_are_treated_by_their_sequence() -> None:
    """Institution Name is of type 3 in the equipment module, 1C with a person's identification."""
    operator = requirement(0x00080080, sop_class_uid=CT, sequence=0x00081072)
    assert operator is VALUE
    assert requirement(0x00080080, sop_class_uid=CT, sequence=None) is NONE


def test_functional_groups_keep_their_references() -> None:
    decision = BASIC.decide(0x00081140, sop_class_uid=MR_ENHANCED, sequence=0x52009230)
    assert decision.action is Action.REPLACE_UID


@pytest.mark.parametrize("tag", [0x60003000, 0x601E3000, 0x60020022, 0x50000010, 0x501E3000])
def test_pattern_rows_reach_every_group(tag: int) -> None:
    assert BASIC.decide(tag, sop_class_uid=CT).action is Action.REMOVE


def test_every_odd_group_is_private() -> None:
    assert {BASIC.decide(group << 16 | 0x1001, sop_class_uid=CT).reason for group in
            range(0x0009, 0xFFFF, 2)} == {Reason.PRIVATE}  # fmt: skip


def test_what_the_standard_does_not_know_goes() -> None:
    decision = BASIC.decide(0x00082222, sop_class_uid=CT)
    assert (decision.action, decision.reason) == (Action.REMOVE, Reason.UNKNOWN)


def test_unknown_classes_and_tags_do_not_fill_the_memory() -> None:
    profile = Profile.of("fresh", ())
    for number in range(500):
        profile.decide(0x00080000 + 0x2000 + number, sop_class_uid=f"1.2.{number}")
        profile.decide(0x00080020, sop_class_uid=f"1.2.{number}")
    assert len(profile._known) < 20


def test_an_option_changes_its_column_only() -> None:
    shifted = Profile.of("dates", [Option.RETAIN_MODIFIED_DATES])
    assert shifted.decide(0x00080020, sop_class_uid=CT).action is Action.CLEAN
    assert shifted.decide(0x00100040, sop_class_uid=CT) == BASIC.decide(
        0x00100040, sop_class_uid=CT
    )


def test_what_cannot_be_cleaned_falls_back_to_the_stricter_action() -> None:
    """Allergies are C with patient characteristics; texts cannot be cleaned yet."""
    characteristics = Profile.of("c", [Option.RETAIN_PATIENT_CHARACTERISTICS])
    decision = characteristics.decide(0x00102110, sop_class_uid=CT)
    assert (decision.action, decision.reason) == (Action.REMOVE, Reason.UNCLEANABLE)


def test_the_one_short_string_with_a_date_option_is_the_offset_from_utc() -> None:
    """`clean` relies on it."""
    from anonymizer.table_e1_1 import ROWS

    cleaned = {row[1] for row in ROWS if row[2] in CLEANABLE - {"DA", "DT", "TM"} and row[10]}
    assert cleaned == {"TimezoneOffsetFromUTC"}


@pytest.mark.parametrize("option", sorted(set(Option) - set(AVAILABLE)))
def test_an_option_that_is_not_built_is_refused_by_name(option: Option) -> None:
    with pytest.raises(ConfigurationError, match=f"not yet available: {option}"):
        Profile.of("research", [option])


def test_contradictory_options_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="contradict each other"):
        Profile.of("both", [Option.RETAIN_FULL_DATES, Option.RETAIN_MODIFIED_DATES])


def test_names_links_and_instances_outside_the_table_are_replaced_too() -> None:
    outside = {0x0040A067: "Z", 0x00081190: "X", 0x00700308: "K", 0x0020_9312: "U", 0x04000500: "X"}
    assert all(row_of(tag) is None for tag in outside)
    actions = {tag: BASIC.decide(tag, sop_class_uid=CT).action for tag in outside}
    assert actions == outside
