"""One run of `deidentify`: keys for this run only, and an account of what it did."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom.dataset import FileDataset

from anonymizer.deidentifier import Deidentified, deidentify
from anonymizer.part10 import write
from anonymizer.profile import Profile
from anonymizer.replacement import Replacement
from anonymizer.settings import AnonymizerSettings
from audit import triggers
from audit.parties import StudyContent, medium
from audit.vocabulary import Media
from core.errors import InputError, MalformedInstanceError
from core.limits import DataSetLimits
from core.model import StudyIdentity, study_identity
from core.sealing import new_key
from service.cli.desk import Desk, at_desk_if_any
from service.cli.sources import Source
from service.objects import read_pieces

KEYS = (
    "The keys were drawn for this run, were held in memory only, and are gone: nobody can lead "
    "the result back, repeat it, or join it with another run"
)


@dataclass(frozen=True)
class Released:
    """One object that was written."""

    file: str
    changes: int
    flags: tuple[str, ...]
    """Why its pixels must be looked at."""


@dataclass
class Run:
    """What a run has done so far."""

    profile: Profile
    released: list[Released] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    """Name of the source, which may be identity, and the reason."""
    keys: str = KEYS

    def as_json(self) -> dict[str, Any]:
        """Return the report: nothing in it leads from a result back to its source."""
        return {
            "profile": self.profile.name,
            "options": sorted(self.profile.options),
            "keys": self.keys,
            "released": self.released,
            "refused": [reason for _, reason in self.refused],
        }


@dataclass(frozen=True)
class OneTimeKeys:
    """Keys that nothing keeps."""

    pseudonym: bytes = field(default_factory=new_key, repr=False)
    uid: bytes = field(default_factory=new_key, repr=False)
    date: bytes = field(default_factory=new_key, repr=False)

    def replacement(self, identity: StudyIdentity, settings: AnonymizerSettings) -> Replacement:
        """Return what stands for the patient of one object."""
        return Replacement(
            pseudonym_key=self.pseudonym,
            uid_key=self.uid,
            date_key=self.date,
            patient=identity.patient,
            study_instance_uid=identity.study_instance_uid,
            date_shift_max_days=settings.date_shift_max_days,
        )


class Releasing:
    """Takes objects one by one and writes their released copies."""

    def __init__(
        self, run: Run, settings: AnonymizerSettings, target: "Target", desk: Desk | None
    ) -> None:
        self._run = run
        self._settings = settings
        self._target = target
        self._desk = desk
        self._limits = object_limits(desk)
        self._keys = OneTimeKeys()
        self._recorded: set[StudyIdentity] = set()

    def take(self, source: Source) -> None:
        """Release one object, or note why not."""
        try:
            original = _parsed(source, self._limits)
            identity = study_identity(original)
            made = deidentify(
                original, self._run.profile, self._keys.replacement(identity, self._settings)
            )
            content = write(made.released)
            path = self._target.path(made)
        except InputError as error:
            self._run.refused.append((source.name, str(error)))
            return
        except OSError as error:
            self._run.refused.append((source.name, f"it cannot be read ({error.strerror})"))
            return
        self._record(identity)
        _write_new(path, content)
        flags = tuple(f"{flag.risk.value} ({flag.evidence})" for flag in made.flags)
        changes = sum(change.count for change in made.report.changes)
        self._run.released.append(Released(path.name, changes, flags))

    def close(self) -> Run:
        """Return the account."""
        return self._run

    def _record(self, identity: StudyIdentity) -> None:
        """Say, before the first object of a study is written, that it leaves."""
        if self._desk is None or identity in self._recorded:
            return
        desk = self._desk
        event = triggers.data_export(
            desk.stamp(),
            (desk.who,),
            medium(self._target.folder_or_file.absolute().as_uri(), Media.URI),
            studies=(StudyContent(identity),),
        )
        desk.record(event.noting(Purpose="de-identification", Profile=self._run.profile.name))
        self._recorded.add(identity)


@dataclass(frozen=True)
class Target:
    """Where released objects go; their names are their new UIDs, or what the operator said."""

    folder_or_file: Path
    is_folder: bool

    def path(self, made: Deidentified) -> Path:
        """Return where an object goes.

        Raises
        ------
        MalformedInstanceError
            If another object has taken its place, because both have the same UID.
        """
        if not self.is_folder:
            return self.folder_or_file
        path = self.folder_or_file / f"{made.released.SOPInstanceUID}.dcm"
        if path.exists():
            raise MalformedInstanceError("another object has the same SOP Instance UID")
        return path


@contextmanager
def plan(
    config: Path | None, target: Path, profile: str, *, is_folder: bool
) -> Iterator[Releasing]:
    """Prepare a run, with the settings and the audit log of an installation if there is one.

    Raises
    ------
    ConfigurationError
        If there is no such profile.
    """
    with at_desk_if_any("deidentify", config) as desk:
        settings = (
            AnonymizerSettings()
            if desk is None
            else desk.foundation.installation.settings.anonymizer
        )
        run = Run(settings.profile(profile))
        if is_folder:
            target.mkdir(mode=0o750, parents=True, exist_ok=True)
        yield Releasing(run, settings, Target(target, is_folder), desk)


def refuse_present(target: Path, report: Path | None) -> None:
    """Refuse to write over anything.

    Raises
    ------
    InputError
        Naming what is there.
    """
    is_empty_folder = target.is_dir() and not any(target.iterdir())
    if target.exists() and not is_empty_folder:
        raise InputError(f"{target} is there already", remedy="Name one that is not")
    if report is not None and report.exists():
        raise InputError(f"{report} is there already", remedy="Name one that is not")
    if report is not None and not report.absolute().parent.is_dir():
        raise InputError(f"there is no folder {report.parent} for the report")


def object_limits(desk: Desk | None) -> DataSetLimits:
    """Return what an object may cost here: as the installation says, if there is one."""
    if desk is None:
        return DataSetLimits()
    return desk.foundation.installation.settings.archive.limits


def _parsed(source: Source, limits: DataSetLimits) -> FileDataset:
    """Read a Part 10 file strictly, a bare data set as well as can be."""
    original = read_pieces(source.read(), limits)
    if "SOPClassUID" not in original:
        raise MalformedInstanceError("the file is no DICOM object")
    return original


def _write_new(path: Path, content: bytes) -> None:
    """Write a file that is there whole or not at all."""
    path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.part")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)
