"""Those who were not let in: logged and reported aside, once each, whatever a flood of them does.

The first refusal of a caller is told at once. What follows within the window is counted and told
once, when the window closes. A window tells of so many callers; the others are counted together.
"""

import logging
import queue
import threading
import time
from dataclasses import dataclass, replace
from typing import Protocol

from core.clock import Clock
from dicom_node.faults import log_fault
from dicom_node.ports import Refusal

log = logging.getLogger(__name__)

_WINDOW_S = 60.0
_MAX_CALLERS = 64
_MAX_WAITING = 256

_Key = tuple[str, ...]


class RefusalObserver(Protocol):
    """Who is told of refusals; a `NodeObserver` is one."""

    def refused(self, refusal: Refusal) -> None:
        """Note that somebody was not let in."""


@dataclass
class Fold:
    """What is still to be told of one caller: nothing, or how often he came again."""

    last: Refusal
    times: int = 0
    is_told: bool = False
    """Whether an earlier refusal of this caller was told."""


class Refusals:
    """Takes refusals from anybody without waiting, and tells the observer from its own thread."""

    def __init__(
        self, observer: RefusalObserver, clock: Clock, *, window_s: float = _WINDOW_S
    ) -> None:
        self._observer = observer
        self._clock = clock
        self._window_s = window_s
        self._waiting: queue.Queue[Refusal | None] = queue.Queue(_MAX_WAITING)
        self._lock = threading.Lock()
        self._folds: dict[_Key, Fold] = {}
        self._thread = threading.Thread(target=self._run, name="dicom-refusals", daemon=True)

    def start(self) -> None:
        """Begin to tell."""
        self._thread.start()

    def stop(self) -> None:
        """Tell what is left, and end."""
        if self._thread.is_alive():
            self._waiting.put(None)
            self._thread.join()

    def note(self, refusal: Refusal) -> None:
        """Take a refusal; never waits."""
        seen = replace(refusal, last_at=self._clock())
        with self._lock:
            if self._is_folded(seen):
                return
        try:
            self._waiting.put_nowait(seen)
        except queue.Full:
            self._keep(seen)

    def _is_folded(self, refusal: Refusal) -> bool:
        """Count a caller who was told of in this window; else note that he will be."""
        key = _key(refusal)
        if key not in self._folds and len(self._folds) >= _MAX_CALLERS:
            key = (refusal.reason.value,)
            refusal = replace(
                refusal,
                address="",
                calling_ae_title="",
                called_ae_title="",
                certificate_fingerprint="",
                certificate_names="",
            )
        if key in self._folds or len(key) == 1:
            self._fold(key, refusal)
            return True
        self._folds[key] = Fold(refusal, is_told=True)
        return False

    def _fold(self, key: _Key, refusal: Refusal) -> None:
        fold = self._folds.setdefault(key, Fold(refusal))
        fold.last = refusal
        fold.times += refusal.times

    def _keep(self, refusal: Refusal) -> None:
        """Tell it once more when the window closes: it is not recorded yet."""
        with self._lock:
            self._fold(_key(refusal), replace(refusal, is_repeated=False))
            self._folds[_key(refusal)].is_told = refusal.is_repeated

    def _run(self) -> None:
        closes = time.monotonic() + self._window_s
        while True:
            try:
                refusal = self._waiting.get(timeout=max(0.0, closes - time.monotonic()))
            except queue.Empty:
                self._close_window()
                closes = time.monotonic() + self._window_s
                continue
            if refusal is None:
                self._close_window()
                return
            self._tell(refusal)

    def _close_window(self) -> None:
        with self._lock:
            folds, self._folds = self._folds, {}
        for fold in folds.values():
            if fold.times:
                self._tell(replace(fold.last, times=fold.times, is_repeated=fold.is_told))

    def _tell(self, refusal: Refusal) -> None:
        log.warning("%s", sentence(refusal))
        try:
            self._observer.refused(refusal)
        except Exception as error:  # noqa: BLE001 - an observer must not end this thread
            log_fault("observer failed", "-", error)
            self._keep(refusal)


def sentence(refusal: Refusal) -> str:
    """Return who was refused, how often and why, in one line for a log."""
    who = f'"{refusal.calling_ae_title}"' if refusal.calling_ae_title else "a connection"
    whom = f'"{refusal.called_ae_title}"' if refusal.called_ae_title else "us"
    place = refusal.address or "several addresses"
    often = refusal.how_often
    return f"refused {who} calling {whom} from {place}{often}: {refusal.reason}. {refusal.remedy}"


def _key(refusal: Refusal) -> _Key:
    return (
        refusal.reason.value,
        refusal.address,
        refusal.calling_ae_title,
        refusal.called_ae_title,
    )
