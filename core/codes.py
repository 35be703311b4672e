"""Every coded concept we use, once. Source: PS3.16; SNOMED CT; LOINC; UCUM; RFC 5646."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Code:
    """A coded concept: value, scheme, meaning. Source: PS3.3 8.8."""

    value: str
    scheme: str
    meaning: str


PRIVATE_SCHEME = "99SECONDREADER"
"""Designator of our own codes; those begin with 99. Source: PS3.16 8."""

# What is found, and where. Source: PS3.16 CID 6201, 7151; SNOMED CT.
POLYP = Code("68496003", "SCT", "Polyp of colon")
LESION = Code("52988006", "SCT", "Lesion")
COLON = Code("71854001", "SCT", "Colon structure")
ENDOSCOPY = Code("423827005", "SCT", "Endoscopy")

# What was imaged. Source: PS3.16 CID 100.
IMAGING_PROCEDURE = Code("363679005", "SCT", "Imaging procedure")
CT_PROCEDURE = Code("25045-6", "LN", "CT unspecified body region")
MR_PROCEDURE = Code("25056-3", "LN", "MRI unspecified body region")
NM_PROCEDURE = Code("49118-3", "LN", "NM unspecified body region")
PET_PROCEDURE = Code("44136-0", "LN", "PET unspecified body region")

# The parts of a measurement report. Source: PS3.16 TID 1500, 1410, 1600.
IMAGING_MEASUREMENT_REPORT = Code("126000", "DCM", "Imaging Measurement Report")
IMAGE_LIBRARY = Code("111028", "DCM", "Image Library")
IMAGE_LIBRARY_GROUP = Code("126200", "DCM", "Image Library Group")
IMAGING_MEASUREMENTS = Code("126010", "DCM", "Imaging Measurements")
QUALITATIVE_EVALUATIONS = Code("C0034375", "UMLS", "Qualitative Evaluations")
PROCEDURE_REPORTED = Code("121058", "DCM", "Procedure reported")
MEASUREMENT_GROUP = Code("125007", "DCM", "Measurement Group")
FINDING = Code("121071", "DCM", "Finding")
IMAGE_REGION = Code("111030", "DCM", "Image Region")
CONCLUSION = Code("121077", "DCM", "Conclusion")
COMMENT = Code("121106", "DCM", "Comment")
DEVICE = Code("121007", "DCM", "Device")
ENGLISH = Code("en", "RFC5646", "English")
SOURCE = Code("260753009", "SCT", "Source")
SOURCE_IMAGE = Code("121322", "DCM", "Source image for image processing operation")

# What became of a reading. Source: PS3.16 TID 4000, CID 6042, CID 6047.
SUMMARY_OF_DETECTIONS = Code("111064", "DCM", "Summary of Detections")
SUCCEEDED = Code("111222", "DCM", "Succeeded")
PARTIALLY_SUCCEEDED = Code("111223", "DCM", "Partially Succeeded")
FAILED = Code("111224", "DCM", "Failed")
NOT_ATTEMPTED = Code("111225", "DCM", "Not Attempted")
FINDINGS_SUMMARY = Code("111017", "DCM", "CAD Processing and Findings Summary")
ALL_SUCCEEDED_WITHOUT = Code("111241", "DCM", "All algorithms succeeded; without findings")
ALL_SUCCEEDED_WITH = Code("111242", "DCM", "All algorithms succeeded; with findings")
SOME_SUCCEEDED_WITHOUT = Code("111243", "DCM", "Not all algorithms succeeded; without findings")
SOME_SUCCEEDED_WITH = Code("111244", "DCM", "Not all algorithms succeeded; with findings")
NONE_SUCCEEDED = Code("111245", "DCM", "No algorithms succeeded; without findings")

# No standard code means "the number a model gives, which is no probability": Certainty of
# Finding (111012, DCM) is a percentage of certainty, which an uncalibrated score is not.
SCORE = Code("SR-001", PRIVATE_SCHEME, "Model score")
PROBABILITY = Code("SR-002", PRIVATE_SCHEME, "Calibrated probability of the finding")

NO_UNITS = Code("1", "UCUM", "no units")
MILLIMETRE = Code("mm", "UCUM", "millimeter")
PIXEL = Code("{pixels}", "UCUM", "pixels")

# How an object was de-identified. Source: PS3.16 CID 7050.
BASIC_PROFILE = Code("113100", "DCM", "Basic Application Confidentiality Profile")
CLEAN_PIXEL_DATA = Code("113101", "DCM", "Clean Pixel Data Option")
CLEAN_VISUAL_FEATURES = Code("113102", "DCM", "Clean Recognizable Visual Features Option")
CLEAN_GRAPHICS = Code("113103", "DCM", "Clean Graphics Option")
CLEAN_STRUCTURED_CONTENT = Code("113104", "DCM", "Clean Structured Content Option")
CLEAN_DESCRIPTORS = Code("113105", "DCM", "Clean Descriptors Option")
RETAIN_FULL_DATES = Code(
    "113106", "DCM", "Retain Longitudinal Temporal Information Full Dates Option"
)
RETAIN_MODIFIED_DATES = Code(
    "113107", "DCM", "Retain Longitudinal Temporal Information Modified Dates Option"
)
RETAIN_PATIENT_CHARACTERISTICS = Code("113108", "DCM", "Retain Patient Characteristics Option")
RETAIN_DEVICE_IDENTITY = Code("113109", "DCM", "Retain Device Identity Option")
RETAIN_UIDS = Code("113110", "DCM", "Retain UIDs Option")
RETAIN_SAFE_PRIVATE = Code("113111", "DCM", "Retain Safe Private Option")
RETAIN_INSTITUTION_IDENTITY = Code("113112", "DCM", "Retain Institution Identity Option")
