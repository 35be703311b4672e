"""The receivers in processes of their own, as the door sees them: started, counted, restarted."""

import logging
import socket
import subprocess
import threading
import time
from collections.abc import Callable

from dicom_node.entrance.gate import Gate
from dicom_node.entrance.loop import Loop
from dicom_node.entrance.refusals import Refusals
from dicom_node.entrance.visitor import Visitor
from dicom_node.ports import Refusal
from dicom_node.processes.channel import (
    Channel,
    Closing,
    Dismissed,
    Handed,
    Left,
    Message,
    Ping,
    Pong,
    Question,
    Ready,
    Refused,
    Verdict,
    channel_pair,
)

log = logging.getLogger(__name__)

_FIRST_BACKOFF_S, _LONGEST_BACKOFF_S = 0.5, 30.0
_STABLE_S = 60.0
"""A receiver that lived so long starts again without waiting."""
_REAP_S = 0.1
_PING_S, _PONG_WITHIN_S = 5.0, 30.0
"""A receiver whose process hangs would keep its connections, and get more, for ever."""
_READY_WITHIN_S = 120.0
"""One that hangs before it is ready would keep its place, and the others from starting."""
_END_WITHIN_S = 10.0
"""A process that has hung up and lives on is killed."""

Launcher = Callable[[socket.socket], "subprocess.Popen[bytes]"]
"""Starts a receiver that has this end of its channel; our copy is closed afterwards."""


class Member:
    """One receiver process after the other, in the same place; all in the loop's thread."""

    def __init__(self, number: int, launch: Launcher, gate: Gate, refusals: Refusals) -> None:
        self.number = number
        self._launch = launch
        self._gate = gate
        self._refusals = refusals
        self._tickets: set[int] = set()
        self._channel: Channel | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self.is_open = False
        self.started = 0.0
        self.failures = 0
        self._asked: float | None = None
        self._was_ready = False

    @property
    def guests(self) -> int:
        """How many connections it has."""
        return len(self._tickets)

    @property
    def line(self) -> socket.socket | None:
        """What to wait on for its next message."""
        return None if self._channel is None else self._channel.socket

    def start(self) -> None:
        """Start a process; it says by itself when it is ready."""
        ours, theirs = channel_pair()
        ours.socket.setblocking(False)
        try:
            self.process = self._launch(theirs.socket)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self._channel, self.started, self._asked = ours, time.monotonic(), None
        self._was_ready = False
        log.info("receiver %d started as process %d", self.number, self.process.pid)

    def take(self, connection: socket.socket, visitor: Visitor) -> None:
        """Hand a connection on; our copy of it is closed."""
        self._tickets.add(visitor.ticket)
        if not self._send(Handed(visitor), connection):
            self._count_out(visitor.ticket)
        connection.close()

    def dismiss(self, tickets: frozenset[int]) -> None:
        """Have it end associations, those of them that it has."""
        ours = tickets & self._tickets
        if ours:
            self._send(Dismissed(ours))

    def hear(self) -> bool:
        """Heed what it says; False at the end of the channel."""
        if self._channel is None:
            return False
        while True:
            try:
                heard = self._channel.receive()
            except BlockingIOError:
                return True
            except OSError:
                return False
            if heard is None:
                return False
            self._heed(heard[0])

    def ask(self) -> None:
        """See whether it still answers; who does not is killed, and started again."""
        if not self.is_open:
            self._see_it_start()
        elif self._asked is None:
            self._asked = time.monotonic()
            self._send(Ping())
        elif time.monotonic() - self._asked > _PONG_WITHIN_S:
            log.error("receiver %d answers no more and is killed", self.number)
            self.is_open = False
            self.kill()

    def _see_it_start(self) -> None:
        is_starting = self._channel is not None and not self._was_ready
        if is_starting and time.monotonic() - self.started > _READY_WITHIN_S:
            log.error("receiver %d does not get ready and is killed", self.number)
            self.kill()

    def hang_up(self) -> None:
        """Have it finish: what it says until its end is still heard."""
        self.is_open = False
        if self._channel is not None:
            self._channel.end_sending()

    def bury(self) -> None:
        """Give back all that it was counted for."""
        self.is_open = False
        for ticket in list(self._tickets):
            self._count_out(ticket)
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def _heed(self, message: Message) -> None:
        match message:
            case Ready():
                self.is_open = self._was_ready = True
            case Closing():
                self.is_open = False
            case Pong():
                self._asked = None
            case Question():
                self._answer(message)
            case Left(ticket):
                self._count_out(ticket)
            case Refused(refusal):
                self._refusals.note(refusal)
            case _:
                log.error("receiver %d says what only a door says", self.number)

    def _answer(self, question: Question) -> None:
        if question.ticket not in self._tickets:
            return
        answer = self._gate.admit(question.ticket, question.caller)
        if isinstance(answer, Refusal):
            self._refusals.note(answer)
            self._send(Verdict(question.number, refusal=answer))
        else:
            self._send(Verdict(question.number, peer=answer))

    def _send(self, message: Message, connection: socket.socket | None = None) -> bool:
        if self._channel is None:
            return False
        try:
            self._channel.send(message, connection)
        except BlockingIOError:
            log.error("receiver %d listens to nobody and is killed", self.number)  # noqa: TRY400
            self.is_open = False
            self.kill()
            return False
        except OSError:
            self.is_open = False  # its end is about to be noticed
            return False
        return True

    def kill(self) -> None:
        """End its process at once."""
        if self.process is not None:
            self.process.kill()

    def _count_out(self, ticket: int) -> None:
        if ticket in self._tickets:
            self._tickets.discard(ticket)
            self._gate.leave(ticket)


class Crew:
    """Keeps so many receivers alive until it is told to stop."""

    def __init__(
        self, count: int, launch: Launcher, gate: Gate, refusals: Refusals, loop: Loop
    ) -> None:
        self.members = [Member(n, launch, gate, refusals) for n in range(1, count + 1)]
        self._loop = loop
        self._unstarted: list[Member] = []
        self._is_stopping = False
        self._is_settled = threading.Event()
        """Set once a receiver was ready, or one ended before any was."""

    def start(self) -> None:
        """Start every receiver; in the loop's thread.

        One after the other: the first is ready sooner when the others do not compete with it.
        """
        self._unstarted = list(self.members)
        self._start_next()
        self._loop.call_later(_PING_S, self._ask)

    def _ask(self) -> None:
        for member in self.members:
            member.ask()
        self._loop.call_later(_PING_S, self._ask)

    def _start_next(self) -> None:
        if self._unstarted:
            self._start(self._unstarted.pop(0))

    def wait_until_ready(self, seconds: float) -> bool:
        """Whether one is ready, or will not be."""
        self._is_settled.wait(seconds)
        return any(member.is_open for member in self.members)

    def dismiss(self, tickets: frozenset[int]) -> None:
        """Have associations ended, whoever has them; in the loop's thread."""
        for member in self.members:
            member.dismiss(tickets)

    def hang_up(self) -> None:
        """Have every receiver finish; in the loop's thread."""
        self._is_stopping = True
        for member in self.members:
            member.hang_up()

    def wait_for_end(self, seconds: float) -> None:
        """Return once every process has ended; those that do not in time are killed."""
        deadline = time.monotonic() + seconds
        for member in self.members:
            process = member.process
            if process is None:
                continue
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.warning("receiver %d did not end in time and is killed", member.number)
                process.kill()
                process.wait()

    def _start(self, member: Member) -> None:
        if self._is_stopping:
            return
        try:
            member.start()
        except (OSError, subprocess.SubprocessError, MemoryError) as error:
            log.error("receiver %d cannot be started (%s)", member.number, type(error).__name__)  # noqa: TRY400
            self._start_again(member)
            self._start_next()
            self._is_settled.set()
            return
        line = member.line
        if line is not None:
            self._loop.watch(line, lambda: self._hear(member, line))

    def _hear(self, member: Member, line: socket.socket) -> None:
        was_open, is_there = member.is_open, member.hear()
        if member.is_open and not was_open:
            log.info("receiver %d is ready", member.number)
            self._is_settled.set()
            self._start_next()
        if not is_there:
            self._loop.forget(line)
            member.bury()
            self._reap(member, time.monotonic() + _END_WITHIN_S)

    def _reap(self, member: Member, deadline: float) -> None:
        """Wait, without waiting, for the process to end; then start another."""
        process = member.process
        if process is not None and process.poll() is None:
            if time.monotonic() > deadline:
                process.kill()
            self._loop.call_later(_REAP_S, lambda: self._reap(member, deadline))
            return
        if not self._is_stopping:
            log.warning(
                "receiver %d ended with %s; its associations are lost, and it starts again",
                member.number,
                None if process is None else process.returncode,
            )
            self._start_again(member)
            self._start_next()
        self._is_settled.set()

    def _start_again(self, member: Member) -> None:
        is_stable = time.monotonic() - member.started > _STABLE_S
        member.failures = 0 if is_stable else member.failures + 1
        wait_s = 0.0
        if member.failures:
            wait_s = min(_FIRST_BACKOFF_S * 2 ** (member.failures - 1), _LONGEST_BACKOFF_S)
        self._loop.call_later(wait_s, lambda: self._start(member))
