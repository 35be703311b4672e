"""Pictures of a reading for stations without structured reports. Source: PS3.3 A.8.1; IHE AIR.

A capture is never the only result, always names its source image, and says in the picture itself
that it is the result of an algorithm.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from highdicom.sc import SCImage
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from core import codes
from core.findings import Box, Conclusion, Finding, FrameReference, Outcome, Reading, Region
from imaging.render import Mark, Picture, draw
from results import wording
from results.encoding import encode_part10
from results.patient_study import put_patient_and_study
from results.provenance import (
    MANUFACTURER,
    MODEL_NAME,
    EncodedObject,
    Kind,
    ResultContext,
    SourceInstance,
    StudySources,
    put_equipment,
    put_times,
    reference,
)
from results.settings import ResultsSettings

SERIES_OFFSET = 2
"""Added to `series_number_base`; the report comes before."""

FramePixels = Mapping[FrameReference, Picture]
"""Display values, (rows, columns, 3) RGB, of the frames that captures show; a frame that is not
there cannot be shown."""

MIN_COLUMNS = 480
"""Text on a narrower picture could not be read; the frame is then padded with black."""
_CARD = (360, 640, 3)


def captured_frames(
    reading: Reading, sources: StudySources, settings: ResultsSettings
) -> tuple[FrameReference, ...]:
    """Return the frames whose pixels `encode` wants, those with the highest scores first.

    With findings, each frame that has one, up to the limit; else the first frame of the first
    image that was evaluated, or should have been.
    """
    if "SC" not in settings.kinds or reading.conclusion not in settings.captures_for:
        return ()
    if reading.conclusion is Conclusion.FINDINGS:
        best: dict[FrameReference, float] = {}
        for finding in reading.findings:
            best[finding.frame] = max(finding.score, best.get(finding.frame, 0.0))
        ranked = sorted(best, key=lambda frame: (-best[frame], frame))
        return tuple(ranked[: settings.captures_max])
    shown = _shown(reading, sources)
    return () if shown is None else (FrameReference(shown.instance_key, 1),)


def encode_sc(
    reading: Reading, sources: StudySources, context: ResultContext, pixels: FramePixels
) -> tuple[EncodedObject, ...]:
    """Return one capture for each captured frame; without its pixels, a card with text.

    Raises
    ------
    NotEncodableError
        If the sources lack what a capture must carry, or the reading is not about them.
    """
    frames = captured_frames(reading, sources, context.settings)
    return tuple(
        _Capture(ordinal, frame, reading, sources, context).encode(pixels.get(frame))
        for ordinal, frame in enumerate(frames, start=1)
    )


@dataclass(frozen=True)
class _Capture:
    """One picture that is to be made."""

    ordinal: int
    frame: FrameReference
    reading: Reading
    sources: StudySources
    context: ResultContext

    def encode(self, pixels: Picture | None) -> EncodedObject:
        algorithm, context = self.reading.algorithm, self.context
        image = self._image(draw(_canvas(pixels), self._marks(pixels), banner=self._caption()))
        self._put_provenance(image, has_pixels=pixels is not None)
        image.SeriesDescription = wording.series_description(algorithm)
        put_equipment(image, algorithm, context)
        put_times(image, context, self.sources.first)
        image.DateOfSecondaryCapture = image.ContentDate
        image.TimeOfSecondaryCapture = image.ContentTime
        put_patient_and_study(self.sources.first.header, image)
        return EncodedObject(
            kind=Kind.SC,
            ordinal=self.ordinal,
            sop_class_uid=str(SecondaryCaptureImageStorage),
            sop_instance_uid=str(image.SOPInstanceUID),
            series_instance_uid=str(image.SeriesInstanceUID),
            transfer_syntax_uid=str(ExplicitVRLittleEndian),
            part10=encode_part10(image),
        )

    @property
    def _source(self) -> SourceInstance:
        return self.sources.instance(self.frame.instance_key)

    def _findings(self) -> list[Finding]:
        return [finding for finding in self.reading.findings if finding.frame == self.frame]

    def _marks(self, pixels: Picture | None) -> list[Mark]:
        if pixels is None:
            return []
        return [
            Mark(_box(finding.region), wording.box_label(finding))
            for finding in self._findings()
            if finding.region is not None
        ]

    def _caption(self) -> list[str]:
        algorithm = self.reading.algorithm
        lines = [
            wording.DISCLAIMER,
            f"{wording.algorithm_name(algorithm)}, {wording.threshold(algorithm)}",
            wording.headline(self.reading),
        ]
        if self._findings():
            labels = [wording.box_label(finding) for finding in self._findings()]
            lines.append(wording.shown(self.frame.frame, self._source.number_of_frames, labels))
        if not wording.is_complete(self.reading):
            lines.append(wording.completion(self.reading))
        return lines

    def _image(self, picture: Picture) -> Dataset:
        """Return the capture with its pixels; highdicom asks for an orientation, we replace it."""
        algorithm = self.reading.algorithm
        image: Dataset = SCImage(
            pixel_array=picture,
            photometric_interpretation="RGB",
            bits_allocated=8,
            coordinate_system="PATIENT",
            patient_orientation=("L", "P"),
            study_instance_uid=str(self.sources.first.header.StudyInstanceUID),
            series_instance_uid=self.context.uid(algorithm, "SC series", 1),
            series_number=self.context.series_number(SERIES_OFFSET),
            sop_instance_uid=self.context.instance_uid(self.reading, "SC", self.ordinal),
            instance_number=self.ordinal,
            manufacturer=MANUFACTURER,
            patient_birth_date="",
        )
        header = self._source.header
        image.PatientOrientation = header.get("PatientOrientation") or None
        image.Laterality = header.get("Laterality") or header.get("ImageLaterality") or None
        image.ImageType = ["DERIVED", "SECONDARY"]
        image["PixelData"].VR = "OB"
        return image

    def _put_provenance(self, image: Dataset, *, has_pixels: bool) -> None:
        """Say what the picture was made from, by what, and what it may hold."""
        algorithm, settings = self.reading.algorithm, self.context.settings
        source = reference(self._source, self.frame.frame)
        purpose = Dataset()
        purpose.CodeValue = codes.SOURCE_IMAGE.value
        purpose.CodingSchemeDesignator = codes.SOURCE_IMAGE.scheme
        purpose.CodeMeaning = codes.SOURCE_IMAGE.meaning
        source.PurposeOfReferenceCodeSequence = [purpose]
        image.SourceImageSequence = [source]
        image.ConversionType = "WSD"
        image.SecondaryCaptureDeviceManufacturer = MANUFACTURER
        image.SecondaryCaptureDeviceManufacturerModelName = MODEL_NAME
        image.SecondaryCaptureDeviceSoftwareVersions = self.context.equipment.software_version
        image.ImageComments = wording.comments(self.reading)
        image.DerivationDescription = (
            wording.derivation(algorithm, settings.captures_from)
            if has_pixels
            else wording.card(algorithm)
        )
        burned_in = self._burned_in() if has_pixels else "NO"
        if burned_in:
            image.BurnedInAnnotation = burned_in
        if has_pixels and self._source.is_lossy:
            _put_lossy(image, self._source)

    def _burned_in(self) -> str:
        """Return what is known of text in the source's pixels; ours tells nothing of a patient.

        Where the source does not say, neither do we: most that hold such text do not say so.
        """
        said = self._source.text("BurnedInAnnotation").strip()
        return said if said in {"YES", "NO"} else ""


def _canvas(pixels: Picture | None) -> Picture:
    """Return the frame at its place, wide enough for text; black without one."""
    if pixels is None:
        return np.zeros(_CARD, np.uint8)
    missing = max(0, MIN_COLUMNS - pixels.shape[1])
    return np.pad(pixels, ((0, 0), (0, missing), (0, 0)))


def _box(region: Region) -> Box:
    """Return the box around a region; the report has the outline itself."""
    if isinstance(region, Box):
        return region
    columns, rows = zip(*region.points, strict=True)
    return Box(min(columns), min(rows), max(columns), max(rows))


def _put_lossy(image: Dataset, source: SourceInstance) -> None:
    """Once lossy, always lossy. Source: PS3.3 C.7.6.1.1.5."""
    image.LossyImageCompression = "01"
    for keyword in ("LossyImageCompressionRatio", "LossyImageCompressionMethod"):
        value = source.header.get(keyword)
        if value:
            setattr(image, keyword, value)


def _shown(reading: Reading, sources: StudySources) -> SourceInstance | None:
    """Return the first image that stands for a study without findings."""
    outcomes = {each.instance_key: each.outcome for each in reading.evaluations}
    for wanted in (Outcome.EVALUATED, Outcome.COULD_NOT_PROCESS, Outcome.NOT_EVALUATED):
        for instance in sources.instances:
            if instance.is_image and outcomes.get(instance.instance_key) is wanted:
                return instance
    return None
