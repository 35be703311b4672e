"""What REST may know of studies, results and models, under the patient's own identity."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from api.events import AccessEvent
from api.views import Completeness as CompletenessView
from api.views import (
    Delivery,
    JourneyEntry,
    ModelCard,
    ResultFinding,
    ResultObject,
    ResultReading,
    StudyDetail,
    StudyPage,
    StudyQuery,
    StudyResults,
    StudySummary,
)
from archive.archive import Archive
from archive.database import Transaction
from archive.deliveries import DeliveryRecord
from archive.entries import StudyFilter, StudyRecord
from archive.journey import JourneyEntry as JourneyNote
from archive.results import ResultObject as StoredObject
from archive.revisions import RevisionRecord
from core.clock import Clock
from core.errors import InputError, UnavailableError
from core.findings import Finding, Reading
from core.model import Instance, StudyKey
from core.states import IllegalMoveError, RevisionState
from inference.client import ReaderClient
from inference.package import ModelPackage
from inference.registry import Registry
from inference.requests import ModelState
from results.provenance import Side, result_uid
from service.access import AccessTrail
from service.completeness import Completeness

OVER_REST = "over REST"
_ENDED = frozenset(
    {
        RevisionState.COMPLETED,
        RevisionState.FAILED,
        RevisionState.HELD,
        RevisionState.CANCELED,
    }
)
"""From these a revision can be scheduled again."""


@dataclass(frozen=True)
class Studies:
    """Where every study is on its way; the api's `StudyDirectory`."""

    archive: Archive
    completeness: Completeness
    access: AccessTrail
    clock: Clock

    def find(self, query: StudyQuery) -> StudyPage:
        """Return one page, the study received last first."""
        wanted = StudyFilter(
            states=query.states,
            modality=query.modality,
            received_from=query.received_from,
            received_to=query.received_to,
            older_than=_after(query.cursor),
        )
        with self.archive.snapshot() as tx:
            found = self.archive.catalogue.find(tx, wanted, limit=query.limit + 1)
        page = found[: query.limit]
        more = len(found) > query.limit
        return StudyPage(tuple(map(_summary, page)), _cursor(page[-1]) if more else None)

    def study(self, study_instance_uid: str) -> StudyDetail:
        """Return everything we know about the way of one study."""
        archive = self.archive
        with archive.snapshot() as tx:
            key = archive.catalogue.locate(tx, study_instance_uid)
            record = archive.catalogue.study(tx, key)
            return StudyDetail(
                **_summary(record).__dict__,
                completeness=self._completeness(tx, record.newest),
                journey=tuple(
                    JourneyEntry(one.at, one.revision, f"{one.step}: {one.outcome}", one.reason)
                    for one in archive.journey.of(tx, key)
                ),
                deliveries=tuple(
                    self._delivery(tx, one) for one in archive.deliveries.of_study(tx, key)
                ),
            )

    def retry(self, study_instance_uid: str, event: AccessEvent) -> StudySummary:
        """Schedule the newest revision and the dead letters again, with the record of who did.

        Where a completed study has dead letters, they alone are what went wrong.
        """
        archive, now = self.archive, self.clock()
        with archive.transaction() as tx:
            key = archive.catalogue.locate(tx, study_instance_uid)
            record = archive.catalogue.study(tx, key)
            newest = record.newest
            revived = archive.deliveries.revive(tx, key, at=now)
            if not revived or newest.state in _ENDED - {RevisionState.COMPLETED}:
                self._reschedule(tx, newest, now)
            note = JourneyNote(now, newest.key.number, "decide", "scheduled again", OVER_REST)
            archive.journey.note(tx, newest.key, note)
            sealed = self.access.seal(
                replace(event, studies=(record.identity,)),
                Revision=newest.key.number,
                Before=newest.state.value,
            )
            archive.outbox.add(tx, sealed.event_id, sealed.sealed, at=now)
            return _summary(archive.catalogue.study(tx, key))

    def _reschedule(self, tx: Transaction, newest: RevisionRecord, now: datetime) -> None:
        if newest.state not in _ENDED:
            raise IllegalMoveError(
                f"the study is {newest.state}; it cannot be scheduled again before that ends"
            )
        self.archive.revisions.reschedule(tx, newest.key, at=now)

    def _completeness(self, tx: Transaction, newest: RevisionRecord) -> CompletenessView:
        if newest.state is not RevisionState.OPEN:
            return CompletenessView(newest.rule, True, newest.closed_at, None)
        outlook = self.completeness.outlook(tx, newest, self.clock())
        return CompletenessView(outlook.rule, False, None, outlook.time_left_s)

    def _delivery(self, tx: Transaction, record: DeliveryRecord) -> Delivery:
        made = self.archive.results.object(tx, record.result_key)
        return Delivery(
            destination=record.destination,
            kind=made.kind,
            sop_instance_uid=made.sop_instance_uid,
            state=record.state,
            attempts=record.attempts,
            outcome=record.outcome,
            updated_at=record.updated_at,
            next_attempt_at=record.next_attempt_at,
        )


@dataclass(frozen=True)
class Results:
    """What was found; the api's `ResultDirectory`."""

    archive: Archive
    result_key: bytes

    def results(self, study_instance_uid: str) -> StudyResults:
        """Return the results of the newest revision that is through, else no readings.

        A revision that is not COMPLETED may have readings that the last check has not seen.
        """
        archive = self.archive
        with archive.snapshot() as tx:
            key = archive.catalogue.locate(tx, study_instance_uid)
            study = archive.catalogue.study(tx, key)
            shown = self._shown(tx, study)
            is_through = shown.state is RevisionState.COMPLETED
            readings = archive.results.readings(tx, shown.key) if is_through else ()
            objects = archive.results.objects(tx, shown.key) if is_through else ()
            version = _identity_version(objects, study)
            return StudyResults(
                identity=study.identity,
                revision=shown.key.number,
                newest_revision=study.newest.key.number,
                state=study.newest.state,
                hold_reason=study.newest.hold_reason,
                number_of_instances=archive.catalogue.count_instances(tx, shown.key),
                completeness_rule=shown.rule,
                readings=tuple(self._reading(tx, one, shown, version) for one in readings),
                objects=tuple(_object(made) for made in objects if made.checked_at is not None),
            )

    def _shown(self, tx: Transaction, study: StudyRecord) -> RevisionRecord:
        records = self.archive.revisions.of(tx, study.study_key)
        for record in reversed(records):
            if record.state is RevisionState.COMPLETED:
                return record
        return records[-1]

    def _reading(
        self, tx: Transaction, reading: Reading, shown: RevisionRecord, identity_version: int
    ) -> ResultReading:
        uid = partial(result_uid, self.result_key, Side.CLINICAL, shown.key, identity_version)
        reasons = dict.fromkeys(one.reason for one in reading.evaluations if one.reason)
        catalogue = self.archive.catalogue
        originals = {
            key: catalogue.instance(tx, key).instance
            for key in {found.frame.instance_key for found in reading.findings}
        }
        return ResultReading(
            algorithm=reading.algorithm,
            conclusion=reading.conclusion,
            number_evaluated=reading.evaluated,
            number_failed=reading.failed,
            findings=tuple(
                _finding(
                    found,
                    originals[found.frame.instance_key],
                    uid(reading.algorithm, "tracking", ordinal),
                )
                for ordinal, found in enumerate(reading.findings, start=1)
            ),
            reasons=tuple(reasons),
        )


@dataclass(frozen=True)
class Models:
    """Which models are here; the api's `ModelDirectory`."""

    registry: Registry
    reader: ReaderClient

    def models(self) -> tuple[ModelCard, ...]:
        """Return all packages, those that are not loaded included."""
        packages = self.registry.packages()
        try:
            states = {(s.name, s.version): s for s in self.reader.status().models}
        except UnavailableError as error:
            return tuple(_card(package, error.message) for package in packages)
        return tuple(
            _card(
                package, _not_ready(package, states.get((package.card.name, package.card.version)))
            )
            for package in packages
        )


def _summary(record: StudyRecord) -> StudySummary:
    return StudySummary(
        identity=record.identity,
        study_key=record.study_key,
        state=record.newest.state,
        revision=record.newest.key.number,
        hold_reason=record.newest.hold_reason,
        modalities=record.modalities,
        number_of_instances=record.number_of_instances,
        received_at=record.received_at,
        updated_at=record.newest.updated_at,
    )


def _identity_version(objects: Sequence[StoredObject], study: StudyRecord) -> int:
    """Return under which identity the objects were made: their tracking UIDs depend on it."""
    return max((made.identity_version for made in objects), default=study.identity_version)


def _object(made: StoredObject) -> ResultObject:
    return ResultObject(
        kind=made.kind,
        sop_class_uid=made.sop_class_uid,
        series_instance_uid=made.series_instance_uid,
        sop_instance_uid=made.sop_instance_uid,
        created_at=made.created_at,
    )


def _finding(found: Finding, original: Instance, tracking_uid: str) -> ResultFinding:
    return ResultFinding(
        tracking_uid=tracking_uid,
        label=found.label,
        concept=found.concept,
        score=found.score,
        probability=found.probability,
        series_instance_uid=original.series_instance_uid,
        sop_instance_uid=original.sop_instance_uid,
        frame=found.frame.frame,
        region=found.region,
        measurements=found.measurements,
    )


def _not_ready(package: ModelPackage, state: ModelState | None) -> str:
    """Return why a model is not ready; empty if it is."""
    if state is None or state.digest != package.digest:
        return "the reader does not have this package: restart all roles after a change"
    return "" if state.is_loaded else "it is loaded when it is first asked for"


def _card(package: ModelPackage, reason: str) -> ModelCard:
    """Return the card of a model that is ready, unless there is a reason why it is not."""
    card = package.card
    accepts = card.accepts
    conditions: Sequence[tuple[str, Sequence[str]]] = (
        ("modality", accepts.modalities),
        ("SOP class", accepts.sop_classes),
        ("photometric interpretation", accepts.photometric),
        ("peer", accepts.peers),
    )
    return ModelCard(
        name=card.name,
        version=card.version,
        digest=package.digest,
        task=card.task,
        labels=tuple(label.name for label in card.labels),
        threshold=card.thresholds.score,
        accepts=tuple(f"{name}: {', '.join(values)}" for name, values in conditions if values),
        intended_use=card.intended_use,
        training_data="; ".join(f"{data.name} ({data.terms})" for data in card.training_data),
        performance=tuple((one.metric, one.value) for one in card.performance),
        is_ready=not reason,
        reason=reason,
    )


def _after(cursor: str | None) -> tuple[datetime, StudyKey] | None:
    if cursor is None:
        return None
    try:
        at, key = json.loads(base64.urlsafe_b64decode(cursor))
        moment = datetime.fromisoformat(at)
    except (ValueError, TypeError):
        raise InputError("the cursor is not one of ours") from None
    if moment.tzinfo is None or not isinstance(key, str):
        raise InputError("the cursor is not one of ours")
    return moment, StudyKey(key)


def _cursor(last: StudyRecord) -> str:
    content = json.dumps([last.received_at.isoformat(), last.study_key])
    return base64.urlsafe_b64encode(content.encode()).decode()
