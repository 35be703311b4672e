"""Released copies, readings and result objects."""

from dataclasses import replace

import pytest

from archive.archive import Archive
from archive.errors import UnknownResultError
from archive.index import ResultKey
from archive.results import ReleasedCopy, ResultObject
from core.codes import LESION, POLYP
from core.findings import Algorithm, Box, Evaluation, Finding, FrameReference, Outcome, Reading
from core.model import InstanceKey, RevisionKey
from tests.support.archives import at, stored

KEY = InstanceKey("a" * 26)
FINDING = Finding(POLYP, "polyp", 0.9, None, FrameReference(KEY, 1), Box(1, 2, 3, 4))
READING = Reading(
    Algorithm("polyp", "1.0.0", "us", "0" * 64, (("threshold", "0.5"),), 0.5, ("polyp",), LESION),
    (FINDING,),
    (Evaluation(KEY, Outcome.EVALUATED, 1),),
)


def made(
    archive: Archive, key: RevisionKey, *, uid: str = "2.25.7", kind: str = "SR"
) -> ResultObject:
    """Return a result object whose bytes lie in the archive."""
    writer = archive.put_object(key.study_key, uid.encode())
    return ResultObject(
        revision=key,
        kind=kind,
        ordinal=1,
        sop_class_uid="1.2.840.10008.5.1.4.1.1.88.34",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        sop_instance_uid=uid,
        series_instance_uid=f"{uid}.1",
        identity_version=1,
        blob_name=writer.name,
        size_bytes=writer.size_bytes,
        created_at=at(70),
        meta=b"\x00\xff meta",
    )


def _copy(archive: Archive, key: RevisionKey, recipe: str = "r1") -> ReleasedCopy:
    with archive.snapshot() as tx:
        (original,) = archive.catalogue.instances(tx, key)
    writer = archive.put_object(key.study_key, recipe.encode())
    return ReleasedCopy(
        original.instance_key,
        key.study_key,
        recipe,
        writer.name,
        writer.size_bytes,
        "",
        at(65),
        b"m",
    )


def test_a_released_copy_takes_the_place_of_the_one_before(archive: Archive) -> None:
    key = stored(archive, 1)
    first, second = _copy(archive, key), _copy(archive, key, "r2")
    with archive.transaction() as tx:
        assert archive.results.put_released(tx, first) is None
        assert archive.results.put_released(tx, first) is None
        assert archive.results.put_released(tx, second) == first.blob_name
        assert archive.results.released(tx, key) == (second,)


def test_an_instance_that_could_not_be_released_says_why(archive: Archive) -> None:
    key = stored(archive, 1)
    refused = replace(_copy(archive, key), blob_name=None, size_bytes=0, reason="no pixels")
    with archive.transaction() as tx:
        archive.results.put_released(tx, refused)
        assert archive.results.released(tx, key) == (refused,)


def test_readings_of_a_later_attempt_replace_those_of_an_earlier(archive: Archive) -> None:
    key = stored(archive, 1)
    other = replace(READING, findings=())
    with archive.transaction() as tx:
        archive.results.put_readings(tx, key, (READING, other), at=at(1))
        assert archive.results.readings(tx, key) == (READING, other)
        archive.results.put_readings(tx, key, (other,), at=at(2))
        assert archive.results.readings(tx, key) == (other,)


def test_an_object_is_never_made_twice(archive: Archive) -> None:
    key = stored(archive, 1)
    first, again = made(archive, key), made(archive, key)
    with archive.transaction() as tx:
        assert archive.results.put_object(tx, first) == first
        kept = archive.results.put_object(tx, again)
        assert archive.results.objects(tx, key) == (first,)
    assert kept.blob_name == first.blob_name != again.blob_name


def test_an_object_under_another_identity_takes_the_place_of_the_old_one(archive: Archive) -> None:
    key = stored(archive, 1)
    old, new = made(archive, key), replace(made(archive, key, uid="2.25.8"), identity_version=2)
    with archive.transaction() as tx:
        archive.results.put_object(tx, old)
        archive.results.put_object(tx, new)
        assert archive.results.objects(tx, key) == (new,)
        assert len(archive.results.objects_of_study(tx, key.study_key)) == 2
        archive.results.put_object(tx, old)  # the identity was put back
        assert archive.results.objects(tx, key) == (old,)


def test_objects_that_a_later_attempt_does_not_make_are_withdrawn(archive: Archive) -> None:
    key = stored(archive, 1)
    sr, sc = made(archive, key), made(archive, key, uid="2.25.8", kind="SC")
    with archive.transaction() as tx:
        archive.results.put_object(tx, sr)
        archive.results.put_object(tx, sc)
        archive.results.keep_only(tx, key, [archive.results.key_of(sr)], at=at(80))
        archive.results.keep_only(tx, key, [archive.results.key_of(sr)], at=at(81))
        assert archive.results.objects(tx, key) == (sr,)
        assert archive.results.object(tx, archive.results.key_of(sc)).withdrawn_at == at(80)


def test_the_first_passed_check_is_kept(archive: Archive) -> None:
    key = stored(archive, 1)
    sr = made(archive, key)
    with archive.transaction() as tx:
        archive.results.put_object(tx, sr)
        archive.results.mark_checked(tx, archive.results.key_of(sr), at=at(90))
        archive.results.mark_checked(tx, archive.results.key_of(sr), at=at(91))
        assert archive.results.objects(tx, key)[0].checked_at == at(90)


def test_an_unknown_object_is_told_by_its_own_error(archive: Archive) -> None:
    with archive.snapshot() as tx, pytest.raises(UnknownResultError):
        archive.results.object(tx, ResultKey("x" * 26))
