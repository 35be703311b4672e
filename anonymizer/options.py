"""The options of the Basic profile, and which of them work here. Source: PS3.15 E.3."""

from dataclasses import dataclass
from enum import StrEnum

from core import codes
from core.codes import Code


class Option(StrEnum):
    """What a profile may keep or clean beyond the Basic profile; the value names it in settings."""

    RETAIN_SAFE_PRIVATE = "retain_safe_private"
    RETAIN_UIDS = "retain_uids"
    RETAIN_DEVICE_IDENTITY = "retain_device_identity"
    RETAIN_INSTITUTION_IDENTITY = "retain_institution_identity"
    RETAIN_PATIENT_CHARACTERISTICS = "retain_patient_characteristics"
    RETAIN_FULL_DATES = "retain_longitudinal_full_dates"
    RETAIN_MODIFIED_DATES = "retain_longitudinal_modified_dates"
    CLEAN_DESCRIPTORS = "clean_descriptors"
    CLEAN_STRUCTURED_CONTENT = "clean_structured_content"
    CLEAN_GRAPHICS = "clean_graphics"
    CLEAN_PIXEL_DATA = "clean_pixel_data"
    CLEAN_VISUAL_FEATURES = "clean_recognizable_visual_features"


@dataclass(frozen=True)
class _Entry:
    code: Code
    is_available: bool


_ENTRIES = {  # Source: PS3.16 CID 7050
    Option.RETAIN_SAFE_PRIVATE: _Entry(codes.RETAIN_SAFE_PRIVATE, is_available=False),
    Option.RETAIN_UIDS: _Entry(codes.RETAIN_UIDS, is_available=True),
    Option.RETAIN_DEVICE_IDENTITY: _Entry(codes.RETAIN_DEVICE_IDENTITY, is_available=False),
    Option.RETAIN_INSTITUTION_IDENTITY: _Entry(
        codes.RETAIN_INSTITUTION_IDENTITY, is_available=True
    ),
    Option.RETAIN_PATIENT_CHARACTERISTICS: _Entry(
        codes.RETAIN_PATIENT_CHARACTERISTICS, is_available=True
    ),
    Option.RETAIN_FULL_DATES: _Entry(codes.RETAIN_FULL_DATES, is_available=True),
    Option.RETAIN_MODIFIED_DATES: _Entry(codes.RETAIN_MODIFIED_DATES, is_available=True),
    Option.CLEAN_DESCRIPTORS: _Entry(codes.CLEAN_DESCRIPTORS, is_available=False),
    Option.CLEAN_STRUCTURED_CONTENT: _Entry(codes.CLEAN_STRUCTURED_CONTENT, is_available=False),
    Option.CLEAN_GRAPHICS: _Entry(codes.CLEAN_GRAPHICS, is_available=False),
    Option.CLEAN_PIXEL_DATA: _Entry(codes.CLEAN_PIXEL_DATA, is_available=False),
    Option.CLEAN_VISUAL_FEATURES: _Entry(codes.CLEAN_VISUAL_FEATURES, is_available=False),
}

CONTRADICTIONS = (frozenset({Option.RETAIN_FULL_DATES, Option.RETAIN_MODIFIED_DATES}),)
"""Sets that cannot stand together. Source: PS3.15 E.3.6."""


def code_of(option: Option) -> Code:
    """Return what Deidentification Method Code Sequence (0012,0064) says of `option`."""
    return _ENTRIES[option].code


def is_available(option: Option) -> bool:
    """Whether we can do what `option` promises."""
    return _ENTRIES[option].is_available


AVAILABLE = tuple(option for option in Option if is_available(option))
