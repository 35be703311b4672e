"""A model that is loaded: display values in, detections out."""

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from core.findings import Finding, FrameReference
from imaging.facts import Window, WindowKind
from inference.backends import load_backend
from inference.package import FixedWindow, ModelPackage
from inference.ports import Backend
from inference.postprocessing import Detection, detections
from inference.preprocessing import model_input

T = TypeVar("T")


class Model:
    """One package, loaded once, for any number of callers.

    Frames are read in the order in which they were asked for. A caller waits for one frame before
    it asks for the next, so that callers take turns, however long their studies are.
    """

    def __init__(self, package: ModelPackage, backend: Backend) -> None:
        self.package = package
        self._backend = backend
        self._turns = Turns(package.card.name)

    @property
    def window(self) -> Window:
        """How the model wants modality values to become display values."""
        wanted = self.package.card.input.window
        if isinstance(wanted, FixedWindow):
            return Window.fixed(wanted.center, wanted.width)
        return Window(WindowKind(wanted))

    def detect(
        self, pixels: NDArray[np.uint8], *, threshold: float | None = None
    ) -> tuple[Detection, ...]:
        """Return what is in one picture, best first, boxes in its own pixels.

        Parameters
        ----------
        pixels : (rows, columns) grey or (rows, columns, 3) RGB

        Raises
        ------
        ModelFailedError
            If the runtime fails.
        """
        card = self.package.card
        tensor, geometry = model_input(pixels, card.input)
        output = self._turns.take(lambda: self._backend.run(tensor))
        score = card.thresholds.score if threshold is None else threshold
        return detections(output[0], card, geometry, threshold=score)

    def finding(self, detection: Detection, frame: FrameReference) -> Finding:
        """Return a detection as a finding of one frame."""
        label = self.package.card.labels[detection.label]
        return Finding(
            concept=label.concept,
            label=label.name,
            score=min(1.0, max(0.0, detection.score)),
            probability=None,
            frame=frame,
            region=detection.box,
        )

    def busy_s(self) -> float:
        """Return for how long the model has been at its present frame."""
        return self._turns.busy_s()

    def close(self) -> None:
        """End the model's thread."""
        self._turns.close()


class Turns:
    """One thread that does one thing at a time, in the order in which they were asked for."""

    def __init__(self, name: str) -> None:
        self._waiting: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._since: float | None = None
        threading.Thread(target=self._run, name=f"model-{name}", daemon=True).start()

    def take(self, work: Callable[[], T]) -> T:
        """Wait for our turn, and return what `work` returned or raised."""
        future: Future[T] = Future()

        def turn() -> None:
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001 - raised again where it was asked for
                future.set_exception(error)

        self._waiting.put(turn)
        return future.result()

    def busy_s(self) -> float:
        """Return for how long the present turn has lasted."""
        since = self._since
        return 0.0 if since is None else time.monotonic() - since

    def close(self) -> None:
        """End the thread after the turns that were asked for."""
        self._waiting.put(None)

    def _run(self) -> None:
        while (turn := self._waiting.get()) is not None:
            self._since = time.monotonic()
            turn()
            self._since = None


def load_model(package: ModelPackage, *, threads: int = 0) -> Model:
    """Load the weights of a package into the runtime that its card names.

    Raises
    ------
    ModelPackageError
        If the weights are not what the card says.
    """
    return Model(package, load_backend(package, threads=threads))
