"""De-identify: leave a sealed copy of every instance that a model may read."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

from anonymizer.deidentifier import deidentify
from anonymizer.part10 import read, write
from anonymizer.profile import Profile
from anonymizer.replacement import Replacement
from anonymizer.settings import MODELS
from archive.entries import InstanceRecord
from archive.results import ReleasedCopy
from core.errors import InputError
from core.model import InstanceKey, RevisionKey
from inference.registry import Registry
from inference.requests import ModelOrder
from inference.selection import Candidate, Origin, consider
from service.steps.subject import Subject, Tools

RECIPE = "1"
"""Raised when the anonymizer does something else with the same settings and keys."""


@dataclass(frozen=True)
class Release:
    """The first step."""

    tools: Tools
    registry: Registry

    def deidentify(self, revision: RevisionKey) -> None:
        """Leave the copies, those of an earlier run and revision kept if nothing changed."""
        tools = self.tools
        with tools.archive.transaction() as tx:
            tools.archive.revisions.begin(tx, revision, at=tools.clock())
        subject = tools.subject(revision)
        profile = tools.settings.anonymizer.profile(MODELS)
        recipe = _recipe(profile, subject, tools.settings.anonymizer.date_shift_max_days)
        present = self._present(revision, recipe)
        replacement = tools.replacement(subject)
        wanted = wanted_keys(orders(self.registry, tools, subject), subject)
        refused = 0
        for record in subject.instances:
            if record.instance_key in wanted and record.instance_key not in present:
                refused += not self._release(record, profile, replacement, recipe)
        self._conclude(subject, len(wanted), refused)

    def _present(self, revision: RevisionKey, recipe: str) -> frozenset[InstanceKey]:
        archive = self.tools.archive
        with archive.snapshot() as tx:
            copies = archive.results.released(tx, revision)
        return frozenset(copy.instance_key for copy in copies if copy.recipe == recipe)

    def _release(
        self, record: InstanceRecord, profile: Profile, replacement: Replacement, recipe: str
    ) -> bool:
        """Leave one copy, or why there is none; return whether there is one."""
        archive, study_key = self.tools.archive, record.revision.study_key
        original = archive.read_object(study_key, record.blob_name)
        content, reason, flags = b"", "", ""
        try:
            dataset = read(BytesIO(original), self.tools.settings.archive.limits)
            made = deidentify(dataset, profile, replacement)
            content = write(made.released)
            flags = json.dumps([flag.risk.value for flag in made.flags])
        except InputError as error:
            reason = f"It could not be de-identified: {error.message}"
        writer = archive.put_object(study_key, content) if content else None
        copy = ReleasedCopy(
            instance_key=record.instance_key,
            study_key=study_key,
            recipe=recipe,
            blob_name=writer.name if writer else None,
            size_bytes=len(content),
            reason=reason,
            made_at=self.tools.clock(),
            meta=flags.encode(),
        )
        with archive.transaction() as tx:
            unneeded = archive.results.put_released(tx, copy)
        if unneeded is not None:
            archive.blobs.delete(unneeded)
        return writer is not None

    def _conclude(self, subject: Subject, wanted: int, refused: int) -> None:
        tools = self.tools
        text = f"{wanted - refused} of {len(subject.instances)} instances released to models"
        if refused:
            text += f", {refused} could not be de-identified"
        tools.note(subject.revision, "de-identify", "done", text)
        with tools.archive.transaction() as tx:
            event = tools.trail.accessed(
                "de-identify", subject.revision, subject.study.identity, subject.contents()
            )
            tools.archive.outbox.add(tx, event.event_id, event.sealed, at=tools.clock())


def orders(registry: Registry, tools: Tools, subject: Subject) -> tuple[ModelOrder, ...]:
    """Return which models read which instances; all models that know the peer if none wants any.

    A model that wants nothing of a study says so in a result of its own ("not evaluated"), but
    not beside one that does.
    """
    candidates = [
        Candidate(record.instance_key, record.instance.modality, record.instance.sop_class_uid)
        for record in subject.instances
    ]
    origin = Origin(subject.study.peer_name, subject.called_ae_title)
    considered = consider(tools.settings.inference.models, registry, origin, candidates)
    wanting = tuple(order for order in considered if len(order.skipped) < len(candidates))
    return wanting or considered


def wanted_keys(given: Sequence[ModelOrder], subject: Subject) -> frozenset[InstanceKey]:
    """Return the instances that at least one model is to read."""
    skipped = [{one.instance_key for one in order.skipped} for order in given]
    return frozenset(
        record.instance_key
        for record in subject.instances
        if any(record.instance_key not in keys for keys in skipped)
    )


def _recipe(profile: Profile, subject: Subject, max_days: int) -> str:
    study = subject.study
    parts = [
        RECIPE,
        profile.name,
        *sorted(profile.options),
        max_days,
        study.key_version,
        study.identity_version,
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
