"""The whole service is killed while four senders push: nothing that was acknowledged is lost.

`SECOND_READER_KILL_TRIALS` says how often (5 by default). Trials that are done are noted in the
folder `SECOND_READER_KILL_STATE`, and a later run goes on after them (`make torture`).
"""

import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from archive.archive import Archive
from archive.entries import Standing
from archive.results import ResultObject
from audit.search import read_events
from audit.vocabulary import EventKind
from core.part10 import data_set_of
from core.states import DeliveryState, RevisionState
from service.foundation import Foundation, opened
from service.settings import load_settings
from tests.support.detector import bright_cells_package
from tests.support.installation import Service, install, running
from tests.support.peers import Orthanc, orthanc
from tests.support.senders import Sender, SentObject, push, send

SENDERS = 4
LONGEST_PUSH_S = 8.0
LONGEST_RECOVERY_S = 4.0
"""Every third trial kills again, while what was left of the first time is taken up."""
SETTLED_WITHIN_S = 120.0
SEED = 20261121
TRIALS = int(os.environ.get("SECOND_READER_KILL_TRIALS", "5"))
STATE = os.environ.get("SECOND_READER_KILL_STATE")

pytestmark = [
    pytest.mark.external("DCMTK", "Orthanc"),
    pytest.mark.slow,
    pytest.mark.timeout(300),
]


@dataclass
class House:
    """One installation and one archive that results go to, for all trials."""

    service: Service
    server: Orthanc
    foundation: Foundation
    folder: Path
    sent: list[SentObject] = field(default_factory=list)
    """All that was acknowledged, over all trials."""

    @property
    def archive(self) -> Archive:
        """What the service keeps, read beside it."""
        return self.foundation.archive


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("kill")
    bright_cells_package(folder / "packages" / "bright")
    with ExitStack() as stack:
        server = stack.enter_context(orthanc(folder / "orthanc"))
        service = install(
            folder / "installation",
            destinations=[
                {
                    "name": "pacs",
                    "host": "127.0.0.1",
                    "port": server.dicom_port,
                    "called_ae_title": server.ae_title,
                }
            ],
            sections={
                "completeness": {
                    "quiet_time_s": 1.0,
                    "check_interval_s": 0.25,
                    "association_lease_s": 5.0,
                },
                "dicom_node": {"heartbeat_s": 1.0},
                "inference": {
                    "models": [{"name": "bright"}],
                    "package_folders": [str(folder / "packages")],
                },
                "delivery": {"first_delay_s": 1.0},
            },
        )
        stack.enter_context(running(service))
        foundation = stack.enter_context(opened(load_settings(service.config), "test"))
        yield House(service, server, foundation, folder)


@pytest.mark.parametrize("trial", range(TRIALS))
def test_nothing_acknowledged_is_lost_and_every_study_ends_once(house: House, trial: int) -> None:
    if trial in _done():
        pytest.skip(f"done before, says {STATE}")
    random = Random(SEED + trial)
    after_s = random.uniform(0.1, LONGEST_PUSH_S)
    senders = [
        Sender(
            house.folder / f"trial-{trial}" / f"{n}",
            house.service.dicom_port,
            Random(random.random()),
        )
        for n in range(SENDERS)
    ]

    def kill() -> None:
        time.sleep(after_s)
        house.service.kill()

    push(senders, kill)
    acknowledged = [one for sender in senders for one in sender.acknowledged]
    house.sent += acknowledged
    house.service.start()
    if trial % 3 == 2:
        time.sleep(random.uniform(0.0, LONGEST_RECOVERY_S))
        house.service.kill()
        house.service.start()
    _assert_kept(house, acknowledged)
    if trial % 2:
        _send_the_rest(house, senders)
    settled_s = _wait_until_settled(house)
    _assert_kept(house, house.sent)
    _assert_custody_recorded(house, acknowledged)
    facts = _assert_one_result_set_for_each_revision(house)
    verified = house.service.json("audit", "verify")
    assert verified["ok"], verified
    facts["acknowledged"] = len(acknowledged)
    facts["unanswered"] = sum(len(sender.unanswered) for sender in senders)
    facts["killed_after_s"], facts["settled_after_s"] = round(after_s, 2), round(settled_s, 1)
    _note(trial, facts)


def _send_the_rest(house: House, senders: list[Sender]) -> None:
    """Send what was not answered again, and with it something that was, as senders do."""
    for sender in senders:
        again = sender.unanswered + sender.acknowledged[-1:]
        if again:
            assert len(send(house.service.dicom_port, again)) == len(again)
            house.sent += sender.unanswered


def _assert_kept(house: House, acknowledged: list[SentObject]) -> None:
    """Every object that was answered with success is there, whole, and counts, once."""
    archive = house.archive
    with archive.snapshot() as tx:
        known = {one: archive.studies.known(tx, one.sop_instance_uid) for one in acknowledged}
    for one, found in known.items():
        assert [entry.standing for entry in found] == [Standing.CURRENT], one.sop_instance_uid
        kept = archive.read_object(found[0].study_key, found[0].blob_name)
        assert bytes(data_set_of(kept)) == one.data_set, one.sop_instance_uid
    missing = archive.upkeep.sweep(now=0.0, grace_s=1e12).missing
    assert not missing, "rows without files"


def _wait_until_settled(house: House) -> float:
    """Return after how many seconds every study was completed and every result delivered."""
    archive, started = house.archive, time.monotonic()
    unsettled = [state for state in RevisionState if state is not RevisionState.COMPLETED]
    while True:
        with archive.snapshot() as tx:
            states = Counter(r.state for s in unsettled for r in archive.revisions.in_state(tx, s))
            waiting = archive.deliveries.unfinished(tx)
        spent = time.monotonic() - started
        if not states and not waiting:
            return spent
        stuck = f"{dict(states)}, {len(waiting)} deliveries wait\n{house.service.tail()}"
        assert spent < SETTLED_WITHIN_S, stuck
        time.sleep(0.2)


def _assert_custody_recorded(house: House, acknowledged: list[SentObject]) -> None:
    """Each object has a record of its custody, in the log or on the way to it."""
    foundation = house.foundation
    deadline = time.monotonic() + 60
    expected = {one.sop_instance_uid for one in acknowledged}
    while True:
        events = read_events(foundation.audit_settings.folder, foundation.trail.sealer)
        recorded = {
            uid
            for logged in events
            if logged.event.kind is EventKind.CUSTODY_TAKEN
            for about in logged.event.objects
            for sop_class in about.sop_classes
            for uid in sop_class.instances
        }
        if expected <= recorded:
            return
        assert time.monotonic() < deadline, f"{len(expected - recorded)} without a record"
        time.sleep(1)


def _assert_one_result_set_for_each_revision(house: House) -> dict[str, float]:
    """Compare our records with what the destination received; return the counts over all trials."""
    ours = _ours(house)
    received = _received(house.server)
    for revision, objects in ours.items():
        assert all(made.withdrawn_at is None for made in objects), revision
        numbers = Counter((made.kind, made.ordinal) for made in objects)
        assert numbers["SR", 1] == 1, revision
        assert set(numbers.values()) == {1}, revision
    uids = [made.sop_instance_uid for objects in ours.values() for made in objects]
    assert len(uids) == len(set(uids))
    assert set(received) == set(uids)
    return {
        "studies": len({revision.rpartition(".")[0] for revision in ours}),
        "revisions": len(ours),
        "results": len(uids),
        "received_again": received.total() - len(uids),
    }


def _ours(house: House) -> dict[str, tuple[ResultObject, ...]]:
    """Return every result object ever made, withdrawn or not, by revision."""
    archive = house.archive
    with archive.snapshot() as tx:
        done = archive.revisions.in_state(tx, RevisionState.COMPLETED)
        keys = {record.key.study_key for record in done}
        made = {key: archive.results.objects_of_study(tx, key) for key in keys}
        deliveries = {key: archive.deliveries.of_study(tx, key) for key in keys}
    for key, records in deliveries.items():
        assert {record.state for record in records} == {DeliveryState.COMPLETED}, key
        assert len(records) == len(made[key]), key
    return {
        str(record.key): tuple(
            one for one in made[record.key.study_key] if one.revision == record.key
        )
        for record in done
    }


def _received(server: Orthanc) -> Counter[str]:
    """Return the SOP Instance UIDs in the destination's own log of what it received."""
    names: Counter[str] = Counter()
    since = 0
    while True:
        page = server.get(f"/changes?since={since}&limit=1000")
        names.update(c["ID"] for c in page["Changes"] if c["ChangeType"] == "NewInstance")
        since = page["Last"]
        if page["Done"]:
            break
    uids: Counter[str] = Counter()
    for name, count in names.items():
        uids[server.get(f"/instances/{name}/simplified-tags")["SOPInstanceUID"]] += count
    return uids


def _done() -> set[int]:
    if STATE is None or not Path(STATE, "trials.jsonl").exists():
        return set()
    lines = Path(STATE, "trials.jsonl").read_text().splitlines()
    return {int(json.loads(line)["trial"]) for line in lines}


def _note(trial: int, facts: dict[str, float]) -> None:
    if STATE is not None:
        Path(STATE).mkdir(parents=True, exist_ok=True)
        with Path(STATE, "trials.jsonl").open("a") as file:
            file.write(json.dumps({"trial": trial, **facts}) + "\n")
