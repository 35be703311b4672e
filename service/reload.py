"""Take up a changed config.yaml while the service runs: its peers; all else waits for a restart.

A file that is wrong changes nothing: the peers of before stay in force, and it is said so.
"""

import logging
from collections.abc import Callable, Container
from dataclasses import dataclass, field, replace
from pathlib import Path

from core.errors import ConfigurationError, ServiceError
from dicom_node.settings import NodeSettings, PeerSettings, Priority
from service.config_file import digest_of
from service.settings import Installation, Settings, parse_settings

log = logging.getLogger(__name__)

_Signature = tuple[int, int, int]


@dataclass(frozen=True)
class Standing:
    """What is in force, and what is not."""

    digest: str
    """Of the file whose peers are in force."""
    fault: str = ""
    """Why the file that is there was not taken up; empty if it was."""
    waiting: tuple[str, ...] = ()
    """Sections that differ from those in force, and need a restart."""


@dataclass(frozen=True)
class Change:
    """Other peers than before."""

    node: NodeSettings
    """The settings in force with the new peers."""
    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]

    def __str__(self) -> str:
        """Say it in one line, by names of peers."""
        parts = {"added": self.added, "changed": self.changed, "removed": self.removed}
        return "; ".join(f"{what}: {', '.join(names)}" for what, names in parts.items() if names)


@dataclass
class Reload:
    """Looks at config.yaml; `look` is called every second or so, by one thread."""

    installation: Installation
    take_up: Callable[[Change], None]
    """Makes other peers known; if it raises a ServiceError, it is asked again at the next look."""
    standing: Standing = field(init=False)
    _node: NodeSettings = field(init=False)
    _seen: _Signature | None = field(default=None, init=False)
    _read: _Signature | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._node = self.installation.settings.dicom_node
        content = _content(self.installation.config_file)
        self.standing = Standing(digest_of(content))
        if self.installation.settings != _settings(content, self.installation.config_file):
            self.standing = replace(self.standing, digest="")  # it changed while we started

    def look(self) -> bool:
        """Look at the file; return whether what is in force, or the fault, is another now."""
        signature = _signature(self.installation.config_file)
        is_settled = signature == self._seen  # else an editor may be just writing it
        self._seen = signature
        if signature is None or not is_settled or signature == self._read:
            return False
        before = self.standing
        try:
            self._go_by(_content(self.installation.config_file))
        except ConfigurationError as error:
            self._refuse(error)
        self._read = signature
        return self.standing != before

    def _go_by(self, content: bytes) -> None:
        text = _text(content)
        if not text.strip() and self._node.peers:  # right by itself, but rather half of a change
            raise ConfigurationError("config.yaml is empty")
        settings = parse_settings(text, self.installation.config_file)
        node = _with_peers(self._node, settings.dicom_node.peers)
        change = _change(self._node, node)
        if str(change):
            self.take_up(change)
            log.info("the peers of config.yaml were taken up; %s", change)
        self._node = node
        waiting = _waiting(self.installation.settings, settings)
        if waiting and waiting != self.standing.waiting:
            log.warning("config.yaml: a restart is needed for %s", ", ".join(waiting))
        self.standing = Standing(digest_of(content), "", waiting)

    def _refuse(self, error: ConfigurationError) -> None:
        if error.message != self.standing.fault:
            log.error("config.yaml is wrong; the peers of before stay in force: %s", error.message)
        self.standing = replace(self.standing, fault=error.message)


class StatPeers(Container[str]):
    """The names of the peers whose studies come first, as config.yaml says it at the time."""

    def __init__(self, installation: Installation) -> None:
        self._names = _urgent(installation.settings.dicom_node)
        self._reload = Reload(installation, self._take_up)

    def __contains__(self, name: object) -> bool:
        """Whether the studies of the peer of this name come first."""
        return name in self._names

    def look(self) -> None:
        """Look at the file; every second or so, by one thread."""
        self._reload.look()

    def _take_up(self, change: Change) -> None:
        self._names = _urgent(change.node)


def _urgent(node: NodeSettings) -> frozenset[str]:
    return frozenset(peer.name for peer in node.peers if peer.priority is Priority.STAT)


def _change(before: NodeSettings, after: NodeSettings) -> Change:
    old = {peer.name: peer for peer in before.peers}
    new = {peer.name: peer for peer in after.peers}
    return Change(
        after,
        added=tuple(name for name in new if name not in old),
        changed=tuple(name for name in new if name in old and new[name] != old[name]),
        removed=tuple(name for name in old if name not in new),
    )


def _with_peers(node: NodeSettings, peers: tuple[PeerSettings, ...]) -> NodeSettings:
    """Return the settings in force with other peers, which must fit to them."""
    try:
        return NodeSettings.model_validate(node.model_dump() | {"peers": peers})
    except ValueError:
        raise ConfigurationError(
            "the peers do not fit to the settings in force before a restart",
            remedy="Restart the service",
        ) from None


def _waiting(running: Settings, wanted: Settings) -> tuple[str, ...]:
    """Return the sections that differ, but for the peers."""
    mine = wanted.model_copy(
        update={
            "dicom_node": wanted.dicom_node.model_copy(update={"peers": running.dicom_node.peers})
        }
    )
    names = type(running).model_fields
    return tuple(name for name in names if getattr(mine, name) != getattr(running, name))


def _signature(file: Path) -> _Signature | None:
    try:
        status = file.stat()
    except OSError:
        return None  # for a moment, as editors do it; a start would say so
    return status.st_mtime_ns, status.st_size, status.st_ino


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read ({error.strerror})") from None


def _text(content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise ConfigurationError("config.yaml is not UTF-8") from None


def _settings(content: bytes, file: Path) -> Settings | None:
    try:
        return parse_settings(_text(content), file)
    except ServiceError:
        return None
