"""Whatever was acknowledged survives kill -9."""

import hashlib
import itertools
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from archive.archive import Archive
from core.part10 import data_set_of
from dicom_node.ports import AssociationOrigin, IncomingObject
from service.intake import Intake
from tests.service.test_intake import OpenTrail
from tests.support.archives import NOON, PEER, make_archive
from tests.support.builders import ct_image, encoded, transfer_syntax

STUDY = "2.25.77"
EXPLICIT = transfer_syntax(implicit=False)


def _store_for_ever(base: Path) -> None:
    """Store object after object, and say which are acknowledged; runs until it is killed."""
    archive = make_archive(base)
    trail = OpenTrail(itertools.count(time.time_ns()))
    intake = Intake(archive, trail, lambda: NOON, b"c" * 32, 1)
    while True:
        dataset = ct_image(attributes={"StudyInstanceUID": STUDY})
        content = encoded(dataset)
        incoming = IncomingObject(str(dataset.SOPClassUID), str(dataset.SOPInstanceUID), EXPLICIT)
        reception = intake.begin(AssociationOrigin("a1", PEER), incoming)
        reception.write(content)
        reception.commit()
        digest = hashlib.sha256(content).hexdigest()
        sys.stdout.write(f"{incoming.sop_instance_uid} {digest}\n")
        sys.stdout.flush()


def _kept(archive: Archive) -> dict[str, str]:
    """Return every instance with the digest of its data set, each verified to its end."""
    found: dict[str, str] = {}
    with archive.snapshot() as tx:
        key = archive.revisions.newest(tx, archive.catalogue.locate(tx, STUDY)).key
        records = archive.catalogue.instances(tx, key)
    for record in records:
        content = archive.read_object(key.study_key, record.blob_name)
        digest = hashlib.sha256(data_set_of(content)).hexdigest()
        found[record.instance.sop_instance_uid] = digest
    return found


def _note(line: str, acknowledged: dict[str, str]) -> None:
    uid, _, digest = line.partition(" ")
    if digest.endswith("\n"):  # the last line may be cut
        acknowledged[uid] = digest.strip()


def test_nothing_that_was_acknowledged_is_lost_when_the_process_is_killed(tmp_path: Path) -> None:
    acknowledged: dict[str, str] = {}
    seed = random.Random(7)
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.service.test_intake_killed", str(tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        _note(process.stdout.readline(), acknowledged)
        time.sleep(seed.uniform(0, 0.3))
        process.send_signal(signal.SIGKILL)
        for line in process.stdout:
            _note(line, acknowledged)
        process.wait(30)
        process.stdout.close()
    archive = make_archive(tmp_path)
    kept = _kept(archive)
    assert {uid: kept.get(uid) for uid in acknowledged} == acknowledged
    with archive.snapshot() as tx:
        assert archive.outbox.count_pending(tx) == len(kept)
    report = archive.upkeep.sweep(now=time.time() + 10**6, grace_s=60)
    assert report.missing == ()
    archive.close()


if __name__ == "__main__":
    _store_for_ever(Path(sys.argv[1]))
