"""C-STORE as provider: one object from its first fragment to the status of its answer.

Nothing here knows of pynetdicom. `message_stream` pushes the fragments in while they arrive;
memory does not grow with the object. Source: PS3.4 Annex B, PS3.7 9.1.1.
"""

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass

from core.errors import CapacityError, MalformedInstanceError, MismatchedInstanceError, ServiceError
from dicom_node.errors import InterruptedObjectError, NodeFaultError
from dicom_node.faults import log_fault
from dicom_node.pace import OwnWork
from dicom_node.ports import (
    AssociationOrigin,
    IncomingObject,
    InstanceReceiver,
    InstanceSink,
    NodeObserver,
)
from dicom_node.status import SUCCESS, c_store_status, error_comment

log = logging.getLogger(__name__)

_ABSURD = 4
"""An object that is so many times longer than allowed is not even read to its end."""

_UID = re.compile(r"[0-9.]{1,64}")


@dataclass(frozen=True)
class Answer:
    """What the C-STORE response says."""

    status: int
    comment: str = ""


class StoreSession:
    """The objects of one association, one after the other."""

    def __init__(
        self,
        origin: AssociationOrigin,
        sink: InstanceSink,
        observer: NodeObserver,
        *,
        max_object_bytes: int,
    ) -> None:
        self._origin = origin
        self._sink = sink
        self._observer = observer
        self._max_object_bytes = max_object_bytes
        self._incoming: IncomingObject | None = None
        self._receiver: InstanceReceiver | None = None
        self._error: ServiceError | None = None
        self._size = self._expected = 0
        self.own_work = OwnWork()
        self.stored = 0
        self.failed = 0

    @property
    def is_open(self) -> bool:
        """Whether an object has begun and is not answered yet."""
        return self._incoming is not None

    def begin(self, incoming: IncomingObject, *, abstract_syntax_uid: str) -> None:
        """Open a receiver for the object that the command set announced."""
        self._incoming, self._error = incoming, None
        self._size = self._expected = 0

        def begin() -> None:
            _check(incoming, abstract_syntax_uid)
            self._receiver = self._sink.begin(self._origin, incoming)

        self._guard(begin)

    def expect(self, size: int) -> bool:
        """Hear of bytes that come next; False if there is no use to wait for their end.

        An object that is too long is read to its end, though not kept, so that its sender is told
        so and can go on with the next one.
        """
        self._expected += size
        if self._expected > self._max_object_bytes and self._error is None:
            self._fail(
                CapacityError(
                    f"an object is longer than {self._max_object_bytes} bytes",
                    remedy="Raise dicom_node.max_object_bytes if such objects are wanted",
                )
            )
        return self._expected <= _ABSURD * self._max_object_bytes

    def write(self, piece: bytes | memoryview) -> None:
        """Take the next bytes; they are lent, not given."""
        self._size += len(piece)
        receiver = self._receiver
        if receiver is not None and piece:
            self._guard(lambda: receiver.write(piece))

    def finish(self) -> Answer:
        """Return the answer; success only after the sink says that the object is durable."""
        if self._error is None and self._size == 0:
            self._fail(MalformedInstanceError("the request brings no data set"))
        receiver = self._receiver
        if receiver is not None:
            self._guard(receiver.commit)
        if self._error is None:
            self.stored += 1
            answer = Answer(SUCCESS)
        else:
            self._report(self._error)
            answer = Answer(c_store_status(self._error), error_comment(self._error))
        self._incoming = self._receiver = None
        return answer

    def abandon(self) -> None:
        """Forget the object that was arriving when the association ended, if there was one."""
        if self._incoming is None:
            return
        if self._error is None:
            self._fail(InterruptedObjectError("the association ended in the middle of an object"))
        if self._error is not None:
            self._report(self._error)
        self._incoming = None

    def _guard(self, action: Callable[[], None]) -> None:
        try:
            with self.own_work.going_on():
                action()
        except ServiceError as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001 - the process boundary of the SCP
            log_fault("C-STORE failed", self._origin.association_id, error)
            self._fail(NodeFaultError("internal error"))

    def _fail(self, error: ServiceError) -> None:
        self._error = error
        receiver, self._receiver = self._receiver, None
        if receiver is None:
            return
        try:
            receiver.discard()
        except Exception as fault:  # noqa: BLE001 - the first error is the one to answer
            log_fault("discard failed", self._origin.association_id, fault)

    def _report(self, error: ServiceError) -> None:
        self.failed += 1
        log.warning(
            "association %s: object %d was not stored: %s",
            self._origin.association_id,
            self.stored + self.failed,
            error.message,
        )
        if self._incoming is None:
            return
        try:
            self._observer.failed_store(self._origin, self._incoming, error)
        except Exception as fault:  # noqa: BLE001 - an observer does not change the answer
            log_fault("observer failed", self._origin.association_id, fault)


def _check(incoming: IncomingObject, abstract_syntax_uid: str) -> None:
    if not _UID.fullmatch(incoming.sop_instance_uid):
        raise MalformedInstanceError("the command names no SOP instance by a UID")
    if incoming.sop_class_uid != abstract_syntax_uid:
        raise MismatchedInstanceError("the SOP class of the command is not that of its context")
