"""A receiver in a process of its own, as the tests start it: `PROGRAM SETTINGS DESCRIPTOR`."""

import signal
import socket
import subprocess
import sys

from dicom_node.processes.branch import Branch
from dicom_node.processes.channel import Channel
from dicom_node.settings import NodeSettings
from tests.dicom_node.fakes import MemorySink, RecordingObserver


def launch(settings: NodeSettings, channel: socket.socket) -> "subprocess.Popen[bytes]":
    """Start one that keeps nothing."""
    descriptor = channel.fileno()
    program = [sys.executable, "-m", "tests.dicom_node.branch_program"]
    return subprocess.Popen(
        [*program, settings.model_dump_json(), str(descriptor)],
        pass_fds=(descriptor,),
        stderr=subprocess.DEVNULL,
    )


def main(settings: str, descriptor: str) -> None:
    channel = Channel(socket.socket(fileno=int(descriptor)))
    node = NodeSettings.model_validate_json(settings)
    branch = Branch(node, channel, MemorySink(keeps=False), RecordingObserver())
    signal.signal(signal.SIGTERM, lambda *_: branch.stop())
    branch.serve()


if __name__ == "__main__":
    main(*sys.argv[1:])
