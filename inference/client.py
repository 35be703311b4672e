"""How other processes reach the reader. Imports no model runtime."""

import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from core.findings import Reading
from core.records import dump_record, load_record
from imaging.wire import Buffer, Channel, ChannelClosedError, ChannelTimeoutError, Header
from inference.errors import ModelTimeoutError, ReaderUnavailableError
from inference.protocol import MAX_RECORD_BYTES, Orders, Readings, raise_refusal
from inference.requests import ModelOrder, PictureReading, Pieces, ReaderStatus, StudyInstance

_CONNECT_LIMIT_S = 5.0


class ReaderClient:
    """Asks the reader; every request has a connection of its own. Safe to use from many threads.

    Parameters
    ----------
    socket_path
        Where the reader listens.
    timeout_s
        How long the reader may be silent over one instance or picture.
    """

    def __init__(self, socket_path: Path, *, timeout_s: float = 600.0) -> None:
        self._path = socket_path
        self._timeout_s = timeout_s

    def read_study(
        self,
        instances: Iterable[StudyInstance],
        orders: Sequence[ModelOrder],
        *,
        timeout_s: float | None = None,
    ) -> tuple[Reading, ...]:
        """Let models read a study, instance by instance; one reading for each order.

        An instance that cannot be read is an evaluation with its reason, no error. `timeout_s` is
        for each instance.

        Raises
        ------
        UnavailableError
            If the reader is away, busy, stuck or failed.
        UnknownModelError
            If a model is not here.
        """
        skipped = [{one.instance_key for one in order.skipped} for order in orders]
        with self._connection() as channel:
            asked = dump_record(Orders(tuple(orders)))
            self._ask(channel, {"ask": "study"}, asked, timeout_s)
            for instance in instances:
                is_sent = any(instance.key not in keys for keys in skipped)
                header = {"instance": instance.key, "is_sent": is_sent}
                pieces, size = (instance.pieces, instance.size) if is_sent else ((), 0)
                self._ask_in_pieces(channel, header, pieces, size, timeout_s)
            answer = self._ask(channel, {"end": True}, timeout_s=timeout_s)
            return load_record(Readings, answer).readings

    def read_picture(
        self, data: Buffer, order: ModelOrder, *, timeout_s: float | None = None
    ) -> PictureReading:
        """Let a model read one JPEG or PNG picture.

        Raises
        ------
        InputError
            If it cannot be decoded, or the model is not one for pictures.
        UnknownModelError
            If the model is not here.
        UnavailableError
            If the reader is away, busy, stuck or failed.
        """
        with self._connection() as channel:
            header = {"ask": "picture", "order": dump_record(order).decode()}
            return load_record(PictureReading, self._ask(channel, header, data, timeout_s))

    def status(self, *, timeout_s: float = _CONNECT_LIMIT_S) -> ReaderStatus:
        """Return what the reader is doing.

        Raises
        ------
        UnavailableError
            If it is away or does not answer.
        """
        with self._connection() as channel:
            answer = self._ask(channel, {"ask": "status"}, timeout_s=timeout_s)
            return load_record(ReaderStatus, answer)

    @contextmanager
    def _connection(self) -> Iterator[Channel]:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with connection:
            connection.settimeout(_CONNECT_LIMIT_S)
            try:
                connection.connect(str(self._path))
            except OSError as error:
                raise ReaderUnavailableError(
                    f"the reader does not listen on {self._path} ({error.strerror})",
                    remedy="See whether `second-reader serve` runs the role reader",
                ) from None
            try:
                yield Channel(connection)
            except ChannelTimeoutError:
                raise ModelTimeoutError(
                    "the reader did not answer in time", remedy="See the log of the role reader"
                ) from None
            except ChannelClosedError:
                raise ReaderUnavailableError(
                    "the reader went away while it read", remedy="See the log of the role reader"
                ) from None

    def _ask(
        self,
        channel: Channel,
        header: Header,
        payload: Buffer = b"",
        timeout_s: float | None = None,
    ) -> bytes:
        size = memoryview(payload).nbytes
        return self._ask_in_pieces(channel, header, (payload,), size, timeout_s)

    def _ask_in_pieces(
        self,
        channel: Channel,
        header: Header,
        pieces: Pieces,
        size: int,
        timeout_s: float | None = None,
    ) -> bytes:
        limit_s = self._timeout_s if timeout_s is None else timeout_s
        # A reader that refuses answers, and closes, before it has read the request.
        with suppress(ChannelClosedError):
            channel.send_pieces(header, pieces, size, timeout_s=limit_s)
        header, _ = channel.receive(timeout_s=limit_s)
        raise_refusal(header)
        return bytes(channel.payload(limit=MAX_RECORD_BYTES, timeout_s=limit_s))
