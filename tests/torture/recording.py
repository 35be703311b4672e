"""A run of the service under the library: what it did to the disk, what it told its senders."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from tests.support.installation import Service, running
from tests.support.senders import SentObject, push
from tests.torture.disk import Disk, Mercy
from tests.torture.house import outcome, senders, small_house, wait_for_answers
from tests.torture.preload import Rule, preload
from tests.torture.trace import Record, acknowledged, read_trace

WRITERS = ("dicom", "api", "worker")
"""The roles that change what is kept; the reader holds no key and no database."""


@dataclass(frozen=True)
class Recording:
    """One run, from an installation that was on disk whole, to its end."""

    service: Service
    before: Disk
    records: list[Record]
    sent: dict[str, SentObject]
    """By SOP Instance UID; answered or not."""

    def told(self, position: int) -> list[SentObject]:
        """Return what senders may have been told is stored before a record."""
        uids = [acknowledged(record) for record in self.records[:position]]
        return [self.sent[uid] for uid in dict.fromkeys(uids) if uid is not None]

    def replies(self) -> list[int]:
        """Return the places of the answers that say that something is stored."""
        return [i for i, record in enumerate(self.records) if acknowledged(record) is not None]

    def left(
        self,
        folder: Path,
        position: int,
        *,
        mercy: Mercy,
        random: Random,
        lied_about: Sequence[str] = (),
    ) -> Service:
        """Return the installation as it is when the power goes before a record."""
        disk = deepcopy(self.before)
        disk.replay(self.records[:position], lied_about=lied_about)
        disk.cut(folder, mercy=mercy, random=random, sector=random.choice([512, 4096]))
        return replace(self.service, folder=folder, program=("service", "serve"), process=None)


@contextmanager
def recorded(
    folder: Path, random: Random, *, answers: int, rules: Sequence[Rule] = ()
) -> Iterator[Recording]:
    """Let four senders push until so many answers, and end everything at once."""
    service = small_house(folder)
    before = Disk(service.folder)
    with preload(service.folder, folder / "below", traced=True) as below:
        below.control.arm(*rules)
        plain = replace(service)
        below.put_under(service, *WRITERS)
        pushed = senders(folder / "sent", service, random)
        with running(service):

            def end() -> None:
                wait_for_answers(pushed, answers)
                service.kill()

            push(pushed, end)
        assert below.trace is not None
        told, unanswered = outcome(pushed)
        sent = {one.sop_instance_uid: one for one in [*told, *unanswered]}
        made = Recording(plain, before, read_trace(below.trace), sent)
        assert set(told) <= set(made.told(len(made.records))), "an answer is not in the recording"
        yield made
