"""The proof of one record, checked by the script that knows nothing of us."""

import ast
import base64
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from audit.checkpoint import public_key_pem
from audit.errors import BrokenChainError, UnknownRecordError, UnsignedError
from audit.proof import prove
from audit.segments import Segment, encode_entry, encode_frame
from tests.audit.builders import (
    OTHER_KEY,
    PUBLIC_KEY,
    Installation,
    event_id,
    records,
    signer,
)

SCRIPT = Path(__file__).parents[2] / "tools" / "verify_audit_proof.py"
SIZE = 21

Bundle = dict[str, Any]
Change = Callable[[Bundle], Bundle]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    return Installation(tmp_path_factory.mktemp("site")).fill(SIZE)


def judged(folder: Path, bundle: object, pem: bytes | None = None) -> tuple[int, str]:
    """Run the script on a bundle."""
    proof, key = folder / "proof.json", folder / "key.pem"
    proof.write_text(bundle if isinstance(bundle, str) else json.dumps(bundle))
    key.write_bytes(public_key_pem(PUBLIC_KEY) if pem is None else pem)
    done = subprocess.run(
        [sys.executable, "-I", str(SCRIPT), str(proof), "--public-key", str(key)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def bundle_of(site: Installation, number: int) -> Bundle:
    bundle: Bundle = json.loads(prove(site.folder, event_id(number), PUBLIC_KEY).to_json())
    return bundle


def test_the_script_is_short_and_imports_nothing_of_ours() -> None:
    source = SCRIPT.read_text()
    assert len(source.splitlines()) < 150
    imported = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            imported.add(str(node.module).split(".")[0])
        elif isinstance(node, ast.Import):
            imported.update(alias.name.split(".")[0] for alias in node.names)
    assert imported - set(sys.stdlib_module_names) == {"cryptography"}


@pytest.mark.parametrize("number", [1, 16, 17, SIZE])
def test_a_record_of_the_log_is_proven(site: Installation, tmp_path: Path, number: int) -> None:
    code, said = judged(tmp_path, prove(site.folder, event_id(number), PUBLIC_KEY).to_json())
    assert code == 0, said
    assert said.startswith(f"PROVEN: event {event_id(number)} is entry {number - 1} of the log")
    assert f"signed at {SIZE} entries" in said


def test_every_record_has_a_path_to_the_signed_root(site: Installation) -> None:
    for number in range(1, SIZE + 1):
        assert prove(site.folder, event_id(number), PUBLIC_KEY).position == number - 1


def test_the_bundle_tells_nothing_of_the_event(site: Installation) -> None:
    text = prove(site.folder, event_id(3), PUBLIC_KEY).to_json()
    entry = base64.b64decode(json.loads(text)["entry"])
    assert b"PID-0001" not in entry
    assert "PID-0001" not in text


def flipped(encoded: str) -> str:
    raw = bytearray(base64.b64decode(encoded))
    raw[len(raw) // 2] ^= 1
    return base64.b64encode(raw).decode()


def with_path(change: Callable[[list[str]], object]) -> Change:
    return lambda b: {**b, "inclusion_proof": change(b["inclusion_proof"])}


def with_checkpoint(change: Callable[[str], str]) -> Change:
    return lambda b: {**b, "checkpoint": change(b["checkpoint"])}


CHANGES: dict[str, Change] = {
    "entry": lambda b: {**b, "entry": flipped(b["entry"])},
    "entry missing": lambda b: {key: value for key, value in b.items() if key != "entry"},
    "entry no base64": lambda b: {**b, "entry": "%%%"},
    "event id": lambda b: {**b, "event_id": event_id(7)},
    "format": lambda b: {**b, "format": "something else"},
    "position": lambda b: {**b, "position": b["position"] + 1},
    "position beyond": lambda b: {**b, "position": 10**6},
    "position negative": lambda b: {**b, "position": -1},
    "path flipped": with_path(lambda path: [flipped(path[0]), *path[1:]]),
    "path short": with_path(lambda path: path[1:]),
    "path empty": with_path(lambda _: []),
    "path long": with_path(lambda path: [*path, flipped(path[0])]),
    "path no list": with_path(lambda _: "none"),
    "size": with_checkpoint(lambda note: note.replace(f"\n{SIZE}\n", f"\n{SIZE + 1}\n")),
    "signer": with_checkpoint(lambda note: note.replace("site-a ", "site-b ")),
    "unsigned": with_checkpoint(lambda note: note.split("\u2014")[0]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_bundle_is_not_proven(site: Installation, tmp_path: Path, change: str) -> None:
    code, said = judged(tmp_path, CHANGES[change](bundle_of(site, 5)))
    assert code == 1, said
    assert said.startswith("NOT PROVEN")


def test_a_bundle_of_another_key_is_not_proven_even_if_it_brings_the_key(
    site: Installation, tmp_path: Path
) -> None:
    theirs = public_key_pem(signer(OTHER_KEY).public_key)
    code, said = judged(tmp_path, bundle_of(site, 5), theirs)
    assert (code, said.split(":")[0]) == (1, "NOT PROVEN")


@pytest.mark.parametrize(("bundle", "pem"), [("{", None), ("{}", b"no key")])
def test_what_cannot_be_read_is_wrong_use(tmp_path: Path, bundle: str, pem: bytes | None) -> None:
    assert judged(tmp_path, bundle, pem)[0] == 2


def test_an_unknown_record_is_said_to_be_unknown(site: Installation) -> None:
    for wrong in (event_id(999), "no uuid"):
        with pytest.raises(UnknownRecordError):
            prove(site.folder, wrong, PUBLIC_KEY)


def test_a_record_that_is_not_signed_yet_is_to_be_asked_for_later(tmp_path: Path) -> None:
    site = Installation(tmp_path).fill(8)
    with site.keeper() as keeper:
        keeper.append(records(range(8, 10)))
        with pytest.raises(UnsignedError):
            prove(site.folder, event_id(10), PUBLIC_KEY)
        prove(site.folder, event_id(8), PUBLIC_KEY)
    prove(site.folder, event_id(10), PUBLIC_KEY)


def test_a_falsified_log_gives_no_proof(tmp_path: Path) -> None:
    """Not even for a record that was sealed anew with the right key under the right id."""
    site = Installation(tmp_path).fill(12)
    segment = Segment.at(site.folder, 0)
    [record] = records([4])
    sealed_anew = encode_entry(record)
    frames = [sealed_anew if n == 4 else entry for n, entry in enumerate(segment.frames())]
    content = segment.header().encode() + b"".join(map(encode_frame, frames))
    segment.path.write_bytes(content)
    for number in (1, 5):
        with pytest.raises(BrokenChainError, match="not the one that was signed"):
            prove(site.folder, event_id(number), PUBLIC_KEY)
