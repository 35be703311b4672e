"""Where a result comes from: its source instances, its algorithm, its equipment, its UIDs."""

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import astuple, dataclass, field
from datetime import datetime, timedelta, timezone
from enum import StrEnum
from typing import BinaryIO, Self

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.uid import UID

from core.clock import format_da, format_tm
from core.findings import Algorithm, Box, Finding, Reading
from core.limits import DataSetLimits
from core.model import InstanceKey, RevisionKey
from core.part10 import parse_file
from core.records import dump_record
from core.uids import keyed_uid
from results.errors import NotEncodableError
from results.patient_study import KEYWORDS
from results.settings import ResultsSettings

MANUFACTURER = "Second Reader"
MODEL_NAME = "Second Reader"

_INDEX = (
    "SpecificCharacterSet",
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "Modality",
    "SeriesNumber",
    "InstanceNumber",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "PatientOrientation",
    "Laterality",
    "ImageLaterality",
    "BurnedInAnnotation",
    "LossyImageCompression",
    "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
)
_REQUIRED = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
_LOSSY = frozenset(
    (
        "1.2.840.10008.1.2.4.50",
        "1.2.840.10008.1.2.4.51",
        "1.2.840.10008.1.2.4.53",
        "1.2.840.10008.1.2.4.55",
        "1.2.840.10008.1.2.4.81",
        "1.2.840.10008.1.2.4.91",
    )
)
"""Transfer syntaxes whose pixels were compressed with loss, or may have been (.91)."""


class Side(StrEnum):
    """Which side of the identity border a result is for."""

    CLINICAL = "clinical"
    RESEARCH = "research"


class Kind(StrEnum):
    """The kinds of objects we make."""

    SR = "SR"
    SC = "SC"


@dataclass(frozen=True, eq=False)
class SourceInstance:
    """One sealed original as results refer to it: its header without pixels."""

    instance_key: InstanceKey
    header: Dataset = field(repr=False)
    transfer_syntax_uid: str

    @classmethod
    def read(
        cls, instance_key: InstanceKey, part10: BinaryIO, limits: DataSetLimits | None = None
    ) -> Self:
        """Read what results need of a Part 10 file, its pixels left out.

        Raises
        ------
        NotEncodableError
            If it cannot be read, or lacks a UID that a reference to it must have.
        """
        try:
            header = parse_file(part10, limits, tags=(*KEYWORDS, *_INDEX), with_pixels=False)
            syntax = str(header.file_meta.TransferSyntaxUID)
            missing = [keyword for keyword in _REQUIRED if not header.get(keyword)]
        except Exception as error:  # noqa: BLE001 - pydicom lets a dozen types escape
            # The chain is cut: the text of a decoder's error may hold the value.
            raise NotEncodableError(f"a source cannot be read ({type(error).__name__})") from None
        if missing:
            raise NotEncodableError(f"a source lacks {', '.join(missing)}")
        return cls(instance_key, header, syntax)

    @property
    def sop_class_uid(self) -> str:
        """SOP Class UID (0008,0016)."""
        return str(self.header.SOPClassUID)

    @property
    def sop_instance_uid(self) -> str:
        """SOP Instance UID (0008,0018)."""
        return str(self.header.SOPInstanceUID)

    @property
    def series_instance_uid(self) -> str:
        """Series Instance UID (0020,000E)."""
        return str(self.header.SeriesInstanceUID)

    @property
    def modality(self) -> str:
        """Modality (0008,0060); empty if absent."""
        return str(self.header.get("Modality") or "")

    @property
    def columns(self) -> int:
        """Columns (0028,0011); 0 without pixels."""
        return _integer(self.header, "Columns") or 0

    @property
    def rows(self) -> int:
        """Rows (0028,0010); 0 without pixels."""
        return _integer(self.header, "Rows") or 0

    @property
    def is_image(self) -> bool:
        """Whether it has a pixel matrix that coordinates can refer to."""
        return self.rows > 0 and self.columns > 0

    @property
    def number_of_frames(self) -> int:
        """Number of Frames (0028,0008); 1 if absent."""
        return _integer(self.header, "NumberOfFrames") or 1

    @property
    def is_lossy(self) -> bool:
        """Whether its pixels were ever compressed with loss. Source: PS3.3 C.7.6.1.1.5."""
        said = str(self.header.get("LossyImageCompression") or "")
        return said == "01" or self.transfer_syntax_uid in _LOSSY

    def text(self, keyword: str) -> str:
        """Return a value as text; several are joined by a backslash, none is empty."""
        value = self.header.get(keyword)
        if isinstance(value, MultiValue):
            return "\\".join(str(item) for item in value)
        is_text = value is not None and not isinstance(value, Sequence | bytes)
        return str(value) if is_text else ""


@dataclass(frozen=True, eq=False)
class StudySources:
    """The originals of one revision, in the order in which a reader would look at them."""

    instances: tuple[SourceInstance, ...]

    def __post_init__(self) -> None:
        if not self.instances:
            raise NotEncodableError("the revision has no instances")

    @property
    def first(self) -> SourceInstance:
        """The instance that patient and study are taken from; all others agree with it."""
        return self.instances[0]

    def instance(self, key: InstanceKey) -> SourceInstance:
        """Return the original that a key of ours stands for.

        Raises
        ------
        NotEncodableError
            If the key is of another study or revision; what it says must go nowhere.
        """
        for instance in self.instances:
            if instance.instance_key == key:
                return instance
        raise NotEncodableError("a reading names an instance that the revision does not have")


@dataclass(frozen=True)
class Equipment:
    """The installation, as results name it. Source: PS3.3 C.7.5.1."""

    software_version: str
    device_serial_number: str
    """The installation's own name; not a machine's, so that a rerun elsewhere agrees."""


@dataclass(frozen=True)
class ResultContext:
    """Everything a result depends on beside the reading and its sources."""

    result_key: bytes = field(repr=False)
    side: Side
    revision: RevisionKey
    identity_version: int
    """Counts how often the identity of the study changed; results before and after differ."""
    moment: datetime
    """When the reading was made, in the zone that the clinic's clocks show. Kept with the
    reading, so that a rerun writes the same bytes."""
    completed_by: str
    """The rule that took the study as complete, in words."""
    equipment: Equipment
    settings: ResultsSettings = field(default_factory=ResultsSettings)

    def uid(self, algorithm: Algorithm, kind: str, ordinal: int) -> str:
        """Return the one UID of a series or a tracked finding of this result."""
        return result_uid(
            self.result_key,
            self.side,
            self.revision,
            self.identity_version,
            algorithm,
            kind,
            ordinal,
        )

    def instance_uid(self, reading: Reading, kind: str, ordinal: int) -> str:
        """Return the UID of one instance, which another answer of the same model does not share.

        A rerun may see what the first run could not; its report must not pass for the old one.
        """
        return self.uid(reading.algorithm, f"{kind} {_answer(reading)}", ordinal)

    def series_number(self, offset: int) -> int:
        """Return the Series Number of a kind of results of this revision."""
        return self.settings.series_number_base + 10 * (self.revision.number - 1) + offset

    @property
    def device_uid(self) -> str:
        """The UID of this installation as an observer."""
        return keyed_uid(self.result_key, "device", self.equipment.device_serial_number)


def result_uid(  # noqa: PLR0913, PLR0917 - the UID depends on each of these, and on nothing else
    result_key: bytes,
    side: Side,
    revision: RevisionKey,
    identity_version: int,
    algorithm: Algorithm,
    kind: str,
    ordinal: int,
) -> str:
    """Return the one UID of a series, instance or tracked finding of a result."""
    return keyed_uid(
        result_key,
        side,
        revision.study_key,
        str(revision.number),
        str(identity_version),
        algorithm.digest,
        _configuration(algorithm),
        kind,
        str(ordinal),
    )


@dataclass(frozen=True)
class EncodedObject:
    """One result object, ready to be sealed."""

    kind: Kind
    ordinal: int
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str
    part10: bytes = field(repr=False)


def check_reading(reading: Reading, sources: StudySources) -> None:
    """Refuse a reading that speaks of an instance or a frame that the revision does not have."""
    for evaluation in reading.evaluations:
        sources.instance(evaluation.instance_key)
    for finding in reading.findings:
        source = sources.instance(finding.frame.instance_key)
        if not 1 <= finding.frame.frame <= source.number_of_frames:
            raise NotEncodableError("a finding names a frame that its instance does not have")
        if not all(math.isfinite(number) for number in _numbers(finding)):
            raise NotEncodableError("a finding holds a number that is none")


def put_equipment(target: Dataset, algorithm: Algorithm, context: ResultContext) -> None:
    """Write the General Equipment module and what SOP Common says of us and of the time.

    Source: PS3.3 C.7.5.1, C.12.1.
    """
    equipment = context.equipment
    target.Manufacturer = MANUFACTURER
    target.ManufacturerModelName = MODEL_NAME
    target.DeviceSerialNumber = equipment.device_serial_number
    target.SoftwareVersions = [
        equipment.software_version,
        f"{algorithm.name} {algorithm.version}"[:64],
    ]
    if context.settings.institution_name:
        target.InstitutionName = context.settings.institution_name


def put_times(target: Dataset, context: ResultContext, source: SourceInstance) -> None:
    """Write when the object was made: never now, always when the reading was.

    Source: PS3.3 C.12.1, C.17.2, C.7.6.1.
    """
    moment = local_moment(context, source)
    target.ContentDate = target.InstanceCreationDate = format_da(moment)
    target.ContentTime = target.InstanceCreationTime = format_tm(moment)
    for keyword in ("ContributingEquipmentSequence", "SeriesDate", "SeriesTime"):
        if keyword in target:
            del target[keyword]  # highdicom's own, with the time of the call


def local_moment(context: ResultContext, source: SourceInstance) -> datetime:
    """Return the moment of the reading in the offset that the source's times are in, if it says.

    Timezone Offset From UTC (0008,0201) speaks for every time of an object, the study's included.
    """
    offset = source.text("TimezoneOffsetFromUTC").strip()
    if len(offset) != 5 or offset[0] not in "+-" or not offset[1:].isdigit():
        return context.moment
    minutes = int(offset[1:3]) * 60 + int(offset[3:])
    zone = timezone(timedelta(minutes=-minutes if offset[0] == "-" else minutes))
    return context.moment.astimezone(zone)


def reference(source: SourceInstance, frame: int | None = None) -> Dataset:
    """Return an item that references `source`, or one frame of it. Source: PS3.3 10.3."""
    item = Dataset()
    item.ReferencedSOPClassUID = UID(source.sop_class_uid)
    item.ReferencedSOPInstanceUID = UID(source.sop_instance_uid)
    if frame is not None and source.number_of_frames > 1:
        item.ReferencedFrameNumber = frame
    return item


def _numbers(finding: Finding) -> Iterator[float]:
    yield finding.score
    if finding.probability is not None:
        yield finding.probability
    yield from (measurement.value for measurement in finding.measurements)
    if isinstance(finding.region, Box):
        yield from astuple(finding.region)
    elif finding.region is not None:
        yield from (number for point in finding.region.points for number in point)


def _configuration(algorithm: Algorithm) -> str:
    """Return the effective configuration in a form that differs if anything of it does."""
    return json.dumps([algorithm.parameters, algorithm.threshold, algorithm.labels])


def _answer(reading: Reading) -> str:
    """Return a digest of what a reading says, rounded: arithmetic may differ in the last places."""
    said = json.loads(
        dump_record((reading.findings, reading.evaluations)),
        parse_float=lambda number: f"{float(number):.3g}",
    )
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def _integer(header: Dataset, keyword: str) -> int | None:
    value = header.get(keyword)
    try:
        return None if value is None or value == "" else int(value)
    except (TypeError, ValueError):
        return None
