"""Whether the log is the one that was written: eight steps, without the key that opens records.

1. The checkpoints are signed by the given key.
2. The files are whole: no segment is missing, none ends early.
3. Every checkpoint's root is the root of the entries up to its size.
4. The same for the checkpoints that were kept outside.
5. The entries are those whose hashes were noted when they were written.
6. No record waits in the outbox for longer than it may.
7. What the database marked as appended is in the log, and the log is the one it saw signed.
8. Everything that is kept has its record in the log, or in the outbox.

The last three need the database (`ledger`); a copy of the folder is verified by the others alone.
Steps 3 and 4 prove; step 5 helps to name the very entry that was changed. What comes after the last
checkpoint is not proven yet, and the report says from where. Without a checkpoint from outside
nobody can tell a log that was cut back, or made anew, and signed again with its own key: the report
says that too.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from audit.checkpoint import Checkpoint, read_checkpoint, split_checkpoints
from audit.disk import reading
from audit.errors import BrokenChainError, CheckpointError
from audit.ledger import Ledger, Reconciliation
from audit.segments import CHECKPOINTS, EVENT_ID_BYTES, Segment, find_segments
from audit.tree import GrowingTree, leaf_hash

WAITING = "Is the outbox emptied in time?"


@dataclass(frozen=True)
class Step:
    """One question and what speaks against a yes."""

    number: int
    question: str
    faults: tuple[str, ...]


@dataclass(frozen=True)
class BadPlace:
    """Where the log stops being what was signed or written."""

    first: int
    """The first bad entry, or the first that may be."""
    before: int
    """The first bad entry is before this one; `first + 1` where it is known exactly."""

    def __str__(self) -> str:
        if self.before == self.first + 1:
            return f"entry {self.first}"
        return f"an entry from {self.first} to {self.before - 1}"


@dataclass(frozen=True)
class Report:
    """What can be said about a log."""

    steps: tuple[Step, ...]
    size: int
    """How many entries could be read."""
    proven_size: int
    """The entries before this one are those that were signed."""
    proven_at: datetime | None
    """When they were."""
    first_bad: BadPlace | None
    has_outside: bool
    excused: str = ""
    """What an operator answers for, in a sentence."""

    @property
    def is_ok(self) -> bool:
        """Whether nothing speaks against the log."""
        return not any(step.faults for step in self.steps)

    @property
    def only_waits(self) -> bool:
        """Whether all that is wrong is that records wait for the log."""
        return [step.question for step in self.steps if step.faults] == [WAITING]

    def summary(self) -> str:
        """Say how far this report can speak, in a few sentences."""
        signed = f" at {self.proven_at.isoformat()}" if self.proven_at else ""
        parts = [
            f"{self.size} records read; the first {self.proven_size} are those that were "
            f"signed{signed}."
        ]
        if self.first_bad:
            parts.append(f"The first bad one is {self.first_bad}.")
        elif self.size > self.proven_size:
            parts.append(f"The {self.size - self.proven_size} after them are not proven.")
        if self.excused:
            parts.append(self.excused)
        if not self.has_outside:
            parts.append(
                "No checkpoint from outside was given: a log that was cut back or made anew, and "
                "signed again with its own key, could not be told from this one."
            )
        return " ".join(parts)


def verify(
    folder: Path,
    public_key: Ed25519PublicKey,
    *,
    now: datetime,
    outside: Sequence[Checkpoint] = (),
    unsigned_outside: Sequence[str] = (),
    ledger: Ledger | None = None,
) -> Report:
    """Go through all steps; the log may be in use meanwhile.

    Parameters
    ----------
    folder
        Of the log, or of a copy; nothing is written to it.
    public_key
        As it was kept when the log was made; not the copy in the folder, which proves nothing.
    outside
        Checkpoints from files that the service cannot rewrite; the more, the better.
    unsigned_outside
        What is wrong with others in those files.
    ledger
        What the database says, read before this is called; None for a copy without it.

    Raises
    ------
    LogUnreadableError
        If a file cannot be read.
    """
    beside = Reconciliation(ledger or Ledger(), public_key)
    with reading(folder):
        inside, unsigned = _read_signed(folder, public_key)
        sizes = frozenset(c.size for c in (*inside, *outside, *beside.signed))
        walk = _Walk(folder, sizes, beside.see)
        walk.run()
    findings = _Findings(walk, inside, tuple(outside))
    questions: dict[str, Iterable[str]] = {
        "Are the checkpoints signed by the given key?": unsigned,
        "Are the files of the log whole?": walk.faults,
        "Has every checkpoint the root of the entries?": findings.disagreeing(inside),
        "Do the checkpoints kept outside belong to this log?": (
            *unsigned_outside,
            *findings.strangers(),
            *findings.disagreeing(outside),
        ),
        "Are the entries those that were noted when written?": findings.differing(),
        WAITING: beside.waiting_too_long(now),
    }
    if ledger is not None:
        questions |= {
            "Is this the log that the database knows?": (
                *findings.disagreeing(beside.signed),
                *beside.contradictions(),
            ),
            "Has everything that is kept its record?": beside.without_record(),
        }
    proven = findings.proven()
    return Report(
        steps=tuple(
            Step(number, question, tuple(faults))
            for number, (question, faults) in enumerate(questions.items(), 1)
        ),
        size=walk.tree.size,
        proven_size=proven.size if proven else 0,
        proven_at=proven.time if proven else None,
        first_bad=findings.first_bad(),
        has_outside=bool(outside),
        excused=beside.excused(),
    )


def _read_signed(
    folder: Path, public_key: Ed25519PublicKey
) -> tuple[tuple[Checkpoint, ...], list[str]]:
    """Return the checkpoints that are signed, and what is wrong with the others."""
    path = folder / CHECKPOINTS
    text = path.read_bytes().decode(errors="replace") if path.exists() else ""
    signed, faults = [], []
    for number, note in enumerate(split_checkpoints(text)):
        try:
            signed.append(read_checkpoint(note, public_key))
        except CheckpointError as error:
            faults.append(f"checkpoint {number}: {error}")
    return tuple(signed), faults or ([] if signed else ["there is no checkpoint"])


class _Walk:
    """One pass over the entries, up to where the files break."""

    def __init__(self, folder: Path, sizes: frozenset[int], see: Callable[[bytes], None]) -> None:
        self._segments, self._sizes, self._see = find_segments(folder), sizes, see
        self.tree = GrowingTree()
        self.roots: dict[int, bytes] = {}
        """By size, at the sizes of the checkpoints."""
        self.faults: list[str] = []
        self.first_differing: int | None = None
        """The first entry that is not the noted one, or is noted and not there."""

    def run(self) -> None:
        """Read all segments."""
        self._note_root()
        for segment in self._segments:
            # Noted first: a log in use writes the entry, then its hash.
            noted = segment.leaf_hashes()
            if not self._enter(segment):
                return
            self._read(segment, noted, is_last=segment is self._segments[-1])

    def _enter(self, segment: Segment) -> bool:
        try:
            header = segment.header()
        except BrokenChainError as error:
            self.faults.append(str(error))
            return False
        if header.first != self.tree.size:
            self.faults.append(
                f"{segment.path.name} follows on {header.first} entries, but {self.tree.size} "
                "are before it"
            )
            return False
        if header.peaks != self.tree.peaks:
            self.faults.append(f"{segment.path.name} was not written after what is before it")
        return True

    def _read(self, segment: Segment, noted: Sequence[bytes], *, is_last: bool) -> None:
        frames = segment.frames()
        for entry in frames:
            leaf, offset = leaf_hash(entry), self.tree.size - segment.first
            if self.first_differing is None and not _is_noted(leaf, noted, offset, lag=is_last):
                self.first_differing = self.tree.size
            self.tree.append(leaf)
            self._see(entry[:EVENT_ID_BYTES])
            self._note_root()
        if self.first_differing is None and len(noted) > self.tree.size - segment.first:
            self.first_differing = self.tree.size
        if frames.is_cut and not is_last:
            self.faults.append(f"{segment.path.name} breaks at entry {self.tree.size}")

    def _note_root(self) -> None:
        if self.tree.size in self._sizes:
            self.roots[self.tree.size] = self.tree.root()

    def noted_roots(self) -> dict[int, bytes]:
        """Return the roots over the noted hashes instead, at the same sizes."""
        tree, roots = GrowingTree(), {}
        for segment in self._segments:
            for leaf in segment.leaf_hashes():
                tree.append(leaf)
                if tree.size in self._sizes:
                    roots[tree.size] = tree.root()
        return roots


def _is_noted(leaf: bytes, noted: Sequence[bytes], offset: int, *, lag: bool) -> bool:
    return noted[offset] == leaf if offset < len(noted) else lag


@dataclass(frozen=True)
class _Findings:
    """What follows from the entries and the checkpoints together."""

    walk: _Walk
    inside: tuple[Checkpoint, ...]
    outside: tuple[Checkpoint, ...]

    def _agrees(self, checkpoint: Checkpoint) -> bool:
        return self.walk.roots.get(checkpoint.size) == checkpoint.root

    def _trusted(self) -> tuple[Checkpoint, ...]:
        """Return the checkpoints that say something about this log.

        If one from outside does not hold, the log's own ones say nothing: who made this log may
        have had its key, and signed where it suited him.
        """
        is_contradicted = not all(map(self._agrees, self.outside))
        return self.outside if is_contradicted else (*self.inside, *self.outside)

    def proven(self) -> Checkpoint | None:
        """Return the largest checkpoint that holds."""
        holding = filter(self._agrees, self._trusted())
        return max(holding, key=lambda c: (c.size, c.time), default=None)

    def disagreeing(self, checkpoints: Iterable[Checkpoint]) -> Iterator[str]:
        """Say which of the checkpoints do not hold."""
        for checkpoint in checkpoints:
            if checkpoint.size > self.walk.tree.size:
                yield f"signed at size {checkpoint.size}, but entries end at {self.walk.tree.size}"
            elif not self._agrees(checkpoint):
                yield f"the root signed at size {checkpoint.size} is another"

    def strangers(self) -> Iterator[str]:
        """Say which outside checkpoints are of another log."""
        own = {checkpoint.origin for checkpoint in self.inside}
        if not own:
            return  # nothing says whose log it is
        for origin in sorted({checkpoint.origin for checkpoint in self.outside} - own):
            yield f"a checkpoint is of {origin}, which is not this log"

    def differing(self) -> Iterator[str]:
        """Say which entry is the first that is not the noted one."""
        at = self.walk.first_differing
        if at is None:
            return
        proven = self.proven()
        if proven is not None and at < proven.size:
            yield f"the hash noted for entry {at} was changed or is missing; the entry is proven"
        else:
            yield f"entry {at} is not the one that was noted"

    def first_bad(self) -> BadPlace | None:
        """Return where the log stops being what was signed, as exactly as can be told."""
        signed = self._trusted()
        bad = sorted(c.size for c in signed if not self._agrees(c))
        at = self.walk.first_differing
        if at is not None and self._is_told_by_notes(at, signed):
            return BadPlace(at, at + 1)
        if not bad:
            return None
        good = max((c.size for c in signed if self._agrees(c) and c.size < bad[0]), default=0)
        return BadPlace(good, min(bad[0], self.walk.tree.size + 1))

    def _is_told_by_notes(self, at: int, signed: Sequence[Checkpoint]) -> bool:
        """Whether the note of this entry is the signed one, or nothing better is known."""
        covering = [checkpoint for checkpoint in signed if checkpoint.size > at]
        if not covering:
            return True
        if any(map(self._agrees, covering)):
            return False  # the entry is proven, the note is not
        noted_roots = self.walk.noted_roots()
        return any(noted_roots.get(c.size) == c.root for c in covering)
