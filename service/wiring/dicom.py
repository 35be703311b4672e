"""The `dicom` role: the listener, and the custody of what it receives."""

import threading

from dicom_node.server import DicomNode
from service.completeness import OpenAssociations
from service.foundation import Foundation
from service.intake import Intake
from service.keys import Purpose
from service.settings import Installation
from service.transfers import NodeWatch, Transfers
from service.wiring.process import on_signal, role


def run(installation: Installation) -> None:
    """Listen until a signal ends it; objects that are just arriving are finished first."""
    stopping = threading.Event()
    on_signal(stopping.set)
    with role(installation, "dicom") as foundation:
        node = build(foundation)
        node.start()
        foundation.record(foundation.trail.listening(is_attached=True))
        stopping.wait()
        node.stop()
        foundation.record(foundation.trail.listening(is_attached=False))


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
