"""System calls of running processes: recorded with strace, read back, and judged.

A call *began* and *ended* at a line of the recording; with several threads the two lie apart. Only
a call that ended well before another one began is known to have happened before it.
"""

import re
import signal
import subprocess
import time
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

MOST_BYTES = 1024 * 1024
"""So much of what one call carries is recorded."""

DURABILITY = (
    "openat",
    "write",
    "pwrite64",
    "fsync",
    "fdatasync",
    "rename",
    "renameat",
    "renameat2",
    "link",
    "linkat",
    "sendto",
    "sendmsg",
)

CONTENTS = (
    "read",
    "recvfrom",
    "recvmsg",
    "write",
    "writev",
    "pwrite64",
    "pwritev",
    "execve",
    "clone",
    "clone3",
    "fork",
    "vfork",
)
"""What tells who got which bytes from whom, and who wrote which bytes where."""

_NAMINGS = frozenset({"rename", "renameat", "renameat2", "link", "linkat"})
_SYNCS = frozenset({"fsync", "fdatasync"})
_WRITES = frozenset({"write", "pwrite64"})
_SENDS = frozenset({"write", "sendto", "sendmsg"})
_RECEIVES = frozenset({"read", "recvfrom", "recvmsg"})
_STARTS = frozenset({"clone", "clone3", "fork", "vfork"})

_LINE = re.compile(r"(\d+) +(.*)")
_WHOLE = re.compile(r"(\w+)\((.*)\) += (-?\d+|\?)(.*)")
_BEGUN = re.compile(r"(\w+)\((.*?),? *<unfinished \.\.\.>")
_RESUMED = re.compile(r"<\.\.\. (\w+) resumed>(.*)")
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_DESCRIPTOR = re.compile(r"^-?\w+<([^>]*?)(?:>|$)")
_OPENED = re.compile(r"<((?:\\x[0-9a-f]{2})+)>")

_ROLE = re.compile(rb"service\.wiring(dicom|api|worker|reader)")

_RESPONSE = bytes.fromhex("00000001 02000000 0180")
"""Command Field (0000,0100) of a C-STORE-RSP. Source: PS3.7 Table 9.3-2."""
_SUCCESS = bytes.fromhex("00000009 02000000 0000")
"""Status (0000,0900) of success."""


@dataclass(frozen=True)
class Call:
    """One system call of one thread."""

    thread: int
    name: str
    began: int
    ended: int
    path: str
    """What its descriptor, or its first path, names; a socket looks like `TCP:[...]`."""
    new_path: str
    """The second path, if there is one."""
    data: bytes
    flags: str
    """All arguments that are no strings, as strace shows them."""
    result: int

    @property
    def succeeded(self) -> bool:
        """Whether the kernel did it."""
        return self.result >= 0


@contextmanager
def recording(
    processes: Iterable[int], calls: Sequence[str], file: Path, *, most_bytes: int = MOST_BYTES
) -> Iterator[None]:
    """Record these calls of running processes, and of what they start, into `file`."""
    attached = [argument for process in processes for argument in ("-p", str(process))]
    command = [
        "strace",
        "-f",
        "-yy",
        "-xx",
        "-s",
        str(most_bytes),
        "-e",
        f"trace={','.join(calls)}",
    ]
    with file.with_suffix(".err").open("w+b") as errors:
        tracer = subprocess.Popen(
            [*command, "-e", "signal=none", "-o", str(file), *attached], stderr=errors
        )
        try:
            _wait_until_attached(tracer, Path(errors.name), len(attached) // 2)
            yield
        finally:
            tracer.send_signal(signal.SIGINT)
            tracer.wait(30)


def _wait_until_attached(
    tracer: "subprocess.Popen[bytes]", errors: Path, processes: int, seconds: float = 20.0
) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and tracer.poll() is None:
        if errors.read_text().count("attached") >= processes:
            return
        time.sleep(0.02)
    raise AssertionError(f"strace did not attach: {errors.read_text()}")


def parse_trace(lines: Iterable[str]) -> list[Call]:
    """Return the calls of a recording that came to an end, in the order in which they began."""
    calls: list[Call] = []
    begun: dict[tuple[int, str], tuple[int, str]] = {}
    for number, line in enumerate(lines):
        match = _LINE.match(line)
        if match is None:
            continue
        thread, text = int(match[1]), match[2]
        began = number
        if unfinished := _BEGUN.match(text):
            begun[thread, unfinished[1]] = (number, f"{unfinished[1]}({unfinished[2]}")
            continue
        if resumed := _RESUMED.match(text):
            began, head = begun.pop((thread, resumed[1]), (number, f"{resumed[1]}("))
            text = head + resumed[2]
        if whole := _WHOLE.match(text):
            calls.append(_call(thread, (began, number), whole))
    return sorted(calls, key=lambda call: call.began)


def _call(thread: int, lines: tuple[int, int], whole: "re.Match[str]") -> Call:
    name, arguments = whole[1], whole[2]
    strings = [_decoded(found) for found in _STRING.findall(arguments)]
    descriptor = _DESCRIPTOR.match(arguments)
    path = _decoded(descriptor[1]).decode(errors="replace") if descriptor else ""
    new_path, data = "", b"".join(strings)
    if name in _NAMINGS or name == "openat":
        path = strings[0].decode(errors="replace") if strings else path
        new_path = strings[1].decode(errors="replace") if len(strings) > 1 else ""
        data = b""
    opened = _OPENED.search(whole[4]) if name == "openat" else None
    if opened is not None:  # the path as the kernel resolved it
        path = _decoded(opened[1]).decode(errors="replace")
    result = -1 if whole[3] == "?" else int(whole[3])
    flags = _STRING.sub("", arguments)
    return Call(thread, name, *lines, path, new_path, data, flags, result)


def _decoded(text: str) -> bytes:
    """Undo strace's `-xx`; descriptors of sockets are not escaped."""
    if "\\x" not in text:
        return text.encode()
    head, *pieces = text.split("\\x")
    return head.encode() + b"".join(
        bytes.fromhex(piece[:2]) + piece[2:].encode() for piece in pieces
    )


def role_of_each_thread(calls: Sequence[Call], running: Mapping[int, str]) -> dict[int, str]:
    """Return the role that each thread of a recording belongs to.

    Parameters
    ----------
    running
        The roles of the threads that were there when the recording began.
    """
    parents = {call.result: call.thread for call in calls if call.name in _STARTS}
    roles = dict(running)
    for call in calls:
        started = _ROLE.search(call.data) if call.name == "execve" and call.succeeded else None
        if started is not None:
            roles[call.thread] = started[1].decode()
    for thread in {call.thread for call in calls}:
        ancestor: int | None = thread
        while ancestor is not None and ancestor not in roles:
            ancestor = parents.get(ancestor)
        roles[thread] = "" if ancestor is None else roles[ancestor]
    return roles


def received(calls: Iterable[Call], threads: Container[int]) -> dict[str, bytes]:
    """Return what these threads got from others, by the socket or pipe that it came through."""
    return _joined(
        call
        for call in calls
        if call.name in _RECEIVES and call.thread in threads and not call.path.startswith("/")
    )


def written(calls: Iterable[Call]) -> dict[str, bytes]:
    """Return what was written to files, by their paths; unlinked ones included."""
    names = _WRITES | {"writev", "pwritev"}
    return _joined(call for call in calls if call.name in names and call.path.startswith("/"))


def _joined(calls: Iterable[Call]) -> dict[str, bytes]:
    streams: dict[str, bytearray] = {}
    for call in calls:
        streams.setdefault(call.path, bytearray()).extend(call.data)
    return {name: bytes(data) for name, data in streams.items()}


def stored_responses(calls: Sequence[Call]) -> list[Call]:
    """Return the calls that sent a C-STORE-RSP of success."""
    return [
        call
        for call in calls
        if call.name in _SENDS
        and call.path.startswith("TCP")
        and _RESPONSE in call.data
        and _SUCCESS in call.data
    ]


def custody_faults(calls: Sequence[Call], *, objects: Path, keys: Path, log: Path) -> list[str]:
    """Return what was not durable when a C-STORE-RSP of success was sent; nothing if all was.

    Before each answer there must have been, each ended before the next began: the last write of
    the object's file, its sync, its naming, the sync of its folder, a commit in the database, and
    the sync of that. The same holds for the files of study keys that were made on the way.

    Parameters
    ----------
    objects, keys
        The folders of sealed objects and of study keys.
    log
        The file that takes the database's commits: SQLite's write-ahead log.
    """
    answers = stored_responses(calls)
    if not answers:
        return ["no C-STORE-RSP of success was sent"]
    faults: list[str] = []
    start = -1
    for answer in answers:
        before = [call for call in calls if call.ended < answer.began and call.succeeded]
        made = [call for call in calls if start < call.began < answer.began and _creates(call)]
        stored = [call for call in made if _is_below(call, objects)]
        if len(stored) != 1:
            faults.append(f"{len(stored)} objects were written before one answer")
        ends = [_durable_at(call, before, faults) for call in made if _is_below(call, keys)]
        ends += [_durable_at(call, before, faults) for call in stored]
        _check_commit(answer, before, max(ends, default=start), (log, faults))
        start = answer.ended
    return faults


def _creates(call: Call) -> bool:
    return call.name == "openat" and "O_CREAT" in call.flags and call.succeeded


def _is_below(call: Call, folder: Path) -> bool:
    return PurePosixPath(call.path).is_relative_to(folder)


def _durable_at(created: Call, before: Sequence[Call], faults: list[str]) -> int:
    """Return when the created file had a name that lasts; adds to `faults` if it never had."""
    after = created.ended
    writes = [c.ended for c in before if c.name in _WRITES and c.path == created.path]
    if not writes:
        faults.append(f"{created.path} was never written")
    after = max([after, *writes])
    synced = _first(before, after, lambda c: c.name in _SYNCS and c.path == created.path)
    if synced is None:
        faults.append(f"{created.path} was not synced after its last write")
        return after
    named = _first(before, synced.ended, lambda c: c.name in _NAMINGS and c.path == created.path)
    if named is None:
        faults.append(f"{created.path} got no name after its sync")
        return synced.ended
    folder = str(PurePosixPath(named.new_path).parent)
    kept = _first(before, named.ended, lambda c: c.name in _SYNCS and c.path == folder)
    if kept is None:
        faults.append(f"{folder} was not synced after {named.new_path} got its name")
        return named.ended
    return kept.ended


def _check_commit(
    answer: Call, before: Sequence[Call], after: int, where: tuple[Path, list[str]]
) -> None:
    """Find the commit of the thread that answers, and its sync."""
    log, faults = where
    commits = [
        call
        for call in before
        if call.thread == answer.thread and call.path == str(log) and _is_commit(call)
    ]
    if not commits or commits[-1].began <= after:
        faults.append("the database was not written after the object was durable")
        return
    last = max(
        c.ended
        for c in before
        if c.name in _WRITES and c.path == str(log) and c.thread == answer.thread
    )
    if _first(before, last, lambda c: c.name in _SYNCS and c.path == str(log)) is None:
        faults.append("the database was not synced after its last write")


def _is_commit(call: Call) -> bool:
    """Whether a write is the header of a frame that ends a transaction.

    Source: SQLite, "Database File Format" 4.1: bytes 4 to 7 are the size after a commit, else 0.
    """
    return call.name in _WRITES and len(call.data) == 24 and any(call.data[4:8])


def _first(calls: Sequence[Call], after: int, wanted: Callable[[Call], bool]) -> Call | None:
    return next((call for call in calls if call.began > after and wanted(call)), None)
