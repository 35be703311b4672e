"""Read the index of one instance after the other; what a whole series shares is decoded once.

Decoding the twenty values that we index costs more than everything else in a data set's head, and
in a series all but two of them are the same bytes again.
"""

import re
from collections.abc import Mapping
from dataclasses import replace

from pydicom import Dataset
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.tag import BaseTag, Tag

from core.model import Instance

_SHARED = tuple(
    Tag(keyword)
    for keyword in (
        "SpecificCharacterSet",
        "SOPClassUID",
        "StudyDate",
        "StudyTime",
        "AccessionNumber",
        "Modality",
        "Manufacturer",
        "StudyDescription",
        "SeriesDescription",
        "ManufacturerModelName",
        "PatientName",
        "PatientID",
        "IssuerOfPatientID",
        "PatientBirthDate",
        "PatientSex",
        "BodyPartExamined",
        "StudyInstanceUID",
        "SeriesInstanceUID",
        "StudyID",
        "SeriesNumber",
        "NumberOfFrames",
        "Rows",
        "Columns",
        "BurnedInAnnotation",
    )
)
"""All that `Instance.parse` looks at, and what says how text is encoded, but for the next two."""

_SOP_INSTANCE_UID, _INSTANCE_NUMBER = Tag("SOPInstanceUID"), Tag("InstanceNumber")
_PLAIN_UID = re.compile(rb"([0-9.]{1,64})\0?")
_PLAIN_NUMBER = re.compile(rb" ?(-?[0-9]{1,9}) ?")
"""What needs no decoder; anything else takes the long way."""

MOST_KEPT = 256
LONGEST_KEPT = 16 * 1024
"""Of one series; so a sender cannot make us remember more than 4 MiB."""


class InstanceReader:
    """Does what `Instance.parse` does; safe for many threads at once."""

    def __init__(self) -> None:
        self._read: dict[tuple[object, ...], Instance] = {}

    @property
    def kept(self) -> int:
        """How many series it remembers."""
        return len(self._read)

    def read(
        self, elements: Mapping[BaseTag, RawDataElement], *, transfer_syntax_uid: str
    ) -> Instance:
        """Read the index of a data set whose leading elements these are.

        Raises
        ------
        MalformedInstanceError
            As `Instance.parse` does.
        """
        uid = _plain(_PLAIN_UID, elements.get(_SOP_INSTANCE_UID), "UI")
        number = _plain(_PLAIN_NUMBER, elements.get(_INSTANCE_NUMBER), "IS")
        if not uid or number is None:
            return _parsed(elements, transfer_syntax_uid)
        shared = (transfer_syntax_uid, *map(_raw, map(elements.get, _SHARED)))
        template = self._read.get(shared)
        if template is None:
            template = _parsed(elements, transfer_syntax_uid)
            if sum(map(_length, map(elements.get, _SHARED))) <= LONGEST_KEPT:
                self._keep(shared, template)
        return replace(
            template,
            sop_instance_uid=uid.decode("ascii"),
            instance_number=int(number) if number else None,
        )

    def _keep(self, shared: tuple[object, ...], template: Instance) -> None:
        if len(self._read) >= MOST_KEPT:
            self._read.clear()
        self._read[shared] = template


def _parsed(elements: Mapping[BaseTag, RawDataElement], transfer_syntax_uid: str) -> Instance:
    dataset = Dataset(dict[BaseTag, DataElement | RawDataElement](elements))
    return Instance.parse(dataset, transfer_syntax_uid=transfer_syntax_uid)


def _raw(element: RawDataElement | None) -> object:
    """Return that by which an element is known to be the same again."""
    return None if element is None else (element.VR, element.value)


def _length(element: RawDataElement | None) -> int:
    return 0 if element is None else len(element.value or b"")


def _plain(pattern: "re.Pattern[bytes]", element: RawDataElement | None, vr: str) -> bytes | None:
    """Return the value without its padding, empty if there is none; None if it is not plain."""
    if element is None:
        return b""
    if element.VR not in {None, vr}:
        return None
    if not element.value:
        return b""
    found = pattern.fullmatch(element.value)
    return found[1] if found else None
