"""What receives for the node, in whichever process that is: custody of objects, and the watch."""

from dicom_node.ports import InstanceSink, NodeObserver
from service.completeness import OpenAssociations
from service.foundation import Foundation
from service.intake import Intake
from service.keys import Purpose
from service.transfers import NodeWatch, Transfers


def custodian(foundation: Foundation) -> InstanceSink:
    """Return who takes custody of received instances."""
    settings = foundation.installation.settings
    return Intake(
        archive=foundation.archive,
        trail=foundation.trail,
        clock=foundation.clock,
        content_key=foundation.keyring.key(Purpose.CONTENT),
        key_version=foundation.keyring.version,
        limits=settings.archive.limits,
    )


def watch(foundation: Foundation) -> NodeObserver:
    """Return who is told what happens on the node."""
    archive, trail, clock = foundation.archive, foundation.trail, foundation.clock
    lease_s = foundation.installation.settings.completeness.association_lease_s
    return NodeWatch(
        archive=archive,
        trail=trail,
        associations=OpenAssociations(archive, lease_s),
        transfers=Transfers(archive, trail, clock),
        clock=clock,
    )
