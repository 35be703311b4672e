"""One-off reads: one picture or instance across the identity border, and nothing is kept."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Protocol

from pydicom import dcmread
from pydicom.dataset import FileDataset

from api.views import DetectionAnswer, DetectionRequest, Medium
from core.clock import Clock
from core.dataset_stream import DataSetScanner
from core.errors import InputError, MalformedInstanceError, ServiceError
from core.findings import Reading
from core.model import Instance, InstanceKey
from imaging.pictures import strip_metadata
from inference.package import ModelPackage
from inference.registry import Registry
from inference.requests import ModelOrder, PictureReading, StudyInstance
from inference.selection import Candidate, Origin, select
from inference.settings import ModelRule

SUBJECT = InstanceKey("one-off")
"""What the findings of a one-off instance refer to."""


class Reads(Protocol):
    """The reader, or the models in this very process."""

    def read_study(
        self, instances: Iterable[StudyInstance], orders: Sequence[ModelOrder]
    ) -> tuple[Reading, ...]:
        """Let models read instances; one reading for each order."""

    def read_picture(self, data: bytes, order: ModelOrder) -> PictureReading:
        """Let a model read a JPEG or PNG picture."""


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

    def detect(self, request: DetectionRequest) -> DetectionAnswer:
        """De-identify, read, answer.

        Raises
        ------
        InputError
            If the content cannot be decoded or no model is one for it.
        UnknownModelError
            If there is no model of that name.
        UnavailableError
            If the reader is away, busy or stuck.
        """
        if request.medium is Medium.PICTURE:
            return self._picture(request)
        return self._instance(request)

    def _picture(self, request: DetectionRequest) -> DetectionAnswer:
        package = self._package(request.model)
        if not package.card.accepts.pictures:
            raise InputError(f"{package.card.name} reads DICOM objects only")
        answer = self.reader.read_picture(
            strip_metadata(request.content), _order(package, request.confidence)
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
        dataset = read_part10(request.content)
        instance = Instance.parse(
            dataset, transfer_syntax_uid=str(dataset.file_meta.TransferSyntaxUID)
        )
        released = StudyInstance.whole(SUBJECT, self.deidentify(dataset))
        order = self._order_for(instance, request)
        (reading,) = self.reader.read_study([released], [order])
        return DetectionAnswer(
            reading=reading,
            processed_at=self.clock(),
            rows=instance.rows,
            columns=instance.columns,
            number_of_frames=instance.number_of_frames,
            identity=instance.identity,
        )

    def _order_for(self, instance: Instance, request: DetectionRequest) -> ModelOrder:
        """Take the model that was named, or the first that the rules choose for the instance."""
        if request.model is None:
            candidate = Candidate(SUBJECT, instance.modality, instance.sop_class_uid)
            for order in select(self.rules, self.registry, Origin(""), [candidate]):
                return _with_confidence(order, request.confidence)
        return _order(self._package(request.model), request.confidence)

    def _package(self, name: str | None) -> ModelPackage:
        if name is not None:
            return self.registry.get(name)
        for rule in self.rules:
            if rule.enabled:
                return self.registry.get(rule.name, rule.version)
        raise InputError("no model is configured", remedy="Name one under `inference.models`")


def read_part10(content: bytes) -> FileDataset:
    """Read a whole Part 10 file.

    Raises
    ------
    MalformedInstanceError
        If it is none, is cut, or cannot be parsed.
    """
    if content[128:132] != b"DICM":
        raise MalformedInstanceError("this is no DICOM file: it lacks the prefix DICM")
    try:
        dataset = dcmread(BytesIO(content))
        syntax = str(dataset.file_meta.TransferSyntaxUID)
        start = dataset.file_meta.FileMetaInformationGroupLength + 144
    except ServiceError:
        raise
    except Exception as error:  # noqa: BLE001 - pydicom lets a dozen types escape (NET-7)
        # The chain is cut: the text of a parser's error may hold a value.
        raise MalformedInstanceError(
            f"the DICOM file cannot be read ({type(error).__name__})"
        ) from None
    scanner = DataSetScanner(syntax)
    scanner.feed(memoryview(content)[start:])
    scanner.finish()
    return dataset


def _order(package: ModelPackage, confidence: float | None) -> ModelOrder:
    return ModelOrder(
        name=package.card.name,
        version=package.card.version,
        digest=package.digest,
        score_threshold=confidence,
    )


def _with_confidence(order: ModelOrder, confidence: float | None) -> ModelOrder:
    if confidence is None:
        return order
    return ModelOrder(order.name, order.version, order.digest, confidence)
