"""A study as `study list` and `study show` print it."""

import re
from dataclasses import asdict, dataclass
from typing import Any

from archive.database import Transaction
from archive.deliveries import DeliveryRecord
from archive.entries import StudyRecord
from archive.errors import UnknownStudyError
from archive.index import ResultKey
from archive.journey import JourneyEntry
from archive.results import ResultObject
from archive.revisions import RevisionRecord
from archive.scrub import Damage, DamagedObject
from core.findings import Box, Finding, Reading
from core.model import StudyKey
from core.states import RevisionState
from service.completeness import Completeness, Outlook
from service.foundation import Foundation

_SCORE_DECIMALS = 4
"""More would say nothing; REST gives the number as the model did."""
_UID = re.compile(r"[0-9.]{1,64}")


@dataclass(frozen=True)
class StudyView:
    """Everything we know about the way of one study."""

    record: StudyRecord
    revisions: tuple[RevisionRecord, ...]
    outlook: Outlook | None
    """Of the newest revision, while it is open."""
    journey: tuple[JourneyEntry, ...]
    readings: tuple[Reading, ...]
    """Of the newest revision that has any; empty while the study is held."""
    objects: dict[ResultKey, ResultObject]
    deliveries: tuple[DeliveryRecord, ...]
    damaged: tuple[DamagedObject, ...]

    def completeness_words(self) -> str:
        """Say by which rule the newest revision was complete, or when it will be."""
        if self.outlook is None:
            return self.record.newest.rule
        waiting = (
            "waits for an open association"
            if self.outlook.waits_for_association
            else f"{self.outlook.time_left_s:.0f} s left"
        )
        return f"{self.outlook.rule}; {waiting}"

    def as_json(self) -> dict[str, Any]:
        """Return plain data."""
        newest, outlook = self.record.newest, self.outlook
        return {
            **summary(self.record),
            "issuer": self.record.issuer,
            "peer": self.record.peer_name,
            "reason": newest.reason,
            "completeness": {
                "rule": newest.rule if outlook is None else outlook.rule,
                "is_complete": outlook is None,
                "decided_at": newest.closed_at,
                "time_left_s": None if outlook is None else round(outlook.time_left_s, 1),
            },
            "revisions": [_revision(record) for record in self.revisions],
            "journey": [asdict(entry) for entry in self.journey],
            "readings": [_reading(reading) for reading in self.readings],
            "objects": [_object(made) for made in self.objects.values()],
            "deliveries": [
                _delivery(record, self.objects[record.result_key]) for record in self.deliveries
            ],
            "damaged": [asdict(one) for one in self.damaged],
        }


def summary(record: StudyRecord) -> dict[str, Any]:
    """Return where a study is, under the names that REST uses too."""
    identity, newest = record.identity, record.newest
    return {
        "study_instance_uid": identity.study_instance_uid,
        "accession_number": identity.accession_number,
        "patient_id": identity.patient.patient_id,
        "issuer_of_patient_id": identity.patient.issuer_of_patient_id,
        "study_key": record.study_key,
        "state": newest.state.value,
        "revision": newest.key.number,
        "hold_reason": newest.hold_reason,
        "modalities": record.modalities,
        "number_of_instances": record.number_of_instances,
        "received_at": record.received_at,
        "updated_at": newest.updated_at,
    }


def locate(foundation: Foundation, tx: Transaction, named: str) -> StudyKey:
    """Return our key of the study that a person named by its UID or by that key.

    Raises
    ------
    UnknownStudyError
        If we have none of that name.
    """
    catalogue = foundation.archive.catalogue
    if _UID.fullmatch(named) and "." in named:
        return catalogue.locate(tx, named)
    try:
        return catalogue.study(tx, StudyKey(named)).study_key
    except UnknownStudyError:
        raise UnknownStudyError(
            "there is no study of that UID or key", remedy="`study list` shows what is here"
        ) from None


def view(foundation: Foundation, tx: Transaction, study_key: StudyKey) -> StudyView:
    """Return everything about one study as of one moment."""
    archive = foundation.archive
    record = archive.catalogue.study(tx, study_key)
    is_held = record.newest.state is RevisionState.HELD or record.newest.hold_reason is not None
    revisions = archive.revisions.of(tx, study_key)
    objects = archive.results.objects_of_study(tx, study_key)
    return StudyView(
        record=record,
        revisions=revisions,
        outlook=_outlook(foundation, tx, record.newest),
        journey=archive.journey.of(tx, study_key),
        readings=() if is_held else _newest_readings(foundation, tx, revisions),
        objects={archive.results.key_of(made): made for made in objects},
        deliveries=archive.deliveries.of_study(tx, study_key),
        damaged=Damage().of_study(tx, study_key),
    )


def _newest_readings(
    foundation: Foundation, tx: Transaction, revisions: tuple[RevisionRecord, ...]
) -> tuple[Reading, ...]:
    for revision in reversed(revisions):
        readings = foundation.archive.results.readings(tx, revision.key)
        if readings:
            return readings
    return ()


def _outlook(foundation: Foundation, tx: Transaction, newest: RevisionRecord) -> Outlook | None:
    if newest.state is not RevisionState.OPEN:
        return None
    rules = foundation.installation.settings.completeness
    completeness = Completeness(foundation.archive, foundation.trail, rules)
    return completeness.outlook(tx, newest, foundation.clock())


def _revision(record: RevisionRecord) -> dict[str, Any]:
    return {
        "revision": record.key.number,
        "state": record.state,
        "hold_reason": record.hold_reason,
        "reason": record.reason,
        "rule": record.rule,
        "attempt": record.attempt,
        "number_of_instances": record.number_of_instances,
        "opened_at": record.opened_at,
        "closed_at": record.closed_at,
    }


def _reading(reading: Reading) -> dict[str, Any]:
    algorithm = reading.algorithm
    reasons = {evaluation.reason for evaluation in reading.evaluations} - {""}
    return {
        "model": f"{algorithm.name} {algorithm.version}",
        "digest": algorithm.digest,
        "threshold": algorithm.threshold,
        "conclusion": reading.conclusion,
        "received": len(reading.evaluations),
        "evaluated": reading.evaluated,
        "failed": reading.failed,
        "reasons": sorted(reasons),
        "findings": [_finding(finding) for finding in reading.findings],
    }


def _finding(finding: Finding) -> dict[str, Any]:
    region, bbox = finding.region, None
    if isinstance(region, Box):
        bbox = [region.x1, region.y1, region.x2, region.y2]
    return {
        "class": finding.label,
        "score": round(finding.score, _SCORE_DECIMALS),
        "instance_key": finding.frame.instance_key,
        "frame": finding.frame.frame,
        "bbox": bbox,
    }


def _object(made: ResultObject) -> dict[str, Any]:
    return {
        "kind": made.kind,
        "revision": made.revision.number,
        "sop_class_uid": made.sop_class_uid,
        "series_instance_uid": made.series_instance_uid,
        "sop_instance_uid": made.sop_instance_uid,
        "created_at": made.created_at,
        "withdrawn_at": made.withdrawn_at,
    }


def _delivery(record: DeliveryRecord, made: ResultObject) -> dict[str, Any]:
    return {
        "destination": record.destination,
        "kind": made.kind,
        "sop_instance_uid": made.sop_instance_uid,
        "revision": record.revision.number,
        "state": record.state,
        "attempts": record.attempts,
        "outcome": record.outcome,
        "receipt": record.receipt,
        "updated_at": record.updated_at,
        "next_attempt_at": record.next_attempt_at,
    }
