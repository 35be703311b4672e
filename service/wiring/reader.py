"""The `reader` role: models on a Unix socket. It gets no key, no database and no network."""

import signal

from inference.reader import Reader
from inference.registry import SHIPPED
from service.settings import Installation


def run(installation: Installation) -> None:
    """Read until a signal ends it."""
    settings = installation.settings.inference
    folders = (SHIPPED, *(installation.path(folder) for folder in settings.package_folders))
    socket_path = installation.path(settings.socket)
    socket_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    reader = Reader(socket_path, settings, folders)
    signal.signal(signal.SIGTERM, reader.stop)
    signal.signal(signal.SIGINT, reader.stop)
    reader.run()
