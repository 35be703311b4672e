"""The statements of `custody`, in terms of our tables."""

from collections.abc import Collection
from functools import cache

from sqlalchemy import Table, bindparam, func, null, select, update

from archive.prepared import DialectInsert, Prepared
from archive.tables import arrival, instance, journey, outbox, patient, revision, series, study

_SIZES = (1, 2, 4, 8, 16, 32, 64)
"""Lists are filled up to one of these, so that there are few statements to prepare."""


def listed(values: Collection[object]) -> dict[str, object]:
    """Return the values of a list by the names they have in a statement, filled up."""
    some = list(values)
    some += some[-1:] * (_listed(len(some)) - len(some))
    return {f"value_{number}": value for number, value in enumerate(some)}


def known_digests(size: int) -> Prepared:
    """Return what tells which SOP digests we have; rows are digests."""
    return _known_digests(_listed(size))


def newest_revisions(size: int) -> Prepared:
    """Return what tells of studies: key, identity digest; newest revision: number, state, hold."""
    return _newest_revisions(_listed(size))


@cache
def _known_digests(size: int) -> Prepared:
    return Prepared(
        select(instance.c.sop_digest).where(instance.c.sop_digest.in_(_parameters(size)))
    )


@cache
def _newest_revisions(size: int) -> Prepared:
    later = revision.alias("later")
    newest = (
        select(func.max(later.c.number))
        .where(later.c.study_key == study.c.study_key)
        .scalar_subquery()
    )
    return Prepared(
        select(
            study.c.study_key,
            study.c.identity_digest,
            revision.c.number,
            revision.c.state,
            revision.c.hold_reason,
        )
        .select_from(study)
        .join(
            revision,
            (revision.c.study_key == study.c.study_key) & (revision.c.number == newest),
        )
        .where(study.c.study_key.in_(_parameters(size)))
    )


def _listed(size: int) -> int:
    return next(one for one in _SIZES if one >= size)


def _parameters(size: int) -> list[object]:
    return [bindparam(f"value_{number}") for number in range(size)]


def _plain(table: Table) -> Prepared:
    columns = [column.name for column in table.columns if column.autoincrement is not True]
    return Prepared(table.insert().inline(), columns)


def _if_new(table: Table) -> Prepared:
    columns = [column.name for column in table.columns if column.autoincrement is not True]
    return Prepared(lambda insert: insert(table).inline().on_conflict_do_nothing(), columns)


def _counted(insert: DialectInsert) -> object:
    brought = insert(arrival)
    return brought.on_conflict_do_update(
        index_elements=["association_id", "study_key", "modality"],
        set_={
            "stored": arrival.c.stored + brought.excluded.stored,
            "duplicates": arrival.c.duplicates + brought.excluded.duplicates,
            "last_at": brought.excluded.last_at,
            "reported_at": null(),  # there is more to report
        },
    )


PATIENT, SERIES, OUTBOX = _if_new(patient), _if_new(series), _if_new(outbox)
STUDY, REVISION, JOURNEY = _plain(study), _plain(revision), _plain(journey)
INSTANCE = _plain(instance)
ARRIVAL = Prepared(_counted, [column.name for column in arrival.columns])
EXTENSION = Prepared(
    update(revision)
    .where(
        revision.c.study_key == bindparam("of_study"), revision.c.number == bindparam("of_number")
    )
    .values(
        number_of_instances=revision.c.number_of_instances + bindparam("more"),
        last_instance_at=bindparam("at"),
        updated_at=bindparam("at"),
    )
)
