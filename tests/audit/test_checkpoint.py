"""Checkpoints: notes by the published format, and only those that the key signed."""

import base64
import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from audit.checkpoint import (
    Checkpoint,
    load_checkpoints,
    load_public_key,
    public_key_pem,
    read_checkpoint,
    read_note,
    split_checkpoints,
)
from audit.errors import CheckpointError
from core.errors import ConfigurationError, NotFoundError
from tests.audit.builders import NOON, OTHER_KEY, PUBLIC_KEY, signer

CHECKPOINT = Checkpoint("second-reader/site-a", 42, bytes(range(32)), NOON)
NOTE = signer().sign(CHECKPOINT.text())


def test_a_checkpoint_is_laid_out_as_published() -> None:
    """C2SP tlog-checkpoint; signed-note: key ID = SHA-256(name, newline, 0x01, key)[:4]."""
    lines = NOTE.split("\n")
    assert lines[:4] == [
        "second-reader/site-a",
        "42",
        base64.b64encode(bytes(range(32))).decode(),
        "time 2026-11-20T12:00:00.123456+00:00",
    ]
    assert lines[4] == lines[6] == ""
    dash, name, signature = lines[5].split(" ")
    raw = base64.b64decode(signature)
    key_id = hashlib.sha256(b"second-reader/site-a\n\x01" + PUBLIC_KEY.public_bytes_raw()).digest()
    assert (dash, name, raw[:4]) == ("\u2014", "second-reader/site-a", key_id[:4])
    PUBLIC_KEY.verify(raw[4:], "\n".join((*lines[:4], "")).encode())


@given(
    size=st.integers(0, 10**12),
    root=st.binary(min_size=32, max_size=32),
    at=st.datetimes(timezones=st.just(UTC)),
)
def test_a_checkpoint_comes_back(size: int, root: bytes, at: datetime) -> None:
    checkpoint = Checkpoint("second-reader/site-a", size, root, at)
    assert read_checkpoint(signer().sign(checkpoint.text()), PUBLIC_KEY) == checkpoint


def test_a_note_changed_anywhere_is_refused() -> None:
    for at in range(len(NOTE.encode())):
        changed = bytearray(NOTE.encode())
        changed[at] ^= 0x04
        with pytest.raises(CheckpointError):
            read_checkpoint(changed.decode(errors="replace"), PUBLIC_KEY)


def test_a_note_cut_anywhere_is_refused() -> None:
    for length in range(len(NOTE) - 2):
        with pytest.raises(CheckpointError):
            read_checkpoint(NOTE[:length], PUBLIC_KEY)


def test_a_note_of_another_key_is_refused() -> None:
    with pytest.raises(CheckpointError, match="not signed by the key"):
        read_checkpoint(signer(OTHER_KEY).sign(CHECKPOINT.text()), PUBLIC_KEY)


def test_signatures_of_strangers_are_ignored() -> None:
    """C2SP signed-note: a witness may have signed too."""
    theirs = signer(OTHER_KEY).sign(CHECKPOINT.text()).split("\n")[5]
    text, ours = NOTE.split("\n\n")
    for signatures in (f"{theirs}\n{ours}", f"{ours}{theirs}\n"):
        assert read_checkpoint(f"{text}\n\n{signatures}", PUBLIC_KEY) == CHECKPOINT


@pytest.mark.parametrize(
    "text",
    [
        "only one line\n",
        "o\n-1\n{root}\ntime {time}\n",
        "o\n042\n{root}\ntime {time}\n",
        "o\n42\nshort\ntime {time}\n",
        "o\n42\n{root}\ntime yesterday\n",
        "o\n42\n{root}\ntime 2026-11-20T12:00:00\n",
        "o\n42\n{root}\n{time}\n",
        "o\n42\n{root}\ntime {time}\nmore\n",
    ],
)
def test_a_signed_note_that_is_no_checkpoint_is_refused(text: str) -> None:
    root = base64.b64encode(CHECKPOINT.root).decode()
    note = signer().sign(text.format(root=root, time=NOON.isoformat()))
    assert read_note(note, PUBLIC_KEY)
    with pytest.raises(CheckpointError, match="no checkpoint"):
        read_checkpoint(note, PUBLIC_KEY)


def test_notes_in_a_row_are_told_apart() -> None:
    notes = [
        signer().sign(Checkpoint("second-reader/site-a", n, b"r" * 32, NOON).text())
        for n in range(5)
    ]
    assert list(split_checkpoints("".join(notes))) == notes


@given(st.integers(0, len(NOTE) - 2), st.booleans())
def test_a_note_that_a_crash_cut_off_hides_no_other(length: int, goes_on: bool) -> None:
    text = NOTE + NOTE[:length] + ("\n" + NOTE if goes_on else "")
    assert list(split_checkpoints(text)) == [NOTE] * (2 if goes_on else 1)


def test_all_checkpoints_of_a_file_are_read(tmp_path: Path) -> None:
    path = tmp_path / "outside"
    path.write_text(NOTE + NOTE)
    assert load_checkpoints(path, PUBLIC_KEY) == [CHECKPOINT, CHECKPOINT]


def test_a_file_without_checkpoints_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("")
    with pytest.raises(CheckpointError, match="holds no checkpoint"):
        load_checkpoints(tmp_path / "empty", PUBLIC_KEY)
    with pytest.raises(NotFoundError):
        load_checkpoints(tmp_path / "absent", PUBLIC_KEY)


def test_a_public_key_comes_back_from_pem() -> None:
    key = load_public_key(public_key_pem(PUBLIC_KEY))
    assert key.public_bytes_raw() == PUBLIC_KEY.public_bytes_raw()


@pytest.mark.parametrize(
    "pem", [b"", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"]
)
def test_what_is_no_public_key_is_refused(pem: bytes) -> None:
    with pytest.raises(ConfigurationError):
        load_public_key(pem)


def test_the_signer_has_the_public_key_of_its_private_bytes() -> None:
    key: Ed25519PublicKey = Ed25519PrivateKey.from_private_bytes(OTHER_KEY).public_key()
    assert signer(OTHER_KEY).public_key.public_bytes_raw() == key.public_bytes_raw()
    assert timedelta(0) == CHECKPOINT.time.utcoffset()
