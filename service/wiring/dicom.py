"""The `dicom` role: the listener, and the processes that receive behind it."""

import logging
import socket
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Protocol

from core.errors import UnavailableError
from dicom_node.errors import ListenError
from service.foundation import Foundation
from service.presence import LISTENER, RENEW_S, Presence
from service.settings import Installation
from service.wiring.caretaker import Caretaker, PeerKeeper
from service.wiring.process import on_signal, role

log = logging.getLogger(__name__)

_LET_GO_S = 3.0
"""One that is stopped closes its port at once, but may hear of it a moment later."""
_LOOK_S = 1.0
"""How often we look whether config.yaml was changed."""


class Node(PeerKeeper, Protocol):
    """The DICOM side of the house, in one process or in several."""

    @property
    def port(self) -> int:
        """The port that is listened on."""

    @property
    def is_listening(self) -> bool:
        """Whether connections are taken."""

    def start(self) -> None:
        """Listen."""

    def stop(self) -> None:
        """Stop listening; objects that are just arriving are finished."""


def run(installation: Installation) -> None:
    """Listen until a signal ends it; objects that are just arriving are finished first.

    Raises
    ------
    UnavailableError
        If the listener ended by itself.
    """
    stopping = threading.Event()
    on_signal(stopping.set)
    with role(installation, "dicom") as foundation:
        node = build(foundation)
        _start(node, stopping)
        foundation.record(foundation.trail.listening(is_attached=True))
        _stay(foundation, node, stopping)
        node.stop()
        foundation.record(foundation.trail.listening(is_attached=False))
    if not stopping.is_set():
        raise UnavailableError("the listener ended by itself")


def _start(node: Node, stopping: threading.Event) -> None:
    """Listen; one before us, which is just ending, is given a moment to let go of the port."""
    deadline = time.monotonic() + _LET_GO_S
    while True:
        try:
            node.start()
        except ListenError:
            if stopping.is_set() or time.monotonic() > deadline:
                raise
            stopping.wait(0.2)
        else:
            return


def _stay(foundation: Foundation, node: Node, stopping: threading.Event) -> None:
    """Say that we listen, as long as that is so and nobody asks us to stop."""
    place = f"{socket.gethostname()}:{node.port}"
    presence = Presence(foundation.archive, LISTENER, place, foundation.clock)
    caretaker = Caretaker(foundation, node, place)
    presence.renew()
    due = time.monotonic() + RENEW_S
    while node.is_listening and not stopping.wait(_LOOK_S):
        if time.monotonic() >= due:
            presence.renew()
            due = time.monotonic() + RENEW_S
        caretaker.look()
    presence.end()
    caretaker.end()
    if not stopping.is_set():
        log.error("the listener ended by itself; this role ends, to be started afresh")


def build(foundation: Foundation) -> Node:
    """Return the node of an opened installation; each way loads only what it needs."""
    from service.wiring.custody import custodian, watch

    installation, clock = foundation.installation, foundation.clock
    settings = installation.settings.dicom_node.resolved(installation.folder)
    if settings.processes == 1:
        from dicom_node.server import DicomNode

        return DicomNode(settings, custodian(foundation), watch(foundation), clock)
    from dicom_node.processes.spread import SpreadNode

    launch = partial(_launch, foundation.installation.config_file.absolute())
    return SpreadNode(settings, watch(foundation), launch, clock)


def _launch(config_file: Path, channel: socket.socket) -> "subprocess.Popen[bytes]":
    """Start a receiver that has this end of its channel.

    It ends when the channel does, so that it needs no signal when this process dies.
    """
    descriptor = channel.fileno()
    return subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-m", "service.wiring", "receiver", str(config_file), str(descriptor)],
        stdin=subprocess.DEVNULL,
        pass_fds=(descriptor,),
    )
