"""What reads: model packages and the decoders before them."""

from collections.abc import Iterable, Iterator
from io import BytesIO

import numpy as np
from PIL import Image
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID

from core.errors import ServiceError
from imaging.decode import Decoder
from inference.backends import load_backend
from inference.registry import SHIPPED, Registry
from service.checks.report import Check, Fault, warn
from service.checks.scene import Scene

ENCODINGS = {
    "1.2.840.10008.1.2.4.50": "JPEG Baseline",
    "1.2.840.10008.1.2.4.57": "JPEG Lossless",
    "1.2.840.10008.1.2.4.70": "JPEG Lossless SV1",
    "1.2.840.10008.1.2.4.80": "JPEG-LS Lossless",
    "1.2.840.10008.1.2.4.90": "JPEG 2000 Lossless",
    "1.2.840.10008.1.2.4.201": "HTJ2K Lossless",
    "1.2.840.10008.1.2.5": "RLE Lossless",
}
"""What modalities send compressed. Source: PS3.5 A.4."""


def _models(scene: Scene) -> Iterator[Fault]:
    settings = scene.ours.settings.inference
    folders = [scene.ours.path(folder) for folder in settings.package_folders]
    registry = Registry((SHIPPED, *folders))
    wanted = [rule for rule in settings.models if rule.enabled]
    if not wanted:
        yield warn("no model is in force", "Name one under `inference.models`")
    for rule in wanted:
        try:
            load_backend(registry.get(rule.name, rule.version))
        except ServiceError as error:
            yield Fault(error.message, error.remedy)
    for name in sorted(registry.refusals.keys() - {rule.name for rule in wanted}):
        refusal = registry.refusals[name]
        yield warn(f"unused and refused: {refusal.message}", refusal.remedy)


def _decoders(scene: Scene) -> Iterator[Fault]:
    yield from missing_decoders(ENCODINGS)
    picture = BytesIO()
    Image.fromarray(np.full((16, 16, 3), 127, np.uint8)).save(picture, "JPEG")
    limits = scene.ours.settings.inference.decoder.limits()
    try:
        with Decoder(limits) as decoder:
            decoder.picture(picture.getvalue())
    except ServiceError as error:
        yield Fault(
            f"a decoder process failed over a small picture: {error.message}",
            error.remedy or "Raise the limits under `inference.decoder`",
        )


def missing_decoders(encodings: Iterable[str]) -> Iterator[Fault]:
    """Yield a fault for every transfer syntax that nothing here can decode."""
    for syntax in encodings:
        try:
            is_available = get_decoder(UID(syntax)).is_available
        except NotImplementedError:
            is_available = False
        if not is_available:
            yield Fault(
                f"nothing decodes {ENCODINGS.get(syntax, syntax)}",
                "Install the service anew: its decoders are part of it",
            )


CHECKS = (
    Check(
        "models",
        "A model that is not what its card says is refused, and its studies are not read.",
        _models,
        "every model that is in force loads, with the digest of its card",
    ),
    Check(
        "decoders",
        "Without its decoder a compressed image cannot be read, and the result says so.",
        _decoders,
        "all encodings can be decoded, and a decoder process works",
    ),
)
