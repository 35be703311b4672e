"""Every coded concept we use, once. Source: PS3.16; SNOMED CT; UCUM."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Code:
    """A coded concept: value, scheme, meaning. Source: PS3.3 8.8."""

    value: str
    scheme: str
    meaning: str


POLYP = Code("68496003", "SCT", "Polyp of colon")
LESION = Code("52988006", "SCT", "Lesion")
COLON = Code("71854001", "SCT", "Colon structure")
ENDOSCOPY = Code("423827005", "SCT", "Endoscopy")

FINDING = Code("121071", "DCM", "Finding")
CAN_NOT_EVALUATE = Code("111236", "DCM", "Not evaluated")
SCORE = Code("SR-001", "99SECONDREADER", "Model score")

NO_UNITS = Code("1", "UCUM", "no units")
MILLIMETRE = Code("mm", "UCUM", "millimeter")
PIXEL = Code("{pixels}", "UCUM", "pixels")
