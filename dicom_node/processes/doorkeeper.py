"""Whom a receiver asks for admission: the gate beside it, or the door at the end of a channel."""

import itertools
import logging
import threading
from concurrent.futures import Future
from contextlib import suppress

from dicom_node.entrance.gate import Caller, Gate
from dicom_node.entrance.refusals import Refusals
from dicom_node.entrance.visitor import Visitor
from dicom_node.errors import DoorError
from dicom_node.ports import Refusal
from dicom_node.processes.channel import Channel, Left, Message, Question, Refused, Verdict
from dicom_node.settings import PeerSettings

log = logging.getLogger(__name__)

_ANSWER_WITHIN_S = 5.0


class NearDoorkeeper:
    """Stands beside the gate, in its process."""

    def __init__(self, gate: Gate, refusals: Refusals) -> None:
        self._gate = gate
        self._refusals = refusals

    def admit(self, visitor: Visitor, caller: Caller) -> PeerSettings | Refusal:
        """Return the peer that a visitor is, or why he is refused, which is recorded already."""
        answer = self._gate.admit(visitor.ticket, caller)
        if isinstance(answer, Refusal):
            self._refusals.note(answer)
        return answer

    def leave(self, visitor: Visitor) -> None:
        """Count the connection out."""
        self._gate.leave(visitor.ticket)

    def refused(self, refusal: Refusal) -> None:
        """Record that somebody was not let do what he asked."""
        self._refusals.note(refusal)


class FarDoorkeeper:
    """Stands in another process, and is asked by messages."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._open: dict[int, Future[PeerSettings | Refusal]] = {}
        self._is_gone = False

    def admit(self, visitor: Visitor, caller: Caller) -> PeerSettings | Refusal:
        """Return the peer that a visitor is, or why he is refused, which is recorded already.

        Raises
        ------
        DoorError
            If the door does not answer.
        """
        answer: Future[PeerSettings | Refusal] = Future()
        with self._lock:
            if self._is_gone:
                raise DoorError("the door is closed")
            number = next(self._numbers)
            self._open[number] = answer
        try:
            self._channel.send(Question(number, visitor.ticket, caller))
            return answer.result(_ANSWER_WITHIN_S)
        except (OSError, TimeoutError) as error:
            raise DoorError("the door does not answer") from error
        finally:
            with self._lock:
                self._open.pop(number, None)

    def leave(self, visitor: Visitor) -> None:
        """Have the connection counted out; a door that is gone counts no more."""
        self._tell(Left(visitor.ticket))

    def refused(self, refusal: Refusal) -> None:
        """Have it recorded that somebody was not let do what he asked."""
        self._tell(Refused(refusal))

    def hear(self, verdict: Verdict) -> None:
        """Take the answer to a question."""
        with self._lock:
            question = self._open.get(verdict.number)
        answer = verdict.peer or verdict.refusal
        if question is not None and answer is not None:
            question.set_result(answer)

    def gone(self) -> None:
        """Answer nobody any more: the door has closed."""
        with self._lock:
            self._is_gone = True
            for question in self._open.values():
                question.set_exception(DoorError("the door is closed"))

    def _tell(self, message: Message) -> None:
        with suppress(OSError):
            self._channel.send(message)
