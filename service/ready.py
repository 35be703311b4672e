"""One line in the log when every part is up: what an operator waits for after a start."""

import logging
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Callable

from service.settings import Installation

log = logging.getLogger(__name__)

_LOOK_S, _ANSWER_S = 0.5, 5.0
_ANYWHERE = frozenset({"0.0.0.0", "::", ""})  # noqa: S104 - compared, not listened on


def announce(installation: Installation, stopping: threading.Event) -> threading.Thread:
    """Say once that every role is up, and where; returns the thread that waits for it."""
    thread = threading.Thread(
        target=wait_and_tell, args=(installation, stopping, is_ready), name="ready", daemon=True
    )
    thread.start()
    return thread


def wait_and_tell(
    installation: Installation, stopping: threading.Event, look: Callable[[str], bool]
) -> None:
    """Look until `/readyz` says so, then say it; stop looking when told to."""
    address = rest_address(installation)
    while not look(f"{address}/readyz"):
        if stopping.wait(_LOOK_S):
            return
    node = installation.settings.dicom_node
    ports = [] if node.port is None else [f"port {node.port}"]
    ports += [] if node.tls is None else [f"port {node.tls.port} (TLS)"]
    log.info("ready: DICOM as %s on %s, REST at %s", node.ae_title, " and ".join(ports), address)


def rest_address(installation: Installation) -> str:
    """Return where REST answers, as seen from this machine."""
    api = installation.settings.api
    host = "127.0.0.1" if api.host in _ANYWHERE else api.host
    shown = f"[{host}]" if ":" in host else host
    return f"{'https' if api.has_tls else 'http'}://{shown}:{api.port}"


def is_ready(url: str) -> bool:
    """Whether the service at its own address says that all its parts are ready."""
    # Our own process on our own machine: nothing is told to it, and nothing believed but "up".
    context = ssl._create_unverified_context() if url.startswith("https:") else None  # noqa: S323 - see above
    try:
        with urllib.request.urlopen(url, timeout=_ANSWER_S, context=context) as answer:  # noqa: S310 - our own address
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError, ValueError):
        return False
