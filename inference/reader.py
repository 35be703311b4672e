"""The reader: the one process that runs models. It holds no key, no database and no network.

It listens on a Unix socket that only its own user can reach, decodes in disposable children, and
ends itself when a model is stuck or memory runs out of bounds; the supervisor starts it afresh.
"""

import ctypes
import logging
import os
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from core.errors import CapacityError, ConfigurationError, InputError, ServiceError
from core.model import InstanceKey
from core.records import dump_record, load_record
from imaging.decode import Decoder
from imaging.wire import Channel, ChannelClosedError, ChannelTimeoutError, Header
from inference.engine import Engine, OpenReading, skip_instance
from inference.protocol import LONGEST_PATH, MAX_RECORD_BYTES, MIB, Orders, Readings, refusal
from inference.registry import SHIPPED, Registry
from inference.requests import ModelOrder, ReaderStatus
from inference.settings import InferenceSettings

log = logging.getLogger(__name__)

EXIT_STUCK = 75
"""Exit code after a model was stuck or memory ran out of bounds: start me again (sysexits)."""
_WATCH_INTERVAL_S = 0.5
_BACKLOG = 64
_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8


class Reader:
    """Serves studies and pictures on a socket until it is told to stop.

    Parameters
    ----------
    socket_path
        Where to listen; at most 107 bytes long.
    folders
        Where model packages are: the shipped ones, and those of the settings.
    """

    def __init__(
        self,
        socket_path: Path,
        settings: InferenceSettings,
        folders: Sequence[Path] = (SHIPPED,),
    ) -> None:
        self._path = socket_path
        self._settings = settings
        self._decoder = Decoder(settings.decoder.limits())
        self._engine = Engine(Registry(folders), self._decoder, threads=settings.threads)
        self._stopping = threading.Event()
        self._requests = 0
        self._counting = threading.Lock()

    def run(self) -> None:
        """Load models, listen, and serve until `stop`.

        Raises
        ------
        ConfigurationError
            If a model that a rule names is not here or is refused, or the socket cannot be made.
        """
        _give_memory_back()
        try:
            self._load()
            self._decoder.warm()
            with _listener(self._path) as listener:
                threading.Thread(target=self._watch, name="watchdog", daemon=True).start()
                log.info("reader listens with %d models loaded", len(self._engine.loaded()))
                self._accept(listener)
        finally:
            self._path.unlink(missing_ok=True)
            self._engine.close()
            self._decoder.close()

    def stop(self, *_: object) -> None:
        """Ask `run` to end; safe to call from a signal handler."""
        self._stopping.set()

    def _load(self) -> None:
        for rule in self._settings.models:
            if not rule.enabled:
                continue
            package = self._engine.registry.get(rule.name, rule.version)
            if self._settings.load == "start":
                self._engine.model(package.card.name, package.card.version)

    def _accept(self, listener: socket.socket) -> None:
        listener.settimeout(_WATCH_INTERVAL_S)
        while not self._stopping.is_set():
            with suppress(TimeoutError):
                connection, _ = listener.accept()
                threading.Thread(
                    target=self._serve, args=(connection,), name="request", daemon=True
                ).start()

    def _serve(self, connection: socket.socket) -> None:
        """Serve one connection; the process boundary of one request."""
        with connection:
            channel = Channel(connection)
            try:
                self._answer(channel)
            except ServiceError as error:
                with suppress(ChannelClosedError, ChannelTimeoutError):
                    channel.send(refusal(error), timeout_s=_WATCH_INTERVAL_S)
            except (ChannelClosedError, ChannelTimeoutError):
                log.info("a client went away before its answer")
            except Exception:
                log.exception("a request failed in a way that nobody foresaw")

    def _answer(self, channel: Channel) -> None:
        limit_s = self._settings.request_timeout_s
        header, _ = channel.receive(timeout_s=limit_s)
        asked = header.get("ask")
        if asked == "status":
            channel.drain(timeout_s=limit_s)
            _send(channel, dump_record(self._status()))
        elif asked in {"study", "picture"}:
            read = self._read_study if asked == "study" else self._read_picture
            with self._counted():
                answer = read(channel, header)
            _send(channel, answer)  # when it arrives, there is room for the next request
        else:
            raise InputError("the reader does not know this request")

    def _read_picture(self, channel: Channel, header: Header) -> bytes:
        order = load_record(ModelOrder, str(header.get("order")).encode())
        limit = self._settings.decoder.encoded_mib * MIB
        picture = channel.payload(limit=limit, timeout_s=self._settings.request_timeout_s)
        return dump_record(self._engine.read_picture(picture, order))

    def _read_study(self, channel: Channel, _: Header) -> bytes:
        limit_s = self._settings.request_timeout_s
        encoded = bytes(channel.payload(limit=MAX_RECORD_BYTES, timeout_s=limit_s))
        readings = self._engine.open_readings(load_record(Orders, encoded).orders)
        _send(channel)
        while "end" not in (received := channel.receive(timeout_s=limit_s))[0]:
            self._read_instance(channel, readings, *received)
            _send(channel)
        channel.drain(timeout_s=limit_s)
        return dump_record(Readings(tuple(one.conclude() for one in readings)))

    def _read_instance(
        self, channel: Channel, readings: tuple[OpenReading, ...], header: Header, size: int
    ) -> None:
        key = InstanceKey(str(header.get("instance")))
        if header.get("is_sent"):
            pieces = _from_client(channel, self._settings.request_timeout_s)
            try:
                # A caller that gave up does not leave a thousand frames behind.
                self._engine.read_instance(readings, key, pieces, size, channel.check_open)
            except _ClientGoneError:
                raise ChannelClosedError from None
        else:
            skip_instance(readings, key)
        channel.drain(timeout_s=self._settings.request_timeout_s)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Take one more request on; CapacityError if there are as many as there may be."""
        with self._counting:
            if self._requests >= self._settings.requests_at_once:
                raise CapacityError(
                    f"the reader has {self._requests} requests at hand, as many as it takes on",
                    remedy="Try again in a moment, or raise inference.requests_at_once",
                )
            self._requests += 1
        try:
            yield
        finally:
            with self._counting:
                self._requests -= 1

    def _status(self) -> ReaderStatus:
        return ReaderStatus(
            models=self._engine.states(),
            requests=self._requests,
            requests_at_once=self._settings.requests_at_once,
            frames=self._engine.frames,
            resident_mib=resident_mib(),
        )

    def _watch(self) -> None:
        """End the process when a model is stuck or memory runs out of bounds."""
        while not self._stopping.wait(_WATCH_INTERVAL_S):
            for model in self._engine.loaded():
                if model.busy_s() > self._settings.model_deadline_s:
                    name, limit_s = model.package.card.name, self._settings.model_deadline_s
                    log.error(
                        "model %s is stuck for more than %g s; the reader ends", name, limit_s
                    )
                    self._die()
            if resident_mib() > self._settings.memory_mib:
                log.error("the reader takes more than %d MiB; it ends", self._settings.memory_mib)
                self._die()

    def _die(self) -> None:
        """End at once: a thread that hangs in a model's runtime cannot be ended otherwise."""
        self._path.unlink(missing_ok=True)
        logging.shutdown()
        os._exit(EXIT_STUCK)


class _ClientGoneError(Exception):
    """The client went away in the middle of an instance."""


def resident_mib() -> int:
    """Return the resident size of this process. Source: proc_pid_statm(5)."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // MIB


def _give_memory_back() -> None:
    """Have the C library return what pictures took, and threads share its heaps.

    Left alone it raises its threshold to the largest block that was ever freed, and keeps 40 MiB
    more after a hundred requests. Source: mallopt(3)
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # another C library may not have it
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 64 * 1024)
        mallopt(_M_ARENA_MAX, 2)


def _from_client(channel: Channel, timeout_s: float) -> Iterator[bytes]:
    """Yield an instance as it comes; a client's silence is not mistaken for a decoder's."""
    try:
        yield from channel.payload_pieces(timeout_s=timeout_s)
    except (ChannelClosedError, ChannelTimeoutError):
        raise _ClientGoneError from None


def _send(channel: Channel, payload: bytes = b"") -> None:
    channel.send({"ok": True}, payload, timeout_s=30.0)


def _listener(path: Path) -> socket.socket:
    """Return a socket that only our own user can reach."""
    if len(os.fsencode(path)) > LONGEST_PATH:
        raise ConfigurationError(
            f"the path of the reader's socket has more than {LONGEST_PATH} bytes: {path}",
            remedy="Set inference.socket to a shorter path, such as /run/second-reader/reader.sock",
        )
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        mask = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(mask)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise ConfigurationError(
            f"the reader cannot listen on {path} ({error.strerror})",
            remedy="Set inference.socket to a path that this user may write to",
        ) from None
    return listener
