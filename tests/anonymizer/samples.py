"""Keys, identities and shorthand for the tests of this package."""

from io import BytesIO
from typing import Any

from pydicom import Dataset, dcmread
from pydicom.dataset import FileDataset

from anonymizer import part10
from anonymizer.deidentifier import Deidentified, deidentify
from anonymizer.options import Option
from anonymizer.profile import Profile
from anonymizer.replacement import Replacement
from core.model import study_identity

PSEUDONYM_KEY, UID_KEY, DATE_KEY = b"p" * 32, b"u" * 32, b"d" * 32
DEFAULT_OPTIONS = (Option.RETAIN_MODIFIED_DATES, Option.RETAIN_PATIENT_CHARACTERISTICS)


def replacement_for(dataset: Dataset, *, default_issuer: str = "") -> Replacement:
    """Return what stands for the identity in `dataset`."""
    identity = study_identity(dataset)
    return Replacement(
        pseudonym_key=PSEUDONYM_KEY,
        uid_key=UID_KEY,
        date_key=DATE_KEY,
        patient=identity.patient,
        study_instance_uid=identity.study_instance_uid,
        default_issuer=default_issuer,
    )


def run(dataset: Dataset, *options: Option) -> Deidentified:
    """De-identify under exactly these options."""
    return deidentify(dataset, Profile.of("test", options), replacement_for(dataset))


def released(dataset: Dataset, *options: Option) -> FileDataset:
    """De-identify, write, and read back with pydicom alone."""
    return dcmread(BytesIO(part10.write(run(dataset, *options).released)))


def item(**attributes: Any) -> Dataset:
    """Return a sequence item."""
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset
