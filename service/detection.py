"""One-off reads: one picture or instance across the identity border, and nothing is kept."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from pydicom.dataset import FileDataset

from api.views import DetectionAnswer, DetectionRequest, Medium
from core.clock import Clock
from core.errors import InputError
from core.findings import Reading
from core.limits import DataSetLimits
from core.model import Instance, InstanceKey
from imaging.pictures import strip_metadata
from inference.errors import NotAcceptedError
from inference.registry import Registry
from inference.requests import ModelOrder, PictureReading, StudyInstance
from inference.selection import Candidate, Origin, consider
from inference.settings import ModelRule
from service.objects import read_part10

if TYPE_CHECKING:
    from inference.engine import Engine

SUBJECT = InstanceKey("one-off")
"""What the findings of a one-off instance refer to."""
_NOBODY = Origin("")
"""Where a one-off read comes from: from no peer."""
_PREFIX = b"DICM\x02\x00\x00\x00UL\x04\x00"
"""After the preamble: DICM, and the head of the group length. Source: PS3.10 7.1."""
_MAX_META_BYTES = 64 * 1024
_SCANNED_AT_ONCE = 256 * 1024


class Reads(Protocol):
    """The reader, or the models in this very process."""

    def read_study(
        self,
        instances: Iterable[StudyInstance],
        orders: Sequence[ModelOrder],
        *,
        timeout_s: float,
    ) -> tuple[Reading, ...]:
        """Let models read instances; one reading for each order."""

    def read_picture(self, data: bytes, order: ModelOrder, *, timeout_s: float) -> PictureReading:
        """Let a model read a JPEG or PNG picture."""


@dataclass(frozen=True)
class InThisProcess:
    """The models of this very process; whoever waits for them can interrupt it."""

    engine: "Engine"

    def read_study(
        self,
        instances: Iterable[StudyInstance],
        orders: Sequence[ModelOrder],
        *,
        timeout_s: float,  # noqa: ARG002
    ) -> tuple[Reading, ...]:
        """Let models read instances; one reading for each order."""
        return self.engine.read_study(instances, orders)

    def read_picture(
        self,
        data: bytes,
        order: ModelOrder,
        *,
        timeout_s: float,  # noqa: ARG002
    ) -> PictureReading:
        """Let a model read a JPEG or PNG picture."""
        return self.engine.read_picture(data, order)


Deidentify = Callable[[FileDataset], bytes]
"""Returns the de-identified copy of an instance as a Part 10 file."""


@dataclass(frozen=True)
class Detection:
    """Implements the api's `Detector`."""

    reader: Reads
    registry: Registry
    rules: Sequence[ModelRule]
    deidentify: Deidentify
    clock: Clock
    limits: DataSetLimits = field(default_factory=DataSetLimits)
    """An object that would cost more is refused."""

    def detect(self, request: DetectionRequest) -> DetectionAnswer:
        """De-identify, read, answer.

        Raises
        ------
        InputError
            If the content cannot be decoded or no model is one for it.
        UnknownModelError
            If there is no model of that name.
        UnavailableError
            If the reader is away, busy, stuck, or silent for longer than `request.timeout_s`.
        """
        if request.medium is Medium.PICTURE:
            return self._picture(request)
        return self._instance(request)

    def _picture(self, request: DetectionRequest) -> DetectionAnswer:
        order = self._order(request, ())
        answer = self.reader.read_picture(
            strip_metadata(request.content), order, timeout_s=request.timeout_s
        )
        return DetectionAnswer(
            reading=answer.reading,
            processed_at=self.clock(),
            rows=answer.rows,
            columns=answer.columns,
            number_of_frames=1,
            identity=None,
        )

    def _instance(self, request: DetectionRequest) -> DetectionAnswer:
        dataset = read_part10(request.content, self.limits)
        syntax = str(dataset.file_meta.TransferSyntaxUID)
        instance = Instance.parse(dataset, transfer_syntax_uid=syntax)
        order = self._order(
            request, (Candidate(SUBJECT, instance.modality, instance.sop_class_uid),)
        )
        released = StudyInstance.whole(SUBJECT, self.deidentify(dataset))
        (reading,) = self.reader.read_study([released], [order], timeout_s=request.timeout_s)
        return DetectionAnswer(
            reading=reading,
            processed_at=self.clock(),
            rows=instance.rows,
            columns=instance.columns,
            number_of_frames=instance.number_of_frames,
            identity=instance.identity,
        )

    def _order(self, request: DetectionRequest, candidates: tuple[Candidate, ...]) -> ModelOrder:
        """Order the model that was named, or the first that the rules choose."""
        if request.model is not None:
            order = self._named(request.model)
        else:
            orders = consider(self.rules, self.registry, _NOBODY, candidates)
            order = next((o for o in orders if self._suits(o, candidates)), None) or _first(orders)
        self._refuse_other_medium(order, request.medium)
        if request.confidence is None:
            return order
        return replace(order, score_threshold=request.confidence)

    def _named(self, name: str) -> ModelOrder:
        """Order a model by its name, with the threshold that is in force here."""
        package = self.registry.get(name)
        card = package.card
        if card.accepts.peers:
            raise NotAcceptedError(f"{card.name} reads only what certain peers send")
        rules = (rule for rule in self.rules if rule.enabled and rule.name == name)
        rule = next(rules, ModelRule(name=name))
        if rule.version not in {None, card.version}:
            package = self.registry.get(name, rule.version)
        return ModelOrder(card.name, package.card.version, package.digest, rule.score_threshold)

    def _suits(self, order: ModelOrder, candidates: tuple[Candidate, ...]) -> bool:
        if candidates:
            return not order.skipped
        return self.registry.get(order.name, order.version).card.accepts.pictures

    def _refuse_other_medium(self, order: ModelOrder, medium: Medium) -> None:
        card = self.registry.get(order.name, order.version).card
        if medium is Medium.PICTURE and not card.accepts.pictures:
            raise NotAcceptedError(
                f"{card.name} does not read pictures", remedy="Send a DICOM object"
            )


def _first(orders: Sequence[ModelOrder]) -> ModelOrder:
    """Return the order whose refusal is answered where no model wants what was sent."""
    if not orders:
        raise InputError(
            "no model reads what comes from no peer",
            remedy="Name one as `model`, or configure one under `inference.models`",
        )
    return orders[0]
