"""The model package: a folder with `model.yaml` and the weights; read, checked, or refused.

The card says what the model is, what it wants to see and what it answers. The package's digest is
SHA-256 over the length of `model.yaml` (8 bytes, big endian), `model.yaml` and the weights, as they
lie on disk: whoever names the digest names exactly one behaviour.
"""

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Self

import yaml
from pydantic import BaseModel, Field, PositiveInt, ValidationError, model_validator

from core.codes import Code
from core.findings import Algorithm
from inference.errors import ModelPackageError

CARD_FILE = "model.yaml"
_CHUNK_BYTES = 1024 * 1024


class _Part(BaseModel, frozen=True, extra="forbid"):
    """A part of a card: frozen, and no key unknown."""


class WeightsFile(_Part):
    """The file that holds what was learned."""

    file: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Name of a file beside model.yaml; never a path."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class FixedWindow(_Part):
    """A window in modality units, for models that were trained on one. Source: PS3.3 C.11.2."""

    center: float
    width: float = Field(gt=0)


class InputContract(_Part):
    """How a display picture becomes the tensor that the model was trained on."""

    width: PositiveInt
    height: PositiveInt
    channels: Literal[1, 3] = 3
    """3 is RGB, in this order; a grey frame is repeated. 1 is grey; a colour frame is reduced."""
    resize: Literal["letterbox", "stretch"] = "letterbox"
    """`letterbox` keeps the shape of things and pads evenly on both sides."""
    resample: Literal["bilinear", "antialias"] = "bilinear"
    """`bilinear` looks at four neighbours only, as OpenCV and ultralytics do."""
    enlarge: bool = True
    """Whether a picture smaller than the input is made larger."""
    pad: int = Field(default=114, ge=0, le=255)
    """Grey level around a letterboxed picture."""
    scale: float = Field(default=1 / 255, gt=0)
    """What each display value (0 to 255) is multiplied by."""
    mean: tuple[float, ...] = ()
    """Subtracted from each channel after scaling; empty for none."""
    std: tuple[float, ...] = ()
    """Each channel is divided by it after that; empty for none."""
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    window: Literal["object", "percentile"] | FixedWindow = "object"
    """How modality values become display values: as the object says, between the 1st and 99th
    percentile of each frame, or by a fixed window."""

    @model_validator(mode="after")
    def _one_for_each_channel(self) -> Self:
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in {0, self.channels} or (name == "std" and 0.0 in values):
                raise ValueError(f"{name} needs one number, not 0 for std, for each channel")
        return self


class OutputContract(_Part):
    """What the model's answer looks like."""

    head: Literal["yolo", "yolo_end_to_end"] = "yolo"
    """`yolo` is [batch, 4 + labels, candidates] with centre, size and one score for each label
    (YOLOv8, YOLO11), to be thinned out by us; `yolo_end_to_end` is [batch, detections, 6] with two
    corners, score and label (YOLO26). Boxes are in pixels of the model's input."""


class Label(_Part):
    """One class the model can find."""

    name: str = Field(min_length=1, max_length=64)
    """As on the wire of `/v1/detect`."""
    concept: Code
    """As in a structured report."""


class Thresholds(_Part):
    """What is kept of the model's answers."""

    score: float = Field(default=0.25, ge=0, le=1)
    """A candidate below this score is no finding."""
    iou: float = Field(default=0.7, gt=0, le=1)
    """Two candidates of one label that overlap more than this are one finding."""


class Accepts(_Part):
    """What the model may be shown; an empty list means any."""

    modalities: tuple[str, ...] = ()
    """Values of Modality (0008,0060)."""
    sop_classes: tuple[str, ...] = ()
    """SOP Class UIDs."""
    photometric: tuple[str, ...] = ()
    """Values of Photometric Interpretation (0028,0004), as in the object."""
    peers: tuple[str, ...] = ()
    """Names of peers in config.yaml; for packages that serve one purpose only, such as a demo."""
    pictures: bool = True
    """Whether JPEG and PNG files from REST and the command line are read, too."""


class TrainingData(_Part):
    """What the model learned from."""

    name: str
    terms: str
    """Under which terms the data may be used, and may have been used for this."""
    images: int = Field(ge=0)
    description: str = ""


class Performance(_Part):
    """One measured figure."""

    metric: str
    """Such as mAP50."""
    value: float
    data: str
    """What it was measured on."""


class ModelCard(_Part):
    """Everything `model.yaml` says."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")
    version: str = Field(pattern=r"^\d+\.\d+\.\d+([.+-][A-Za-z0-9.-]+)?$", max_length=32)
    task: Literal["detect"] = "detect"
    backend: Literal["onnx"] = "onnx"
    manufacturer: str
    licence: str
    """SPDX expression of the licence of the weights."""
    intended_use: str
    """Who may use it for what, and what it is not for."""
    weights: WeightsFile
    input: InputContract
    output: OutputContract = OutputContract()
    labels: tuple[Label, ...] = Field(min_length=1)
    """In the order of the model's own class numbers."""
    concept: Code
    """The procedure or finding class that the model as a whole evaluates."""
    finding_site: Code | None = None
    thresholds: Thresholds = Thresholds()
    max_detections: PositiveInt = 100
    """In one frame; the highest scores are kept."""
    accepts: Accepts = Accepts()
    training_data: tuple[TrainingData, ...] = ()
    performance: tuple[Performance, ...] = ()

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        if self.weights.file == CARD_FILE:
            raise ValueError("the weights cannot be the card itself")
        if len({label.name for label in self.labels}) != len(self.labels):
            raise ValueError("two labels have the same name")
        return self


@dataclass(frozen=True)
class ModelPackage:
    """A package whose card and weights were checked against each other."""

    folder: Path
    card: ModelCard
    digest: str
    """SHA-256 of the package, hex."""

    @property
    def weights(self) -> Path:
        """Where the weights are."""
        return self.folder / self.card.weights.file

    def algorithm(self, threshold: float | None = None) -> Algorithm:
        """Return how this model signs its readings, with the threshold in effect."""
        card = self.card
        score = card.thresholds.score if threshold is None else threshold
        parameters = (
            ("input", f"{card.input.width}x{card.input.height} {card.input.resize}"),
            ("score threshold", f"{score:g}"),
            ("iou threshold", f"{card.thresholds.iou:g}"),
            ("max detections", str(card.max_detections)),
        )
        return Algorithm(
            name=card.name,
            version=card.version,
            manufacturer=card.manufacturer,
            digest=self.digest,
            parameters=parameters,
            threshold=score,
            labels=tuple(label.name for label in card.labels),
            concept=card.concept,
            finding_site=card.finding_site,
        )


def load_package(folder: Path) -> ModelPackage:
    """Read the package in `folder` and check its weights against its card.

    Raises
    ------
    ModelPackageError
        If the card is missing or wrong, or the weights are not those that it names.
    """
    text = _read_card(folder / CARD_FILE)
    card = parse_card(text, folder / CARD_FILE)
    package = ModelPackage(folder, card, digest="")
    whole = hashlib.sha256(len(text).to_bytes(8, "big") + text)
    for chunk in _checked_weights(package):
        whole.update(chunk)
    return replace(package, digest=whole.hexdigest())


def read_weights(package: ModelPackage) -> bytes:
    """Return the weights, checked once more: what is loaded is what the digest names.

    Raises
    ------
    ModelPackageError
        If they changed since the package was read.
    """
    return b"".join(_checked_weights(package))


def _checked_weights(package: ModelPackage) -> Iterator[bytes]:
    """Yield the weights in pieces, and refuse them at the end if they are not the card's."""
    weights, expected = package.weights, package.card.weights.sha256
    found = hashlib.sha256()
    if weights.exists() and not weights.is_file():  # a device would be read without end
        raise ModelPackageError(
            f"the weights {weights} are no file", remedy="Fetch the whole package again"
        )
    try:
        with weights.open("rb") as source:
            while chunk := source.read(_CHUNK_BYTES):
                found.update(chunk)
                yield chunk
    except OSError as error:
        raise ModelPackageError(
            f"the weights {weights} cannot be read ({error.strerror})",
            remedy="Fetch the whole package again",
        ) from None
    if found.hexdigest() != expected:
        raise ModelPackageError(
            f"the weights {weights} are not those of {CARD_FILE}: their SHA-256 is "
            f"{found.hexdigest()}, not {expected}",
            remedy="Fetch the whole package again; there is no fallback to other weights",
        )


def parse_card(text: bytes | str, source: Path) -> ModelCard:
    """Read the text of a `model.yaml`; `source` is only named in faults.

    Raises
    ------
    ModelPackageError
        If it is no card; one message names every fault.
    """
    try:
        values = yaml.safe_load(text)
        return ModelCard.model_validate(values)
    except (yaml.YAMLError, UnicodeDecodeError):
        raise ModelPackageError(
            f"{source} is not YAML", remedy="Compare it with the card of a shipped package"
        ) from None
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc']) or 'card'}: {fault['msg']}"
            for fault in error.errors(include_url=False, include_input=False)
        )
        raise ModelPackageError(
            f"{source}: {faults}", remedy="Compare it with the card of a shipped package"
        ) from None


def write_package(folder: Path, card: ModelCard, weights: Path) -> ModelPackage:
    """Write a package: copy `weights` beside a `model.yaml` that names their digest.

    The name and digest of the weights in `card` are set here; any 64 hex digits may stand there.
    `folder` may exist; a package in it is replaced.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / card.weights.file
    if weights.resolve() != target.resolve():
        shutil.copyfile(weights, target)
    with target.open("rb") as source:
        digest = hashlib.file_digest(source, "sha256").hexdigest()
    named = WeightsFile(file=target.name, sha256=digest)
    whole = card.model_copy(update={"weights": named})
    text = yaml.safe_dump(
        whole.model_dump(mode="json", exclude_none=True),
        sort_keys=False,
        allow_unicode=True,
        width=100,
    )
    (folder / CARD_FILE).write_text(text, encoding="utf-8")
    return load_package(folder)


def _read_card(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelPackageError(
            f"{path} cannot be read ({error.strerror})",
            remedy="A model package is a folder with model.yaml and the weights",
        ) from None
