"""How strictly an object's IOD demands an attribute. Source: PS3.5 7.4; PS3.3 A."""

from enum import IntEnum

from anonymizer.iod_types import IOD_OF_SOP_CLASS, NESTED, STRICTEST, TOP_LEVEL


class Requirement(IntEnum):
    """Type of an attribute; conditional types count as met, because we cannot judge conditions."""

    VALUE = 1
    """Types 1 and 1C: present with a value."""
    PRESENCE = 2
    """Types 2 and 2C: present, may be empty."""
    NONE = 3
    """Type 3, or not of the IOD."""


def is_known(sop_class_uid: str) -> bool:
    """Whether all of the class's IOD is in our tables."""
    return sop_class_uid in IOD_OF_SOP_CLASS


def requirement(tag: int, *, sop_class_uid: str, sequence: int | None) -> Requirement:
    """Return how strictly `tag` is demanded in a data set, or in an item of `sequence`.

    An unknown class gets what the strictest IOD demands: the object then stays valid whatever it
    is. So does an item, because one sequence is the same macro wherever it is used.
    """
    if sequence is not None:
        return Requirement(NESTED.get((sequence, tag), Requirement.NONE))
    iod = IOD_OF_SOP_CLASS.get(sop_class_uid)
    if iod is None:
        return Requirement(STRICTEST.get(tag, Requirement.NONE))
    usual, others = TOP_LEVEL.get(tag, (Requirement.NONE, {}))
    return Requirement(others.get(iod, usual))
