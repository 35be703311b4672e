"""The signed bundle that an auditor takes home: opened records and what they are proven by.

A ZIP with four files:

    events.jsonl     one opened record a line, with its position and the hash of its sealed entry
    checkpoints      every signed checkpoint of the log
    public-key.pem   a copy for convenience
    manifest         the SHA-256 of the others, as a note signed with the log's key

The records are in the open: the bundle names patients and is to be kept as such.
"""

import hashlib
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from audit.checkpoint import (
    Checkpoint,
    Signer,
    public_key_pem,
    read_checkpoint,
    read_note,
    split_checkpoints,
)
from audit.disk import reading
from audit.errors import BrokenChainError
from audit.records import RecordSealer
from audit.search import AuditSearch, LoggedEvent
from audit.segments import CHECKPOINTS, decode_entry, read_entries
from audit.tree import GrowingTree, leaf_hash
from core.records import dump_record

FORMAT = "audit export 1"
_EVENTS, _CHECKPOINTS, _KEY, _MANIFEST = "events.jsonl", "checkpoints", "public-key.pem", "manifest"


@dataclass(frozen=True)
class BundleReport:
    """What a bundle holds, once its signature and digests are checked."""

    records: int
    exported_at: datetime
    proven_size: int
    """If the bundle holds the whole log: up to which size it has a signed root; else 0."""


def json_line(logged: LoggedEvent, leaf: bytes = b"") -> bytes:
    """Return an opened record as one line of JSON; `leaf` is the hash of its sealed entry."""
    line = {
        "position": logged.position,
        "leaf_hash": leaf.hex(),
        "meaning": logged.event.kind.code.meaning,
        "event": json.loads(dump_record(logged.event)),
    }
    return json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def write_bundle(
    target: BinaryIO,
    folder: Path,
    *,
    sealer: RecordSealer,
    signer: Signer,
    now: datetime,
    wanted: AuditSearch = AuditSearch(),  # noqa: B008 - frozen
) -> int:
    """Write the bundle of the records that are wanted; return how many there are."""
    digests: dict[str, str] = {}
    with reading(folder):
        checkpoints = (folder / CHECKPOINTS).read_bytes()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as bundle:
        with bundle.open(_info(_EVENTS, now), "w", force_zip64=True) as file:
            digest, number = hashlib.sha256(), 0
            for line in _lines(folder, sealer, wanted):
                digest.update(line)
                file.write(line)
                number += 1
        digests[_EVENTS] = digest.hexdigest()
        for name, content in (
            (_CHECKPOINTS, checkpoints),
            (_KEY, public_key_pem(signer.public_key)),
        ):
            bundle.writestr(_info(name, now), content)
            digests[name] = hashlib.sha256(content).hexdigest()
        manifest = "".join(f"{value}  {name}\n" for name, value in digests.items())
        text = f"{signer.origin} {FORMAT}\ntime {now.isoformat()}\n{manifest}"
        bundle.writestr(_info(_MANIFEST, now), signer.sign(text))
    return number


def verify_bundle(source: BinaryIO, public_key: Ed25519PublicKey) -> BundleReport:
    """Check that a bundle is as it was signed, and if it is the whole log, its signed root too.

    Raises
    ------
    CheckpointError
        If the manifest or a checkpoint is not signed by this key.
    BrokenChainError
        If a file was changed, is missing, or the records are not those that were signed.
    """
    try:
        with zipfile.ZipFile(source) as bundle:
            return _checked(bundle, public_key)
    except (zipfile.BadZipFile, KeyError, UnicodeDecodeError, ValueError):
        raise BrokenChainError("this is no audit export, or a damaged one") from None


def _checked(bundle: zipfile.ZipFile, public_key: Ed25519PublicKey) -> BundleReport:
    text = read_note(bundle.read(_MANIFEST).decode(), public_key)
    heading, time, *digests = text.split("\n")[:-1]
    if not heading.endswith(f" {FORMAT}"):
        raise BrokenChainError("this is an export of another format")
    for line in digests:
        expected, _, name = line.partition("  ")
        if _digest(bundle, name) != expected:
            raise BrokenChainError(f"{name} in the bundle was changed")
    notes = split_checkpoints(bundle.read(_CHECKPOINTS).decode())
    checkpoints = [read_checkpoint(note, public_key) for note in notes]
    records, proven = _replayed(bundle, checkpoints)
    return BundleReport(records, datetime.fromisoformat(time.removeprefix("time ")), proven)


def _digest(bundle: zipfile.ZipFile, name: str) -> str:
    digest = hashlib.sha256()
    with bundle.open(name) as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _replayed(bundle: zipfile.ZipFile, checkpoints: list[Checkpoint]) -> tuple[int, int]:
    """Return how many records there are, and up to which size they are the whole signed log."""
    tree, records, proven, is_whole = GrowingTree(), 0, 0, True
    roots = {checkpoint.size: checkpoint.root for checkpoint in checkpoints}
    with bundle.open(_EVENTS) as file:
        for line in file:
            record = json.loads(line)
            is_whole = is_whole and record["position"] == records
            records += 1
            if not is_whole:
                continue
            tree.append(bytes.fromhex(record["leaf_hash"]))
            if tree.size in roots and tree.root() != roots[tree.size]:
                raise BrokenChainError(f"the root signed at size {tree.size} is another")
            if tree.size in roots:
                proven = tree.size
    return records, proven if is_whole else 0


def _lines(folder: Path, sealer: RecordSealer, wanted: AuditSearch) -> Iterator[bytes]:
    for position, entry in read_entries(folder):
        logged = LoggedEvent(position, sealer.open(decode_entry(entry)))
        if wanted.matches(logged.event):
            yield json_line(logged, leaf_hash(entry))


def _info(name: str, now: datetime) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, date_time=now.timetuple()[:6])
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o600 << 16
    return info
