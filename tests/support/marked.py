"""Objects whose every identity value was made for this run, so that it is known again anywhere."""

from dataclasses import dataclass, field
from datetime import date, timedelta
from random import Random

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset

from core.clock import format_da
from core.uids import random_uid
from tests.support.builders import endoscopic_image
from tests.support.leaks import Secret, secrets_of

ASCII = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
ALPHABETS = {
    "ISO_IR 6": ASCII,
    "ISO_IR 100": ASCII + "ÄÖÜäöüßéèêçñåøæ",
    "ISO_IR 192": ASCII + "ÄőŁžčαβγδ",
    "ISO_IR 144": "АБВГДЕЖЗИКЛМНОПРСТУФХЦЧШабвгдежзиклмнопрстуфхцчш",
    "ISO 2022 IR 87": "山田太郎東京都港区病院鈴木一朗花子佐藤高橋渡辺伊藤中村小林加藤",
}
"""Characters of each character set that words are made of."""

DAYS_APART = 100
"""Dates are so far apart that no shifted one is another: see `anonymizer.date_shift_max_days`."""


@dataclass
class Marks:
    """Makes values that occur nowhere else, and knows them again."""

    random: Random = field(default_factory=Random)
    words: set[str] = field(default_factory=set)
    since: date = date(1903, 5, 17)
    """Dates are later than this one."""

    def word(self, character_set: str = "ISO_IR 6", length: int = 12) -> str:
        """Return a new word."""
        made = "".join(self.random.choices(ALPHABETS[character_set], k=length))
        self.words.add(made)
        return made

    def code(self, length: int = 12) -> str:
        """Return a new identifier of letters and digits."""
        made = "".join(self.random.choices(ASCII[:26] + "0123456789", k=length))
        self.words.add(made)
        return made

    def day(self) -> str:
        """Return a new date (DA)."""
        self.since += timedelta(days=DAYS_APART + self.random.randrange(20))
        return format_da(self.since)

    def is_marked(self, text: str) -> bool:
        """Whether a text holds one of the words."""
        return any(word in text for word in self.words)

    def secrets(self, *datasets: Dataset) -> list[Secret]:
        """Return every identity value of objects that were made of these words."""
        found = [one for each in datasets for one in secrets_of(each, is_marked=self.is_marked)]
        return list(dict.fromkeys(found))


def marked_object(
    marks: Marks, character_set: str = "ISO_IR 100", pixels: NDArray[np.uint8] | None = None
) -> FileDataset:
    """Return an endoscopic image with identity values in all corners."""
    made = endoscopic_image(np.full((64, 64, 3), 40, np.uint8) if pixels is None else pixels)
    is_extended = character_set.startswith("ISO 2022")
    made.SpecificCharacterSet = ["", character_set] if is_extended else character_set
    if character_set == "ISO_IR 6":
        made.SpecificCharacterSet = ""
    for describe in (_patient, _people, _order, _place, _references):
        describe(made, marks, character_set)
    block = made.private_block(0x0009, marks.code(), create=True)
    block.add_new(0x01, "LO", marks.word(character_set))
    block.add_new(0x02, "UN", marks.word().encode())
    return made


def _name(marks: Marks, character_set: str) -> str:
    if character_set.startswith("ISO 2022"):
        return f"{marks.word()}^{marks.word()}={_kanji(marks, character_set)}"
    words = [marks.word(character_set, 10) for _ in range(3)]
    return "^".join(words)


def _kanji(marks: Marks, character_set: str) -> str:
    return "^".join(marks.word(character_set, 6) for _ in range(2))


def _patient(made: Dataset, marks: Marks, character_set: str) -> None:
    made.PatientName = _name(marks, character_set)
    made.PatientID = marks.code()
    made.IssuerOfPatientID = marks.code()
    made.PatientBirthDate = marks.day()
    made.PatientBirthName = _name(marks, character_set)
    made.PatientMotherBirthName = _name(marks, character_set)
    made.OtherPatientIDs = [marks.code(), marks.code()]
    made.PatientAddress = f"{marks.word(character_set)} 12, {marks.word(character_set)}"
    made.PatientTelephoneNumbers = f"+49 {marks.code(14)}"
    made.CountryOfResidence = marks.word(character_set)
    made.Occupation = marks.word(character_set, 8)
    made.PatientComments = f"{made.PatientName} lives in {marks.word(character_set)}"
    made.AdditionalPatientHistory = f"seen before as {marks.code()}"
    other = Dataset()
    other.PatientID, other.IssuerOfPatientID = marks.code(), marks.code()
    other.TypeOfPatientID = "TEXT"
    made.OtherPatientIDsSequence = [other]


def _people(made: Dataset, marks: Marks, character_set: str) -> None:
    for keyword in (
        "ReferringPhysicianName",
        "PhysiciansOfRecord",
        "PerformingPhysicianName",
        "OperatorsName",
        "NameOfPhysiciansReadingStudy",
        "RequestingPhysician",
        "ResponsiblePerson",
    ):
        setattr(made, keyword, _name(marks, character_set))
    made.ReferringPhysicianAddress = f"{marks.word(character_set)} 3"
    made.ReferringPhysicianTelephoneNumbers = marks.code(14)


def _order(made: Dataset, marks: Marks, character_set: str) -> None:
    made.AccessionNumber = marks.code()
    made.StudyID = marks.code()
    made.AdmissionID = marks.code()
    made.StudyDate = made.SeriesDate = made.ContentDate = marks.day()
    made.AcquisitionDateTime = f"{marks.day()}101500.123456"
    made.StudyDescription = f"of {made.PatientName}"
    made.SeriesDescription = f"for {marks.word(character_set)}"
    made.ProtocolName = marks.word(character_set)
    made.ImageComments = f"{marks.word(character_set)}, born {made.PatientBirthDate}"
    request = Dataset()
    request.RequestedProcedureID = request.ScheduledProcedureStepID = marks.code()
    request.RequestedProcedureDescription = marks.word(character_set)
    request.AccessionNumber = marks.code()
    made.RequestAttributesSequence = [request]


def _place(made: Dataset, marks: Marks, character_set: str) -> None:
    made.InstitutionName = marks.word(character_set)
    made.InstitutionAddress = f"{marks.word(character_set)} 7, {marks.word(character_set)}"
    made.InstitutionalDepartmentName = marks.word(character_set)
    made.StationName = marks.code()
    made.DeviceSerialNumber = marks.code()


def _references(made: Dataset, marks: Marks, character_set: str) -> None:
    made.FrameOfReferenceUID = random_uid()
    made.DeviceUID = random_uid()
    source = Dataset()
    source.ReferencedSOPClassUID = made.SOPClassUID
    source.ReferencedSOPInstanceUID = random_uid()
    made.SourceImageSequence = [source]
    study = Dataset()
    study.ReferencedSOPClassUID = "1.2.840.10008.3.1.2.3.1"
    study.ReferencedSOPInstanceUID = random_uid()
    made.ReferencedStudySequence = [study]
