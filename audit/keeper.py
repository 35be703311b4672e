"""The one writer of the log: appends records, and signs how long the log is when that is due.

The service's sequencer holds a keeper, hands it the records of the outbox, and calls
`sign_if_due` every few seconds, also when nothing happens.
"""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from audit.checkpoint import (
    Checkpoint,
    Signer,
    public_key_pem,
    read_checkpoint,
    split_checkpoints,
)
from audit.disk import reading, sync, writing
from audit.errors import BrokenChainError, CheckpointError
from audit.log import AuditLog
from audit.records import SealedRecord
from audit.recovery import REMEDY, TornTail
from audit.segments import CHECKPOINTS, PUBLIC_KEY, find_segments
from audit.settings import AuditSettings
from core.clock import Clock
from core.errors import ConfigurationError

_TAIL_BYTES = 4096
"""More than two notes."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Seen:
    """What the database knows of a log, so that no other can take its place."""

    note: str = ""
    """How it was signed last (`AuditKeeper.last_note`)."""
    event_id: str = ""
    """A record that it has."""


class AuditKeeper:
    """Appends and signs. Not for several threads at once."""

    def __init__(
        self,
        folder: Path,
        settings: AuditSettings,
        *,
        signing_key: bytes,
        clock: Clock,
        seen: Seen | None = None,
    ) -> None:
        """Open the log and prove that it is the one that was signed last.

        Parameters
        ----------
        folder
            Of the log, absolute; so must be the `checkpoint_files` in `settings`.
        signing_key
            The 32 private bytes of the Ed25519 key.
        seen
            What others know of this log; None if nobody has seen it yet.

        Raises
        ------
        LogBusyError, BrokenChainError, LogUnwritableError
            As `AuditLog` does.
        CheckpointError
            If the last checkpoint is not signed by this key.
        ConfigurationError
            If the log was begun with another key.
        """
        self._folder, self._settings, self._clock = folder, settings, clock
        self._signer = Signer.of(settings.source_id, signing_key)
        self.unreachable: tuple[Path, ...] = ()
        """Checkpoint files that could not be written the last time; worth an alarm."""
        with reading(folder):
            signed = self._last_signed("" if seen is None else seen.note)
            if seen is not None and seen.event_id and not find_segments(folder):
                raise BrokenChainError("the log is gone, but not what was in it", remedy=REMEDY)
        self._log = AuditLog(
            folder, entries_per_segment=settings.entries_per_segment, signed=signed
        )
        try:
            self._require("" if seen is None else seen.event_id)
            self._publish_key()
            self._last = signed or self._begun()
            self._unsigned_since: datetime | None = None
            if self._log.size > self._last.size:
                self._sign()
        except BaseException:
            self._log.close()
            raise

    def _require(self, event_id: str) -> None:
        """Refuse to go on with a log that lacks a record which it had."""
        if event_id and not self._log.holds(event_id):
            raise BrokenChainError(f"record {event_id} was durable and is gone", remedy=REMEDY)

    def _begun(self) -> Checkpoint:
        """Sign the empty log; a log that has records has checkpoints too."""
        if self._log.size > 0:
            raise BrokenChainError(
                "the log has records, but its checkpoints are gone",
                remedy="Restore them, or keep the folder as evidence and begin a new log",
            )
        return self._sign()

    @property
    def torn_tail(self) -> TornTail | None:
        """What was cut back at open; worth an event of its own."""
        return self._log.torn_tail

    @property
    def size(self) -> int:
        """How many records the log holds."""
        return self._log.size

    @property
    def last_note(self) -> str:
        """What was signed last, with its signature."""
        return self._signer.sign(self._last.text())

    @property
    def last_checkpoint(self) -> Checkpoint:
        """What was signed last."""
        return self._last

    def append(self, records: Sequence[SealedRecord]) -> int:
        """Make the records durable, each once, and sign if that is due; return the log's size.

        Raises
        ------
        LogUnwritableError
            If that failed. Open a new keeper and append the same records again.
        """
        step = self._settings.checkpoint_every_events
        for start in range(0, len(records), step):
            self._log.append(records[start : start + step])
            self.sign_if_due()
        return self._log.size

    def sign_if_due(self) -> Checkpoint | None:
        """Sign if enough records or enough time has passed since the last checkpoint."""
        unsigned = self._log.size - self._last.size
        if unsigned == 0:
            return None
        now = self._clock()
        self._unsigned_since = self._unsigned_since or now
        waited = now - self._unsigned_since
        is_due = (
            unsigned >= self._settings.checkpoint_every_events
            or waited >= timedelta(seconds=self._settings.checkpoint_interval_s)
            or waited < timedelta(0)  # the clock was set back: sign rather than wait
        )
        return self._sign() if is_due else None

    def close(self) -> None:
        """Sign what is not signed yet, and let others append."""
        try:
            if self._log.size > self._last.size:
                self._sign()
        finally:
            self._log.close()

    def _sign(self) -> Checkpoint:
        checkpoint = Checkpoint(
            self._signer.origin, self._log.size, self._log.root(), self._clock()
        )
        note = self._signer.sign(checkpoint.text()).encode()
        self._log.sync_hashes()
        with writing("checkpoints"):
            _append_durably(self._folder / CHECKPOINTS, note)
        self._last, self._unsigned_since = checkpoint, None
        self._tell_outside(note)
        return checkpoint

    def _tell_outside(self, note: bytes) -> None:
        unreachable = []
        for path in self._settings.checkpoint_files:
            try:
                _append_durably(path, note)
            except OSError as error:
                unreachable.append(path)
                _log.warning("checkpoint file %s cannot be written (%s)", path, error.strerror)
        self.unreachable = tuple(unreachable)

    def _last_signed(self, seen: str) -> Checkpoint | None:
        """Return the longest log that was signed, as this folder and others know it."""
        own = self._last_in(self._folder / CHECKPOINTS)
        known = [own] if own else []
        if seen:
            known.append(read_checkpoint(seen, self._signer.public_key))
        for path in self._settings.checkpoint_files:
            try:
                outside = self._last_in(path)
            except (OSError, CheckpointError):
                _log.warning("checkpoint file %s holds no checkpoint of ours that is whole", path)
            else:
                known += [outside] if outside else []
        return max(known, key=lambda checkpoint: checkpoint.size, default=None)

    def _last_in(self, path: Path) -> Checkpoint | None:
        if not path.exists():
            return None
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            tail = file.read().decode(errors="replace")
        notes = list(split_checkpoints(tail))
        return read_checkpoint(notes[-1], self._signer.public_key) if notes else None

    def _publish_key(self) -> None:
        path, pem = self._folder / PUBLIC_KEY, public_key_pem(self._signer.public_key)
        if not path.exists():
            with writing("public key"):
                path.write_bytes(pem)
                sync(path)
                sync(self._folder)
        with reading(self._folder):
            is_ours = path.read_bytes() == pem
        if not is_ours:
            raise ConfigurationError(
                f"the log in {self._folder} was begun with another signing key",
                remedy="Restore the keys folder that belongs to it, or begin a new log",
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _append_durably(path: Path, note: bytes) -> None:
    is_new = not path.exists()
    with path.open("a+b") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(0, end - 1))
        is_cut = end > 0 and file.read(1) != b"\n"
        file.write(b"\n" + note if is_cut else note)
        file.flush()
        os.fsync(file.fileno())
    if is_new:
        sync(path.parent)
