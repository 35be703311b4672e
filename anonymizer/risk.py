"""Whether the pixels may show an identity. Only a flag: what follows from it is decided elsewhere.

Source: PS3.15 E.3.1 (clean pixel data); PS3.4 B.5 (classes).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from core.model import BurnedIn


class Risk(StrEnum):
    """Why text is to be feared in the pixels, or an identity outside the table's reach."""

    DECLARED = "Burned In Annotation says YES"
    CLASS = "objects of this class are often made with text in the picture"
    MODALITY = "devices of this modality often write into the picture"
    SCREEN = "Image Type says that it is a picture of a screen"


@dataclass(frozen=True)
class Flag:
    """One reason to look at the pixels before the object goes to anybody."""

    risk: Risk
    evidence: str
    """The class or modality; nothing of the patient's."""


_STORAGE = "1.2.840.10008.5.1.4.1.1"
RISKY_CLASSES = {
    f"{_STORAGE}.{suffix}": name
    for suffix, name in {
        "3": "Ultrasound Multi-frame (retired)",
        "3.1": "Ultrasound Multi-frame",
        "6": "Ultrasound (retired)",
        "6.1": "Ultrasound",
        "6.2": "Enhanced US Volume",
        "6.3": "Photoacoustic",
        "7": "Secondary Capture",
        "7.1": "Multi-frame Single Bit Secondary Capture",
        "7.2": "Multi-frame Grayscale Byte Secondary Capture",
        "7.3": "Multi-frame Grayscale Word Secondary Capture",
        "7.4": "Multi-frame True Color Secondary Capture",
        "12.1": "X-Ray Angiographic",
        "12.1.1": "Enhanced XA",
        "12.2": "X-Ray Radiofluoroscopic",
        "12.2.1": "Enhanced XRF",
        "12.3": "X-Ray Angiographic Bi-Plane (retired)",
    }.items()
}
VISIBLE_LIGHT = f"{_STORAGE}.77.1."
"""Endoscopy, microscopy, photography, ophthalmology, slides with their labels."""

RISKY_MODALITIES = frozenset(
    (
        "US", "IVUS", "BDUS", "ES", "XC", "GM", "SM", "DMS", "OP", "OPM", "OPT", "SC", "OT", "HC",
        "DOC", "DG", "XA", "RF", "EC", "EM", "DS", "DF", "CF", "CP", "LP", "FA", "CS",
    )
)  # fmt: skip
"""Retired terms included. Source: PS3.3 C.7.3.1.1.1."""

SCREEN_TERMS = frozenset(("SCREEN SAVE", "SCREENSHOT", "SCREEN CAPTURE", "SECONDARY CAPTURE"))
"""Terms that makers put into Image Type for dose pages and the like."""


def flags(
    *,
    sop_class_uid: str,
    modality: str,
    burned_in_annotation: BurnedIn,
    image_type: Sequence[str] = (),
) -> tuple[Flag, ...]:
    """Return why the pixels of such an object must be looked at; empty if nothing says so.

    Burned In Annotation NO is no reason to trust: devices set it without looking.
    """
    found = []
    if burned_in_annotation is BurnedIn.YES:
        found.append(Flag(Risk.DECLARED, "(0028,0301)"))
    if sop_class_uid in RISKY_CLASSES:
        found.append(Flag(Risk.CLASS, RISKY_CLASSES[sop_class_uid]))
    elif sop_class_uid.startswith(VISIBLE_LIGHT):
        found.append(Flag(Risk.CLASS, "visible light"))
    if modality.upper() in RISKY_MODALITIES:
        found.append(Flag(Risk.MODALITY, modality.upper()))
    if SCREEN_TERMS & {term.upper() for term in image_type}:
        found.append(Flag(Risk.SCREEN, "(0008,0008)"))
    return tuple(found)
