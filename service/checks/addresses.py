"""Addresses of this machine: whether they can be listened on, and how they are reached."""

import errno
import socket

from service.checks.report import Fault

_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where an open port answers us


def listen_error(host: str, port: int) -> int | None:
    """Return why we could not listen there; None if we could. A port of 0 is always free."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.errno or errno.EINVAL
    return None


def cannot_listen(section: str, host: str, port: int, number: int) -> Fault:
    """Say what to do about an address that cannot be listened on."""
    host_setting = f"{section.partition('.')[0]}.host"
    remedies = {
        errno.EACCES: f"Set `{section}.port` above 1023, or allow the service low ports",
        errno.EADDRNOTAVAIL: f"Set `{host_setting}` to an address of this machine",
    }
    return Fault(
        f"{host}:{port} cannot be listened on ({errno.errorcode.get(number, number)})",
        remedies.get(number, f"Correct `{host_setting}` and `{section}.port`"),
    )


def reachable(host: str) -> str:
    """Return where a program on this machine reaches what listens there."""
    return _ANY.get(host, host)
