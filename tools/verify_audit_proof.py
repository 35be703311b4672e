#!/usr/bin/env python3
"""Check that a record was in the audit log when a checkpoint was signed.

    verify_audit_proof.py PROOF.json --public-key audit-public-key.pem

Stands alone on purpose: it needs Python 3.11 and `cryptography`, and nothing of the project whose
log it judges. Use the public key that you kept when the log was made, not one that came with the
proof. Exit code 0: proven. 1: not proven. 2: wrong use.

Source: RFC 9162 2.1.1 and 2.1.3.2; C2SP signed-note and tlog-checkpoint
"""

import argparse
import base64
import hashlib
import json
import sys
import uuid
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)

FORMAT = "second-reader audit proof 1"


class NotProvenError(Exception):
    """Why the proof does not hold."""


def sha256(*parts: bytes) -> bytes:
    """Return the SHA-256 of the parts, one after another."""
    return hashlib.sha256(b"".join(parts)).digest()


def signed_text(note: str, key: Ed25519PublicKey) -> str:
    """Return the text of a signed note whose signature by this key holds."""
    text, _, signatures = note.rpartition("\n\n")
    text += "\n"
    raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    for line in signatures.split("\n"):
        name, _, encoded = line.removeprefix("\N{EM DASH} ").partition(" ")
        signature = base64.b64decode(encoded)
        if signature[:4] == sha256(name.encode(), b"\n\x01", raw)[:4]:
            try:
                key.verify(signature[4:], text.encode())
            except InvalidSignature:
                raise NotProvenError("the checkpoint was changed after it was signed") from None
            return text
    raise NotProvenError("the checkpoint is not signed by this key")


def root_above(leaf: bytes, position: int, size: int, path: list[bytes]) -> bytes:
    """Return the root that the path leads to from a leaf."""
    if not 0 <= position < size:
        raise NotProvenError("the checkpoint does not cover the position")
    node, last, root = position, size - 1, leaf
    for sibling in path:
        if last == 0 or len(sibling) != 32:
            raise NotProvenError("the path does not fit the tree")
        if node % 2 or node == last:
            root = sha256(b"\x01", sibling, root)
            while node and not node % 2:
                node, last = node // 2, last // 2
        else:
            root = sha256(b"\x01", root, sibling)
        node, last = node // 2, last // 2
    if last != 0:
        raise NotProvenError("the path is too short")
    return root


def check(bundle: dict[str, object], key: Ed25519PublicKey) -> str:
    """Return what is proven, in one sentence."""
    if bundle["format"] != FORMAT:
        raise NotProvenError("this is no proof of a format known here")
    entry = base64.b64decode(str(bundle["entry"]), validate=True)
    listed = bundle["inclusion_proof"]
    if not isinstance(listed, list):
        raise NotProvenError("the proof has no path")
    path = [base64.b64decode(part, validate=True) for part in listed]
    origin, size, root, *rest = signed_text(str(bundle["checkpoint"]), key).split("\n")
    position = int(str(bundle["position"]))
    if uuid.UUID(bytes=entry[:16]) != uuid.UUID(str(bundle["event_id"])):
        raise NotProvenError("the entry belongs to another event id")
    if root_above(sha256(b"\x00", entry), position, int(size), path) != base64.b64decode(root):
        raise NotProvenError("the path does not lead to the signed root")
    when = rest[0].removeprefix("time ") if rest else "an unknown time"
    return (
        f"event {bundle['event_id']} is entry {position} of the log {origin}, "
        f"which was signed at {size} entries on {when}"
    )


def main() -> int:
    """Read the arguments, check, say the result."""
    parser = argparse.ArgumentParser(description="Check a proof from an audit log.")
    parser.add_argument("proof", type=Path, help="the JSON file")
    parser.add_argument("--public-key", type=Path, required=True, help="the PEM that you kept")
    arguments = parser.parse_args()
    try:
        key = load_pem_public_key(arguments.public_key.read_bytes())
        bundle = json.loads(arguments.proof.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        print(f"cannot read: {error}", file=sys.stderr)
        return 2
    if not isinstance(key, Ed25519PublicKey):
        print("the public key is not an Ed25519 key", file=sys.stderr)
        return 2
    try:
        print(f"PROVEN: {check(bundle, key)}")
    except NotProvenError as error:
        print(f"NOT PROVEN: {error}")
        return 1
    except (KeyError, TypeError, ValueError):
        print("NOT PROVEN: the proof is damaged")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
