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
from service.supervisor import ROLES
from tests.support.detector import bright_cells_package
from tests.support.installation import Service, install, running
from tests.support.peers import Orthanc, orthanc
from tests.support.senders import Sender, SentObject, digest, push, send

SENDERS = 4
LONGEST_PUSH_S = 6.0
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
    results: set[str] = field(default_factory=set)
    """The SOP Instance UIDs of all results that we made, over all trials."""
    received: Counter[str] = field(default_factory=Counter)
    """How often each was received, as the destination's own log says."""
    _read_to: int = 0

    @property
    def archive(self) -> Archive:
        """What the service keeps, read beside it."""
        return self.foundation.archive

    def senders(self, name: str, random: Random) -> list[Sender]:
        """Return four senders of a trial."""
        port = self.service.dicom_port
        return [
            Sender(self.folder / name / f"{number}", port, Random(random.random()))
            for number in range(SENDERS)
        ]

    def read_receive_log(self) -> None:
        """Read on in the destination's log of what it received."""
        page = {"Done": False}
        while not page["Done"]:
            page = self.server.get(f"/changes?since={self._read_to}&limit=1000")
            for change in page["Changes"]:
                if change["ChangeType"] == "NewInstance":
                    tags = self.server.get(f"/instances/{change['ID']}/simplified-tags")
                    self.received[tags["SOPInstanceUID"]] += 1
            self._read_to = page["Last"]


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
    senders = house.senders(f"trial-{trial}", random)

    def kill() -> None:
        time.sleep(after_s)
        house.service.kill()

    push(senders, kill)
    house.service.start()
    if trial % 3 == 2:
        time.sleep(random.uniform(0.0, LONGEST_RECOVERY_S))
        house.service.kill()
        house.service.start()
    facts = _assert_whole(house, senders, send_the_rest=trial % 2 == 1)
    if (trial + 1) % 10 == 0:
        _assert_kept(house, house.sent)
    _note(trial, {"killed_after_s": round(after_s, 2), **facts})


def test_nothing_is_lost_when_one_role_after_the_other_is_killed(house: House) -> None:
    random = Random(SEED)
    senders = house.senders("roles", random)

    def kill() -> None:
        for role in random.sample(ROLES, k=len(ROLES)):
            time.sleep(random.uniform(0.5, 2.5))
            house.service.role(role).kill()

    push(senders, kill)
    house.service.wait_until_ready()
    _assert_whole(house, senders, send_the_rest=True)


def test_nothing_is_lost_when_the_service_is_stopped_while_senders_push(house: House) -> None:
    senders = house.senders("stopped", Random(SEED))

    def stop() -> None:
        time.sleep(3)
        house.service.stop()

    push(senders, stop)
    house.service.start()
    _assert_whole(house, senders, send_the_rest=True)
    _assert_kept(house, house.sent)


def _assert_whole(house: House, senders: list[Sender], *, send_the_rest: bool) -> dict[str, float]:
    """Compare what the senders were told with what is kept, read, recorded and delivered."""
    acknowledged = [one for sender in senders for one in sender.acknowledged]
    unanswered = [one for sender in senders for one in sender.unanswered]
    _assert_kept(house, acknowledged)
    if send_the_rest:
        _send_again(house, senders)
        acknowledged += unanswered
    house.sent += acknowledged
    settled_s = _wait_until_settled(house)
    _assert_kept(house, acknowledged)
    _assert_custody_recorded(house, acknowledged)
    revisions = _assert_one_result_set_for_each_revision(house, acknowledged + unanswered)
    house.read_receive_log()
    assert set(house.received) == house.results
    verified = house.service.json("audit", "verify")
    assert verified["ok"], verified
    return {
        "acknowledged": len(acknowledged),
        "unanswered": len(unanswered),
        "revisions": revisions,
        "results": len(house.results),
        "received_again": house.received.total() - len(house.results),
        "settled_s": round(settled_s, 1),
    }


def _send_again(house: House, senders: list[Sender]) -> None:
    """Send what was not answered, and with it something that was, as senders do."""
    for sender in senders:
        again = sender.unanswered + sender.acknowledged[-1:]
        assert len(send(house.service.dicom_port, again)) == len(again)


def _assert_kept(house: House, acknowledged: list[SentObject]) -> None:
    """Every object that was answered with success is there, whole, and counts, once."""
    archive = house.archive
    with archive.snapshot() as tx:
        known = {one: archive.studies.known(tx, one.sop_instance_uid) for one in acknowledged}
    for one, found in known.items():
        assert [entry.standing for entry in found] == [Standing.CURRENT], one.sop_instance_uid
        kept = archive.read_object(found[0].study_key, found[0].blob_name)
        assert digest(bytes(data_set_of(kept))) == one.digest, one.sop_instance_uid
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


def _assert_one_result_set_for_each_revision(house: House, sent: list[SentObject]) -> int:
    """Return how many revisions there are of what was sent; each has its results once."""
    archive = house.archive
    revisions = 0
    for uid in {one.study_instance_uid for one in sent}:
        key = archive.index.study_key(uid)
        with archive.snapshot() as tx:
            closed = archive.revisions.of(tx, key)
            made = archive.results.objects_of_study(tx, key)
            deliveries = archive.deliveries.of_study(tx, key)
        assert {record.state for record in closed} <= {RevisionState.COMPLETED}
        assert {record.state for record in deliveries} <= {DeliveryState.COMPLETED}
        assert len(deliveries) == len(made)
        assert all(one.withdrawn_at is None for one in made)
        for record in closed:
            _assert_one_set([one for one in made if one.revision == record.key])
        house.results |= {one.sop_instance_uid for one in made}
        revisions += len(closed)
    return revisions


def _assert_one_set(made: list[ResultObject]) -> None:
    """One report, and captures with numbers of their own."""
    numbers = Counter((one.kind, one.ordinal) for one in made)
    assert numbers["SR", 1] == 1
    assert set(numbers.values()) == {1}
    assert sum(kind == "SR" for kind, _ in numbers) == 1
    assert len({one.sop_instance_uid for one in made}) == len(made)


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
