"""A receiver of the `dicom` role in a process of its own: associations, and custody of objects.

Started by the `dicom` role, which keeps the door and gives it connections through a channel.
"""

import socket

from dicom_node.processes.branch import Branch
from dicom_node.processes.channel import Channel
from service.settings import Installation
from service.wiring.custody import custodian, watch
from service.wiring.process import on_signal, role


def run(installation: Installation, descriptor: str) -> None:
    """Serve until the door closes or a signal ends it; arriving objects are finished first."""
    channel = Channel(socket.socket(fileno=int(descriptor)))
    with role(installation, "receiver") as foundation:
        settings = installation.settings.dicom_node.resolved(installation.folder)
        branch = Branch(settings, channel, custodian(foundation), watch(foundation))
        on_signal(branch.stop)
        branch.serve()
