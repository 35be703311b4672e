"""Models and decoders together: instances and pictures in, readings out. In this process."""

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.findings import Box, Evaluation, Finding, FrameReference, Outcome, Reading
from core.model import InstanceKey
from imaging.decode import Decoder, OpenedObject
from imaging.facts import PixelFacts, Window
from imaging.pictures import picture_kind
from imaging.wire import Buffer
from inference.errors import ModelFailedError, ModelPackageError, NotAcceptedError
from inference.model import Model, load_model
from inference.package import ModelPackage
from inference.registry import Registry
from inference.requests import (
    PICTURE_KEY,
    ModelOrder,
    ModelState,
    PictureReading,
    Pieces,
    StudyInstance,
)
from inference.selection import not_accepted


@dataclass
class OpenReading:
    """One model at work on one study."""

    model: Model
    threshold: float
    skipped: dict[InstanceKey, str]
    findings: list[Finding] = field(default_factory=list)
    evaluations: list[Evaluation] = field(default_factory=list)

    def conclude(self) -> Reading:
        """Return the reading; findings by instance, frame and score, the same every time."""
        return Reading(
            algorithm=self.model.package.algorithm(self.threshold),
            findings=tuple(sorted(self.findings, key=_order)),
            evaluations=tuple(self.evaluations),
        )

    def note(self, key: InstanceKey, outcome: Outcome, reason: str, frames: int = 0) -> None:
        """Say what became of one instance."""
        self.evaluations.append(Evaluation(key, outcome, frames, reason))

    def has_noted(self, key: InstanceKey) -> bool:
        """Return whether `key`, the instance at hand, has its evaluation already."""
        return bool(self.evaluations) and self.evaluations[-1].instance_key == key


@dataclass
class _Look:
    """One model at work on one instance."""

    reading: OpenReading
    of_frames: int = 1
    """How many frames the instance says it has."""
    findings: list[Finding] = field(default_factory=list)
    frames: int = 0
    failure: str = ""
    is_done: bool = False
    """Whether it was shown every frame."""

    def conclude(self, key: InstanceKey, failure: str = "") -> None:
        """Give what was found to the reading, and say what became of the instance.

        What was seen before a frame that could not be read counts; that the rest was not seen is
        said with its reason.
        """
        self.reading.findings += self.findings
        reason = self.failure or ("" if self.is_done else failure)
        if not reason:
            self.reading.note(key, Outcome.EVALUATED, "", self.frames)
            return
        if self.frames:
            reason = f"{reason}; only {self.frames} of {self.of_frames} frames could be read"
        self.reading.note(key, Outcome.COULD_NOT_PROCESS, reason, self.frames)


class Engine:
    """Every model of a registry, loaded when first needed; safe to use from many threads."""

    def __init__(self, registry: Registry, decoder: Decoder, *, threads: int = 0) -> None:
        self.registry = registry
        self._decoder = decoder
        self._threads = threads
        self._models: dict[str, Model] = {}
        self._loading = threading.Lock()
        self.frames = 0
        """How many frames were read."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the models; the decoder stays its owner's."""
        for model in self._models.values():
            model.close()
        self._models.clear()

    def model(self, name: str, version: str | None = None) -> Model:
        """Return a model, loading it if need be.

        Raises
        ------
        UnknownModelError
            If there is none.
        ModelPackageError
            If its package is refused.
        """
        package = self.registry.get(name, version)
        with self._loading:
            model = self._models.get(package.digest)
            if model is None:
                model = load_model(package, threads=self._threads)
                self._models[package.digest] = model
        return model

    def loaded(self) -> tuple[Model, ...]:
        """Return the models that are in memory."""
        return tuple(self._models.values())

    def states(self) -> tuple[ModelState, ...]:
        """Return every package that is here, the refused ones included."""
        usable = tuple(
            ModelState(
                package.card.name,
                package.card.version,
                package.digest,
                is_loaded=package.digest in self._models,
            )
            for package in self.registry.packages()
        )
        refused = tuple(
            ModelState(name, "", "", is_loaded=False, reason=str(error))
            for name, error in sorted(self.registry.refusals.items())
        )
        return usable + refused

    # --- studies ---------------------------------------------------------------------------------

    def open_readings(self, orders: Sequence[ModelOrder]) -> tuple[OpenReading, ...]:
        """Start to read a study with these models.

        Raises
        ------
        UnknownModelError, ModelPackageError
            If one is not here, or is not the package that was ordered.
        """
        return tuple(self._open_reading(order) for order in orders)

    def read_instance(
        self,
        readings: Sequence[OpenReading],
        key: InstanceKey,
        pieces: Pieces,
        size: int,
        before_each: Callable[[], None] = lambda: None,
    ) -> None:
        """Show one instance to every model that wants it.

        An instance that cannot be read, or only to some frame, is an evaluation with its reason,
        no error; what was found until then counts. `before_each` is called before each frame;
        what it raises ends the instance.

        Raises
        ------
        UnavailableError
            If decoders are busy or away, so that it is worth to try again.
        """
        wanting = [reading for reading in readings if key not in reading.skipped]
        skip_instance([reading for reading in readings if key in reading.skipped], key)
        if not wanting:
            return
        looks: list[_Look] = []
        try:
            with self._decoder.open_object(pieces, size) as opened:
                looks = _accepted(wanting, key, opened.facts)
                self._look(looks, key, opened, before_each)
        except InputError as error:
            _conclude(looks, key, _sentence(error))
            for reading in wanting:
                if not reading.has_noted(key):
                    reading.note(key, Outcome.COULD_NOT_PROCESS, _sentence(error))
            return
        _conclude(looks, key)

    def read_study(
        self, instances: Iterable[StudyInstance], orders: Sequence[ModelOrder]
    ) -> tuple[Reading, ...]:
        """Read a whole study."""
        readings = self.open_readings(orders)
        for instance in instances:
            self.read_instance(readings, instance.key, instance.pieces, instance.size)
        return tuple(reading.conclude() for reading in readings)

    def _open_reading(self, order: ModelOrder) -> OpenReading:
        model = self.model(order.name, order.version)
        package: ModelPackage = model.package
        if order.digest not in {None, package.digest}:
            raise ModelPackageError(
                f"the package of {order.name} {package.card.version} is not the one that was "
                f"chosen: its digest is {package.digest}",
                remedy="Restart all roles after a package was changed",
            )
        threshold = order.score_threshold
        return OpenReading(
            model,
            package.card.thresholds.score if threshold is None else threshold,
            {skipped.instance_key: skipped.reason for skipped in order.skipped},
        )

    def _look(
        self,
        looks: Sequence[_Look],
        key: InstanceKey,
        opened: OpenedObject,
        before_each: Callable[[], None],
    ) -> None:
        """Decode once for each window that is wanted, and show each frame to its models."""
        by_window: dict[Window, list[_Look]] = {}
        for look in looks:
            by_window.setdefault(look.reading.model.window, []).append(look)
        for window, group in by_window.items():
            for frame in opened.frames(window=window):
                before_each()
                reference = FrameReference(key, frame.number)
                for look in group:
                    self._look_at(look, reference, frame.pixels)
            for look in group:
                look.is_done = True

    def _look_at(self, look: _Look, reference: FrameReference, pixels: NDArray[np.uint8]) -> None:
        if look.failure:
            return
        model = look.reading.model
        try:
            found = model.detect(pixels, threshold=look.reading.threshold)
        except ModelFailedError as error:
            look.failure = _sentence(error)
            return
        look.findings += [model.finding(detection, reference) for detection in found]
        look.frames += 1
        self.frames += 1

    # --- pictures --------------------------------------------------------------------------------

    def read_picture(self, data: Buffer, order: ModelOrder) -> PictureReading:
        """Read one JPEG or PNG picture.

        Raises
        ------
        InputError
            If it cannot be decoded, or the model is not one for pictures.
        ModelFailedError
            If the model failed.
        """
        (reading,) = self.open_readings([order])
        card = reading.model.package.card
        if not card.accepts.pictures:
            raise NotAcceptedError(
                f"{card.name} does not read pictures", remedy="Send a DICOM object"
            )
        if picture_kind(bytes(data[:16])) is None:
            raise NotAcceptedError("the file is neither a JPEG nor a PNG picture")
        pixels = self._decoder.picture(data)
        look = _Look(reading)
        self._look_at(look, FrameReference(PICTURE_KEY, 1), pixels)
        if look.failure:
            raise ModelFailedError(look.failure)
        look.is_done = True
        look.conclude(PICTURE_KEY)
        return PictureReading(pixels.shape[0], pixels.shape[1], reading.conclude())


def skip_instance(readings: Sequence[OpenReading], key: InstanceKey) -> None:
    """Note an instance that these models are not to read."""
    for reading in readings:
        reading.note(key, Outcome.NOT_EVALUATED, reading.skipped[key])


def _accepted(readings: Sequence[OpenReading], key: InstanceKey, facts: PixelFacts) -> list[_Look]:
    """Return the models that may be shown these pixels, and note the others."""
    looks = []
    for reading in readings:
        reason = not_accepted(reading.model.package.card, facts)
        if reason:
            reading.note(key, Outcome.NOT_EVALUATED, reason)
        else:
            looks.append(_Look(reading, facts.number_of_frames))
    return looks


def _conclude(looks: Iterable[_Look], key: InstanceKey, failure: str = "") -> None:
    for look in looks:
        look.conclude(key, failure)


def _sentence(error: InputError | ModelFailedError) -> str:
    return error.message[:1].upper() + error.message[1:]


def _order(finding: Finding) -> tuple[object, ...]:
    region = finding.region
    corners = (region.x1, region.y1, region.x2, region.y2) if isinstance(region, Box) else ()
    return finding.frame, -finding.score, finding.label, corners
