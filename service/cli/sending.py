"""What `send` leaves in the audit log: that a transfer begins, and what became of it, by study."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from audit import triggers
from audit.events import Participant, SopClass
from audit.parties import NOBODY, StudyContent, remote_ae
from audit.vocabulary import Outcome
from core.dataset_stream import DataSetScanner
from core.errors import MalformedInstanceError
from core.model import Instance, RemoteAE, StudyIdentity
from dicom_node.association import Destination
from dicom_node.part10 import OutgoingObject
from dicom_node.store_scu import SendOutcome, SendState
from service.cli.desk import Desk, at_desk_if_any

UNREADABLE = StudyIdentity(NOBODY, "", "", "", "", "")
"""Stands for the study of an object that cannot be read; it is sent all the same."""


@dataclass
class Ledger:
    """The objects of one transfer, by the study they belong to."""

    desk: Desk | None
    destination: Destination
    studies: dict[StudyIdentity, list[int]] = field(default_factory=dict)
    """The places of a study's objects among those that are sent."""

    def began(self, objects: Sequence[OutgoingObject]) -> None:
        """Say of each study that its objects are about to go."""
        if self.desk is None:
            return
        for place, outgoing in enumerate(objects):
            self.studies.setdefault(_study_of(outgoing), []).append(place)
        for study, places in self.studies.items():
            content = StudyContent(study, _counted([objects[place] for place in places]))
            ends = self.desk.who, self._peer
            self.desk.record(triggers.transfer_began(self.desk.stamp(), *ends, (content,)))

    def ended(self, outcomes: Sequence[SendOutcome]) -> None:
        """Say of each study what became of its objects."""
        if self.desk is None:
            return
        for study, places in self.studies.items():
            sent = [outcomes[place] for place in places]
            stored = [one.outgoing for one in sent if one.state is not SendState.FAILED]
            failed = len(sent) - len(stored)
            event = triggers.instances_transferred(
                self.desk.stamp(),
                self.desk.who,
                self._peer,
                (StudyContent(study, _counted(stored)),),
            ).noting(NumberOfInstances=len(stored), Failed=failed)
            if failed:
                event = event.ended(Outcome.MINOR_FAILURE, f"{failed} objects were not stored")
            self.desk.record(event)

    @property
    def _peer(self) -> Participant:
        to = self.destination
        peer = RemoteAE(to.name, to.called_ae_title, to.calling_ae_title, to.host)
        return remote_ae(peer, is_requestor=False)


@contextmanager
def ledger(config: Path | None, destination: Destination) -> Iterator[Ledger]:
    """Open the ledger of one transfer; without an installation it keeps nothing."""
    with at_desk_if_any("send", config) as desk:
        yield Ledger(desk, destination)


def _study_of(outgoing: OutgoingObject) -> StudyIdentity:
    try:
        scanner = DataSetScanner(outgoing.transfer_syntax_uid)
        for piece in outgoing.read():
            scanner.feed(piece)
        whole = scanner.finish()
        return Instance.parse(whole, transfer_syntax_uid=outgoing.transfer_syntax_uid).identity
    except MalformedInstanceError:
        return UNREADABLE


def _counted(objects: Sequence[OutgoingObject]) -> tuple[SopClass, ...]:
    counts = Counter(outgoing.sop_class_uid for outgoing in objects)
    return tuple(SopClass(uid, number) for uid, number in sorted(counts.items()))
