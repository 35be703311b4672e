"""Creation of UIDs, and the namespace of our own implementation."""

import hmac
import uuid

IMPLEMENTATION_CLASS_UID = "2.25.301893424312790347013520397436823015717"
"""Ours, made once from a random UUID (PS3.5 B.2, PS3.7 D.3.3.2)."""

IMPLEMENTATION_VERSION_NAME = "SECOND_READER_01"
"""At most 16 characters (PS3.7 D.3.3.2.3)."""


def random_uid() -> str:
    """Return a fresh UID from a random UUID. Source: PS3.5 B.2."""
    return f"2.25.{uuid.uuid4().int}"


def keyed_uid(key: bytes, *parts: str) -> str:
    """Return the one UID that belongs to `parts` under `key`.

    `2.25.` plus 128 bits of an HMAC-SHA-256, so that a rerun, a second machine and a late
    instance agree, and nobody without the key can tell which parts made it. Source: PS3.5 B.2.
    """
    digest = keyed_digest(key, *parts)
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"


def keyed_digest(key: bytes, *parts: str) -> bytes:
    """Return the 32-byte HMAC-SHA-256 of `parts`, each prefixed by its length.

    The length keeps ("ab", "c") apart from ("a", "bc").
    """
    message = bytearray()
    for part in parts:
        encoded = part.encode()
        message += len(encoded).to_bytes(4, "big") + encoded
    return hmac.digest(key, bytes(message), "sha256")
