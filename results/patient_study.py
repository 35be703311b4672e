"""Patient and study of a result, byte for byte as its source has them.

What identifies a patient is copied as encoded bytes together with the character set they are
encoded in, so that an archive cannot tell the result's identity from the original's. Only where
our own text does not fit that character set is everything written in UTF-8 instead.
"""

from collections.abc import Iterator

from pydicom.charset import convert_encodings, decode_bytes, python_encoding
from pydicom.datadict import dictionary_has_tag, dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag, Tag
from pydicom.valuerep import PN_DELIMS, TEXT_VR_DELIMS

from results.errors import NotEncodableError

UTF_8 = "ISO_IR 192"
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

PATIENT = str.split(
    """
    ReferencedPatientSequence PatientName PatientID IssuerOfPatientID TypeOfPatientID
    IssuerOfPatientIDQualifiersSequence SourcePatientGroupIdentificationSequence
    GroupOfPatientsIdentificationSequence PatientBirthDate PatientBirthTime
    PatientBirthDateInAlternativeCalendar PatientDeathDateInAlternativeCalendar
    PatientAlternativeCalendar PatientSex QualityControlSubject StrainDescription
    StrainNomenclature StrainStockSequence StrainAdditionalInformation StrainCodeSequence
    GeneticModificationsSequence OtherPatientIDs OtherPatientNames OtherPatientIDsSequence
    ReferencedPatientPhotoSequence EthnicGroup EthnicGroupCodeSequence PatientSpeciesDescription
    PatientSpeciesCodeSequence PatientBreedDescription PatientBreedCodeSequence
    BreedRegistrationSequence ResponsiblePerson ResponsiblePersonRole ResponsibleOrganization
    PatientComments PatientIdentityRemoved DeidentificationMethod
    DeidentificationMethodCodeSequence
    """
)
"""Source: PS3.3 C.7.1.1."""

STUDY = str.split(
    """
    StudyDate StudyTime AccessionNumber IssuerOfAccessionNumberSequence ReferringPhysicianName
    ReferringPhysicianIdentificationSequence ConsultingPhysicianName
    ConsultingPhysicianIdentificationSequence StudyDescription ProcedureCodeSequence
    PhysiciansOfRecord PhysiciansOfRecordIdentificationSequence NameOfPhysiciansReadingStudy
    PhysiciansReadingStudyIdentificationSequence ReferencedStudySequence StudyInstanceUID StudyID
    RequestingService RequestingServiceCodeSequence ReasonForPerformedProcedureCodeSequence
    """
)
"""Source: PS3.3 C.7.2.1."""

PATIENT_STUDY = str.split(
    """
    AdmittingDiagnosesDescription AdmittingDiagnosesCodeSequence PatientAge PatientSize
    PatientSizeCodeSequence PatientBodyMassIndex MeasuredAPDimension MeasuredLateralDimension
    PatientWeight MedicalAlerts Allergies Occupation SmokingStatus AdditionalPatientHistory
    PregnancyStatus LastMenstrualDate PatientSexNeutered ReasonForVisit ReasonForVisitCodeSequence
    AdmissionID IssuerOfAdmissionIDSequence ServiceEpisodeID ServiceEpisodeDescription
    IssuerOfServiceEpisodeIDSequence PatientState
    """
)
"""Source: PS3.3 C.7.2.2."""

CLINICAL_TRIAL = str.split(
    """
    ClinicalTrialSponsorName ClinicalTrialProtocolID ClinicalTrialProtocolName
    IssuerOfClinicalTrialProtocolID OtherClinicalTrialProtocolIDsSequence ClinicalTrialSiteID
    ClinicalTrialSiteName IssuerOfClinicalTrialSiteID ClinicalTrialSubjectID
    IssuerOfClinicalTrialSubjectID ClinicalTrialSubjectReadingID
    IssuerOfClinicalTrialSubjectReadingID ClinicalTrialProtocolEthicsCommitteeName
    ClinicalTrialProtocolEthicsCommitteeApprovalNumber ClinicalTrialTimePointID
    ClinicalTrialTimePointDescription LongitudinalTemporalOffsetFromEvent
    LongitudinalTemporalEventType ClinicalTrialTimePointTypeCodeSequence
    IssuerOfClinicalTrialTimePointID ConsentForClinicalTrialUseSequence
    """
)
"""Source: PS3.3 C.7.1.3, C.7.2.3."""

OF_THE_WHOLE_OBJECT = ["TimezoneOffsetFromUTC"]
"""In SOP Common (PS3.3 C.12.1), but it says what the study's times mean."""

KEYWORDS = (*PATIENT, *STUDY, *PATIENT_STUDY, *CLINICAL_TRIAL, *OF_THE_WHOLE_OBJECT)

ALWAYS_PRESENT = str.split(
    """
    PatientName PatientID PatientBirthDate PatientSex StudyDate StudyTime AccessionNumber
    ReferringPhysicianName StudyID
    """
)
"""Type 2: written empty where the source has none."""

_ENCODED_TEXT = frozenset(("LO", "LT", "PN", "SH", "ST", "UC", "UT"))
"""VRs that Specific Character Set applies to. Source: PS3.5 6.1.2.2."""

_PLAIN_TEXT = frozenset(("AE", "AS", "CS", "DA", "DS", "DT", "IS", "TM", "UI", "UR"))


def put_patient_and_study(source: Dataset, target: Dataset) -> None:
    """Give `target` the patient and study of `source`, and a character set that fits both.

    Raises
    ------
    NotEncodableError
        If the source has no study or no patient ID, or its text cannot be told from its
        character set.
    """
    copied = _verbatim(source, [Tag(tag_for_keyword(keyword) or 0) for keyword in KEYWORDS])
    _require(copied)
    own = {value for value in _strings(target) if not value.isascii()}
    charset = source.get("SpecificCharacterSet")
    if own and not _fits(own, charset):
        copied = _in_utf_8(copied, _encodings(charset))
        charset = UTF_8
    elif not _is_known(charset):
        if not _is_ascii(copied):
            raise _unknown_charset()
        charset = None
    for keyword in ALWAYS_PRESENT:
        if keyword not in copied:
            setattr(copied, keyword, None)
    target.update(copied)
    if charset:
        target.SpecificCharacterSet = charset
    elif "SpecificCharacterSet" in target:
        del target.SpecificCharacterSet


def _require(copied: Dataset) -> None:
    for keyword in ("PatientID", "StudyInstanceUID"):
        element = copied.get_item(keyword)
        value = "" if element is None else element.value or ""
        text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
        if not text.strip(" \0"):
            raise NotEncodableError(
                f"the source has no {keyword}",
                remedy="A result without it could be filed with anybody; correct the study",
            )


def _verbatim(source: Dataset, tags: list[BaseTag]) -> Dataset:
    """Return the elements of `source` as they are encoded, sequences included."""
    copied = Dataset()
    for tag in tags:
        if tag not in source:
            continue
        vr = dictionary_VR(tag)
        element = source.get_item(tag)
        if vr == "SQ":
            copied[tag] = DataElement(tag, "SQ", Sequence(_items(source, tag)))
        elif isinstance(element, RawDataElement) and vr in _ENCODED_TEXT | _PLAIN_TEXT:
            copied[tag] = _raw(tag, vr, element.value or b"")
        else:
            copied[tag] = source[tag]
    return copied


def _items(source: Dataset, tag: BaseTag) -> list[Dataset]:
    value = source[tag].value
    if not isinstance(value, Sequence):
        raise NotEncodableError(f"the sequence {tag} of the source cannot be read")
    return [
        _verbatim(item, [inner for inner in sorted(item.keys()) if dictionary_has_tag(inner)])
        for item in value
    ]


def _raw(tag: BaseTag, vr: str, value: bytes) -> RawDataElement:
    padded = value + (b"\0" if vr == "UI" else b" ") * (len(value) % 2)
    return RawDataElement(tag, vr, len(padded), padded, 0, False, True)


def _strings(dataset: Dataset) -> Iterator[str]:
    for element in dataset.iterall():
        if element.VR in _ENCODED_TEXT:
            values = element.value if isinstance(element.value, MultiValue) else [element.value]
            yield from (str(value) for value in values if value)


def _raw_texts(dataset: Dataset) -> Iterator[RawDataElement]:
    for tag in sorted(dataset.keys()):
        element = dataset.get_item(tag)
        if isinstance(element, RawDataElement):
            if element.VR in _ENCODED_TEXT:
                yield element
        elif element is not None and element.VR == "SQ":
            for item in element.value:
                yield from _raw_texts(item)


def _is_ascii(dataset: Dataset) -> bool:
    """Whether all text reads the same in every character set (an escape starts another)."""
    values = [element.value or b"" for element in _raw_texts(dataset)]
    return all(value.isascii() and b"\x1b" not in value for value in values)


def _terms(charset: object) -> list[str]:
    if charset is None:
        return [""]
    return [str(term) for term in charset] if isinstance(charset, MultiValue) else [str(charset)]


def _is_known(charset: object) -> bool:
    return all(term in python_encoding for term in _terms(charset))


def _encodings(charset: object) -> list[str]:
    if not _is_known(charset):
        raise _unknown_charset()
    return convert_encodings(_terms(charset))


def _fits(texts: set[str], charset: object) -> bool:
    """Whether our own text can be written in the source's character set without escapes."""
    terms = _terms(charset)
    if len(terms) != 1 or terms[0] not in python_encoding or terms[0] in {"", "ISO_IR 6"}:
        return False
    try:
        for text in texts:
            text.encode(python_encoding[terms[0]])
    except UnicodeEncodeError:
        return False
    return True


def _in_utf_8(copied: Dataset, encodings: list[str]) -> Dataset:
    """Return `copied` with every text element decoded, strictly, and encoded in UTF-8."""
    local = copied.get("SpecificCharacterSet")
    encodings = encodings if local is None else _encodings(local)
    converted = Dataset()
    for tag in sorted(copied.keys()):
        element = copied.get_item(tag)
        if element is None or tag == 0x00080005:
            continue
        if isinstance(element, RawDataElement) and element.VR in _ENCODED_TEXT:
            text = _decoded(element.VR or "", element.value or b"", encodings)
            converted[tag] = _raw(tag, element.VR or "", text.encode())
        elif element.VR == "SQ":
            items = [_in_utf_8(item, encodings) for item in element.value]
            converted[tag] = DataElement(tag, "SQ", Sequence(items))
        else:
            converted[tag] = element
    return converted


def _decoded(vr: str, value: bytes, encodings: list[str]) -> str:
    try:
        if len(encodings) == 1:
            return value.decode(encodings[0])
        # Several may alternate within one value; pydicom then replaces what does not fit.
        text = decode_bytes(value, encodings, PN_DELIMS if vr == "PN" else TEXT_VR_DELIMS)
    except UnicodeDecodeError:
        text = REPLACEMENT
    if REPLACEMENT in text:
        raise NotEncodableError(
            "text of the source does not fit its Specific Character Set",
            remedy="Correct Specific Character Set (0008,0005) at the sender",
        )
    return text


def _unknown_charset() -> NotEncodableError:
    return NotEncodableError(
        "the source's Specific Character Set is not one of the standard's",
        remedy="Correct Specific Character Set (0008,0005) at the sender",
    )
