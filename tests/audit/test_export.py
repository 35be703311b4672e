"""The signed bundle: what is in it, and that nothing of it can be changed unseen."""

import io
import json
import zipfile
from datetime import timedelta
from pathlib import Path

import pytest

from audit.errors import BrokenChainError, CheckpointError
from audit.export import json_line, verify_bundle, write_bundle
from audit.search import AuditSearch, LoggedEvent
from audit.vocabulary import EventKind
from tests.audit.builders import (
    EVENTS,
    NOON,
    OTHER_KEY,
    PUBLIC_KEY,
    SEALER,
    Installation,
    records,
    signer,
    stamp,
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    return Installation(tmp_path_factory.mktemp("site")).fill(20)


def bundle(site: Installation, wanted: AuditSearch | None = None) -> io.BytesIO:
    target = io.BytesIO()
    write_bundle(
        target,
        site.folder,
        sealer=SEALER,
        signer=signer(),
        now=NOON,
        wanted=wanted or AuditSearch(),
    )
    target.seek(0)
    return target


def test_a_bundle_of_everything_proves_the_whole_log(site: Installation) -> None:
    report = verify_bundle(bundle(site), PUBLIC_KEY)
    assert (report.records, report.proven_size, report.exported_at) == (20, 20, NOON)


def test_a_bundle_of_some_records_is_signed_and_proves_no_completeness(site: Installation) -> None:
    with site.keeper() as keeper:
        keeper.append([SEALER.seal(EVENTS["query"](stamp(100)))])
    report = verify_bundle(bundle(site, AuditSearch(kind=EventKind.QUERY)), PUBLIC_KEY)
    assert (report.records, report.proven_size) == (1, 0)


def test_a_line_can_be_read_by_a_person_and_a_program() -> None:
    line = json.loads(json_line(LoggedEvent(3, EVENTS["accessed"](stamp())), b"\x01"))
    assert line["position"] == 3
    assert line["meaning"] == "DICOM Instances Accessed"
    assert line["event"]["time"] == "2026-11-20T12:00:00.123456+00:00"
    assert line["event"]["participants"][0]["user_id"] == "ada@hospital"


def test_an_unsigned_rest_is_exported_but_not_proven(tmp_path: Path) -> None:
    site = Installation(tmp_path).fill(8)
    with site.keeper() as keeper:
        keeper.append(records(range(8, 10)))
        report = verify_bundle(bundle(site), PUBLIC_KEY)
    assert (report.records, report.proven_size) == (10, 8)


def changed(source: io.BytesIO, name: str, old: bytes, new: bytes) -> io.BytesIO:
    """Write the bundle again with one of its files changed."""
    target = io.BytesIO()
    with zipfile.ZipFile(source) as before, zipfile.ZipFile(target, "w") as after:
        for info in before.infolist():
            content = before.read(info)
            assert info.filename != name or old in content
            after.writestr(info, content.replace(old, new) if info.filename == name else content)
    target.seek(0)
    return target


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("events.jsonl", b"ada@hospital", b"eve@hospital"),
        ("events.jsonl", b"PID-0001", b"PID-0002"),
        ("checkpoints", b"site-a", b"site-b"),
        ("public-key.pem", b"PUBLIC", b"PRIVATE"),
    ],
)
def test_a_changed_file_is_found(site: Installation, name: str, old: bytes, new: bytes) -> None:
    with pytest.raises(BrokenChainError, match="was changed"):
        verify_bundle(changed(bundle(site), name, old, new), PUBLIC_KEY)


def test_a_changed_manifest_is_found(site: Installation) -> None:
    with pytest.raises(CheckpointError):
        verify_bundle(changed(bundle(site), "manifest", b"2026", b"2027"), PUBLIC_KEY)


def test_a_bundle_of_another_key_is_refused(site: Installation) -> None:
    target = io.BytesIO()
    write_bundle(
        target, site.folder, sealer=SEALER, signer=signer(OTHER_KEY), now=NOON + timedelta(1)
    )
    with pytest.raises(CheckpointError):
        verify_bundle(target, PUBLIC_KEY)


def test_what_is_no_bundle_is_refused() -> None:
    empty = io.BytesIO()
    with zipfile.ZipFile(empty, "w"):
        pass
    for source in (io.BytesIO(b"PK nothing"), empty):
        with pytest.raises(BrokenChainError, match="no audit export"):
            verify_bundle(source, PUBLIC_KEY)
