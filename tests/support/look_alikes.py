"""Studies of patients who are easily taken for one another, with the truth about each.

Ten groups of four: the same name under another ID; the same ID under another issuer; and the same
name with accession numbers that differ by two swapped digits.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit

from core.uids import random_uid
from tests.support.builders import endoscopic_image

PATIENTS, PLAIN, BROKEN = 40, 10, 5
SIDE = 352


@dataclass(frozen=True)
class Truth:
    """Whose study it is, as the objects that were sent say."""

    study_instance_uid: str
    patient_id: str
    issuer: str
    name: str
    birth_date: str
    accession_number: str


@dataclass
class Frame:
    """One object to send and what is known of it."""

    truth: Truth
    kind: str
    """`frame`, `plain` or `broken`."""
    picture: bytes
    """The JPEG file that the pixels come from; empty for the other kinds."""
    dataset: FileDataset


def look_alike(number: int) -> dict[str, str]:
    """Return the identity of one of the forty."""
    group, member = divmod(number, 4)
    ids = [f"{7000 + group}", f"{8000 + group}", f"{7000 + group}", f"{9000 + group}"]
    names = ["Look^Alike", "Look^Alike", "Quite^Other", "Look^Alike"]
    accessions = [f"A{group}12", f"A{group}34", f"A{group}56", f"A{group}21"]
    return {
        "PatientID": ids[member],
        "IssuerOfPatientID": "WARD-B" if member == 2 else "WARD-A",
        "PatientName": f"{names[member]}{group}^^^",
        "PatientBirthDate": f"19{50 + group}0{member + 1}15",
        "PatientSex": "F" if member % 2 else "M",
        "AccessionNumber": accessions[member],
    }


def look_alike_frames(pictures: Sequence[Path]) -> list[Frame]:
    """Return 100 objects in 80 studies of 40 patients; 10 are plain and 5 cannot be decoded."""
    studies = [_study(number) for number in range(2 * PATIENTS)]
    frames = []
    for number in range(100):
        attributes = studies[number] if number < 80 else studies[number - 80]
        kind = "plain" if 60 <= number < 70 else "broken" if 75 <= number < 80 else "frame"
        picture = pictures[number % len(pictures)].read_bytes() if kind == "frame" else b""
        frames.append(_frame(number, kind, picture, attributes))
    return frames


def _study(number: int) -> dict[str, str]:
    identity = look_alike(number % PATIENTS)
    return {
        **identity,
        "AccessionNumber": f"{identity['AccessionNumber']}{number // PATIENTS}",
        "StudyInstanceUID": random_uid(),
        "SeriesInstanceUID": random_uid(),
        "StudyDate": f"202603{1 + number // PATIENTS:02d}",
    }


def _frame(number: int, kind: str, picture: bytes, attributes: dict[str, str]) -> Frame:
    if kind == "plain":
        pixels = np.full((SIDE, SIDE, 3), 40 + 10 * (number % 10), np.uint8)
        dataset = endoscopic_image(pixels, attributes)
    elif kind == "broken":
        dataset = _as_jpeg(b"\xff\xd8\xff\xe0 this is no picture \xff\xd9", attributes)
    elif number % 2:
        dataset = _as_jpeg(picture, attributes)
    else:
        with Image.open(BytesIO(picture)) as image:
            dataset = endoscopic_image(np.asarray(image.convert("RGB")), attributes)
    dataset.InstanceNumber = number + 1
    truth = Truth(
        attributes["StudyInstanceUID"],
        attributes["PatientID"],
        attributes["IssuerOfPatientID"],
        attributes["PatientName"],
        attributes["PatientBirthDate"],
        attributes["AccessionNumber"],
    )
    return Frame(truth, kind, picture, dataset)


def _as_jpeg(stream: bytes, attributes: dict[str, str]) -> FileDataset:
    """Wrap a JPEG file as it is, as endoscopes do."""
    dataset = endoscopic_image(np.zeros((SIDE, SIDE, 3), np.uint8), attributes)
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    dataset.PhotometricInterpretation = "YBR_FULL_422"
    dataset.LossyImageCompression = "01"
    dataset.LossyImageCompressionRatio = [str(max(1, 3 * SIDE * SIDE // max(1, len(stream))))]
    dataset.LossyImageCompressionMethod = ["ISO_10918_1"]
    dataset.PixelData = encapsulate([stream])
    dataset["PixelData"].is_undefined_length = True
    return dataset


def write_interleaved(frames: Sequence[Frame], folder: Path, *, senders: int) -> list[Path]:
    """Deal the objects out to folders, one for each sender, so that studies are torn apart."""
    folders = [folder / f"sender-{number}" for number in range(senders)]
    for path in folders:
        path.mkdir(parents=True)
    for number, frame in enumerate(frames):
        target = folders[number % senders] / f"{number:03d}.dcm"
        frame.dataset.save_as(target, enforce_file_format=True)
    return folders


def truths(frames: Sequence[Frame]) -> Iterator[tuple[Truth, list[Frame]]]:
    """Yield every study with its frames."""
    by_study: dict[str, list[Frame]] = {}
    for frame in frames:
        by_study.setdefault(frame.truth.study_instance_uid, []).append(frame)
    for group in by_study.values():
        yield group[0].truth, group
