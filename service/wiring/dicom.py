"""The `dicom` role: the listener, and the custody of what it receives."""

import logging
import socket
import threading

from dicom_node.server import DicomNode
from service.completeness import OpenAssociations
from service.foundation import Foundation
from service.intake import Intake
from service.keys import Purpose
from service.presence import LISTENER, RENEW_S, Presence
from service.settings import Installation
from service.transfers import NodeWatch, Transfers
from service.wiring.process import on_signal, role

log = logging.getLogger(__name__)


def run(installation: Installation) -> None:
    """Listen until a signal ends it; objects that are just arriving are finished first."""
    stopping = threading.Event()
    on_signal(stopping.set)
    with role(installation, "dicom") as foundation:
        node = build(foundation)
        node.start()
        foundation.record(foundation.trail.listening(is_attached=True))
        _stay(foundation, node, stopping)
        node.stop()
        foundation.record(foundation.trail.listening(is_attached=False))


def _stay(foundation: Foundation, node: DicomNode, stopping: threading.Event) -> None:
    """Say that we listen, as long as that is so and nobody asks us to stop."""
    place = f"{socket.gethostname()}:{node.port}"
    presence = Presence(foundation.archive, LISTENER, place, foundation.clock)
    presence.renew()
    while node.is_listening and not stopping.wait(RENEW_S):
        presence.renew()
    presence.end()
    if not stopping.is_set():
        log.error("the listener ended by itself; this role ends, to be started afresh")


def build(foundation: Foundation) -> DicomNode:
    """Return the node of an opened installation."""
    settings = foundation.installation.settings
    archive, trail, clock = foundation.archive, foundation.trail, foundation.clock
    intake = Intake(
        archive=archive,
        trail=trail,
        clock=clock,
        content_key=foundation.keyring.key(Purpose.CONTENT),
        key_version=foundation.keyring.version,
        issuers={peer.name: peer.issuer_of_patient_id for peer in settings.dicom_node.peers},
    )
    watch = NodeWatch(
        archive=archive,
        trail=trail,
        associations=OpenAssociations(archive, settings.completeness.association_lease_s),
        transfers=Transfers(archive, trail, clock),
        clock=clock,
    )
    return DicomNode(settings.dicom_node, intake, watch)
