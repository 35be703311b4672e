"""The Basic profile plus options, resolved to one action for each attribute. Source: PS3.15 E.2."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache

from pydicom._dicom_dict import DicomDictionary

from anonymizer import beyond_table
from anonymizer.options import CONTRADICTIONS, Option, is_available
from anonymizer.report import Action, Reason
from anonymizer.requirements import Requirement, is_known, requirement
from anonymizer.table_e1_1 import COLUMNS, ROWS
from core.errors import ConfigurationError


@dataclass(frozen=True)
class Row:
    """One row of Table E.1-1."""

    vr: str
    basic: str
    """As printed: one action, or the choice between some."""
    by_option: dict[str, Action]


@dataclass(frozen=True)
class Decision:
    """What is to be done with one attribute at one place."""

    action: Action
    reason: Reason | None
    """None for what stays because nothing speaks of it."""
    otherwise: Action
    """What is done if the value cannot be kept or cleaned; never KEEP or CLEAN."""
    vr: str
    """As the standard gives it."""


PRIVATE = Decision(Action.REMOVE, Reason.PRIVATE, Action.REMOVE, "UN")


@dataclass(frozen=True)
class Profile:
    """The Basic profile and the options chosen with it."""

    name: str
    options: frozenset[Option]
    _known: dict[tuple[str, int | None, int], Decision] = field(
        default_factory=dict, repr=False, compare=False
    )

    @classmethod
    def of(cls, name: str, options: Iterable[Option]) -> "Profile":
        """Check the options against each other and against what works.

        Raises
        ------
        ConfigurationError
            If two options contradict each other, or one is not available.
        """
        chosen = frozenset(options)
        missing = sorted(option for option in chosen if not is_available(option))
        if missing:
            raise ConfigurationError(
                f"profile {name}: not yet available: {', '.join(missing)}",
                remedy="Take the option out; without it the stricter Basic profile applies",
            )
        for pair in CONTRADICTIONS:
            if pair <= chosen:
                raise ConfigurationError(
                    f"profile {name}: {' and '.join(sorted(pair))} contradict each other",
                    remedy="Choose one of them",
                )
        return cls(name, chosen)

    def decide(self, tag: int, *, sop_class_uid: str, sequence: int | None = None) -> Decision:
        """Return what is done with `tag` in a data set, or in an item of `sequence`."""
        if tag & 0x10000:
            return PRIVATE
        # One key for all unknown classes, none for unknown tags: what arrives must not fill memory.
        sop_class = sop_class_uid if sequence is None and is_known(sop_class_uid) else ""
        known = self._known.get((sop_class, sequence, tag))
        if known is None:
            known = self._resolve(tag, sop_class, sequence)
            if tag in DicomDictionary:
                self._known[sop_class, sequence, tag] = known
        return known

    def _resolve(self, tag: int, sop_class_uid: str, sequence: int | None) -> Decision:
        row = row_of(tag)
        reason = beyond_table.reason_to_remove(tag)
        if reason:
            reason = Reason.TABLE if row else reason
            return Decision(Action.REMOVE, reason, Action.REMOVE, "UN")
        if row is None:
            return self._beyond(tag)
        needed = requirement(tag, sop_class_uid=sop_class_uid, sequence=sequence)
        basic = resolve(row.basic, needed, row.vr)
        wanted = {row.by_option[option] for option in self.options if option in row.by_option}
        if not wanted:
            return Decision(basic, Reason.TABLE, basic, row.vr)
        # Where one option keeps and another cleans, cleaning protects more.
        action = Action.CLEAN if Action.CLEAN in wanted else Action.KEEP
        if action is Action.CLEAN and row.vr not in CLEANABLE:
            return Decision(basic, Reason.UNCLEANABLE, basic, row.vr)
        return Decision(action, Reason.OPTION, basic, row.vr)

    def _beyond(self, tag: int) -> Decision:
        kind, vr = beyond_table.kind(tag), beyond_table.vr_of(tag)
        if kind is None:
            return Decision(Action.KEEP, None, Action.DUMMY, vr)
        action = {
            beyond_table.PERSON: Action.EMPTY,
            beyond_table.LINK: Action.REMOVE,
            beyond_table.UID: self._choose((Option.RETAIN_UIDS, Action.KEEP), Action.REPLACE_UID),
            beyond_table.DATE: self._choose(
                (Option.RETAIN_FULL_DATES, Action.KEEP),
                self._choose((Option.RETAIN_MODIFIED_DATES, Action.CLEAN), Action.REMOVE),
            ),
        }[kind]
        otherwise = Action.REMOVE if action in {Action.KEEP, Action.CLEAN} else action
        return Decision(action, Reason.LIKE_THE_TABLE, otherwise, vr)

    def _choose(self, choice: tuple[Option, Action], default: Action) -> Action:
        return choice[1] if choice[0] in self.options else default


CLEANABLE = frozenset(("DA", "DT", "TM", "SH"))
"""VRs that CLEAN can do: dates and times, and (as SH) Timezone Offset From UTC."""


def resolve(basic: str, needed: Requirement, vr: str) -> Action:
    """Choose among the actions of a cell so that the object stays valid. Source: PS3.15 E.1-1a.

    `X/Z/D` and its like mean the leftmost that the attribute's type allows. A plain `Z` on an
    attribute that needs a value becomes a dummy, which `Z` permits. `U*` is taken for anything that
    is demanded, so that references go on resolving. A plain `X` on one of the few attributes that
    an IOD demands all the same says nothing instead, because the object must stay valid.
    """
    allowed = [Action(code.rstrip("*")) for code in basic.split("/")]
    if Action.REPLACE_UID in allowed and len(allowed) > 1:
        return Action.REMOVE if needed is Requirement.NONE else Action.REPLACE_UID
    if allowed == [Action.REMOVE]:
        return _BARELY_VALID[needed]
    if needed is Requirement.VALUE and Action.EMPTY in allowed:
        return Action.DUMMY if vr != "SQ" or Action.DUMMY in allowed else Action.EMPTY
    wish = {
        Requirement.VALUE: (Action.DUMMY, Action.REPLACE_UID, Action.EMPTY, Action.REMOVE),
        Requirement.PRESENCE: (Action.EMPTY, Action.DUMMY, Action.REPLACE_UID, Action.REMOVE),
        Requirement.NONE: (Action.REMOVE, Action.EMPTY, Action.DUMMY, Action.REPLACE_UID),
    }[needed]
    return next(action for action in wish if action in allowed)


_BARELY_VALID = {
    Requirement.VALUE: Action.DUMMY,
    Requirement.PRESENCE: Action.EMPTY,
    Requirement.NONE: Action.REMOVE,
}


@cache
def _rows() -> dict[str, Row]:
    return {
        tag: Row(
            vr.split(" ", maxsplit=1)[0] or "UN",
            cells[0],
            {name: Action(cell) for name, cell in zip(COLUMNS[1:], cells[1:], strict=True) if cell},
        )
        for tag, _, vr, *cells in ROWS
    }


def row_of(tag: int) -> Row | None:
    """Return the row that speaks of `tag`, its patterns included."""
    rows = _rows()
    if beyond_table.is_private(tag):
        return rows["private"]
    if tag & 0xFF000000 == 0x50000000:
        return rows["50XXXXXX"]
    text = f"{tag:08X}"
    return rows.get(f"60XX{text[4:]}" if text.startswith("60") else text)
