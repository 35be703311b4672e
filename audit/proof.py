"""The proof that one record is in the log, for somebody who has neither the log nor our code.

The bundle holds the sealed entry, its path in the tree and a signed checkpoint, as JSON.
`tools/verify_audit_proof.py` checks it with nothing of ours.
"""

import base64
import json
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from audit.checkpoint import public_key_pem, read_checkpoint, split_checkpoints
from audit.disk import reading
from audit.errors import BrokenChainError, UnknownRecordError, UnsignedError
from audit.segments import CHECKPOINTS, EVENT_ID_BYTES, read_entries
from audit.tree import GrowingTree, Range, inclusion_ranges, leaf_hash, proves_inclusion

FORMAT = "second-reader audit proof 1"


@dataclass(frozen=True)
class Proof:
    """One entry, its place, and the signed statement that covers it."""

    position: int
    entry: bytes
    path: tuple[bytes, ...]
    checkpoint: str
    """The signed note."""
    public_key: bytes
    """PEM; a copy for convenience: who checks must have his own."""

    def to_json(self) -> str:
        """Return the bundle."""
        bundle = {
            "format": FORMAT,
            "event_id": str(uuid.UUID(bytes=self.entry[:EVENT_ID_BYTES])),
            "position": self.position,
            "entry": _base64(self.entry),
            "inclusion_proof": [_base64(part) for part in self.path],
            "checkpoint": self.checkpoint,
            "public_key": self.public_key.decode(),
        }
        return json.dumps(bundle, indent=2, ensure_ascii=False) + "\n"


def prove(folder: Path, event_id: str, public_key: Ed25519PublicKey) -> Proof:
    """Return the proof that the record is in the log.

    Raises
    ------
    UnknownRecordError
        If the log holds no record of that id.
    UnsignedError
        If no checkpoint covers it yet; the next one does.
    BrokenChainError
        If the log is not the one that was signed.
    LogUnreadableError
        If a file cannot be read.
    """
    position, entry = _find(folder, event_id)
    note, size, root = _covering(folder, public_key)
    if position >= size:
        raise UnsignedError(
            "the record is in the log, but not yet covered by a checkpoint",
            remedy="Try again in a minute",
        )
    path = tuple(_roots(folder, inclusion_ranges(position, size)))
    if not proves_inclusion(position, size, leaf_hash(entry), path, root):
        raise BrokenChainError(
            "the log is not the one that was signed", remedy="Run `second-reader audit verify`"
        )
    return Proof(position, entry, path, note, public_key_pem(public_key))


def _find(folder: Path, event_id: str) -> tuple[int, bytes]:
    try:
        wanted = uuid.UUID(event_id).bytes
    except ValueError:
        raise UnknownRecordError("this is not an event id") from None
    for position, entry in read_entries(folder):
        if entry.startswith(wanted):
            return position, entry
    raise UnknownRecordError(
        "the log holds no record of that id", remedy="It may still wait in the outbox"
    )


def _covering(folder: Path, public_key: Ed25519PublicKey) -> tuple[str, int, bytes]:
    path = folder / CHECKPOINTS
    with reading(folder):
        text = path.read_text(errors="replace") if path.exists() else ""
    notes = list(split_checkpoints(text))
    if not notes:
        raise UnsignedError("the log has no checkpoint yet")
    newest = read_checkpoint(notes[-1], public_key)
    return notes[-1], newest.size, newest.root


def _roots(folder: Path, ranges: Iterable[Range]) -> Iterator[bytes]:
    """Yield the root of each range of entries, in the order asked; reads the log once."""
    wanted = list(ranges)
    roots: dict[Range, bytes] = {}
    leaves = (leaf_hash(entry) for _, entry in read_entries(folder))
    at = 0
    for start, end in sorted(wanted):
        tree = GrowingTree()
        for leaf in leaves:
            at += 1
            if at > start:
                tree.append(leaf)
            if at == end:
                break
        roots[(start, end)] = tree.root()
    return (roots[piece] for piece in wanted)


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
