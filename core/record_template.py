"""A record that is written again and again, with a few other values each time.

To walk through a record's dataclasses costs many times what its bytes cost. A template walks once:
it writes the record as `dump_record` does and keeps what lies between the values that will change.
"""

import json
from collections.abc import Sequence

from core.records import dump_record

LONGEST_KEPT = 16 * 1024
"""What is longer is written out each time: senders could make whoever keeps it keep a lot."""

_WRITE = json.JSONEncoder(ensure_ascii=False).encode


class RecordTemplate:
    """The bytes of a record around its holes."""

    def __init__(self, record: object, holes: Sequence[str | int]) -> None:
        """Take `record`, in which each of `holes` stands, once, where another value will stand.

        Raises
        ------
        ValueError
            If one of them does not stand there exactly once, or not in this order.
        """
        rest = dump_record(record)
        self._pieces: list[bytes] = []
        for hole in holes:
            token = _written(hole)
            before, found, rest = rest.partition(token)
            if not found or token in rest or token in before:
                raise ValueError("a hole of a record does not stand in it exactly once")
            self._pieces.append(before)
        self._end = rest

    @property
    def is_short(self) -> bool:
        """Whether it may be kept."""
        return sum(map(len, self._pieces)) + len(self._end) <= LONGEST_KEPT

    def fill(self, values: Sequence[str | int | None]) -> bytes:
        """Return what `dump_record` would write of the record with these values in its holes."""
        parts: list[bytes] = []
        for piece, value in zip(self._pieces, values, strict=True):
            parts += (piece, _written(value))
        parts.append(self._end)
        return b"".join(parts)


def _written(value: str | int | None) -> bytes:
    return _WRITE(value).encode()
