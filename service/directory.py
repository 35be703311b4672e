"""What REST may know of studies, results and models, under the patient's own identity."""

import base64
import json
from collections.abc import Mapping, Sequence
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
from archive.entries import InstanceRecord, StudyFilter, StudyRecord
from archive.revisions import RevisionRecord
from core.clock import Clock
from core.errors import InputError, UnavailableError
from core.findings import Finding, Reading
from core.model import InstanceKey, RevisionKey, StudyKey
from core.states import RevisionState
from inference.client import ReaderClient
from inference.package import ModelPackage
from inference.registry import Registry
from results.provenance import Side, result_uid
from service.access import AccessTrail
from service.completeness import Completeness


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
        """Schedule the newest revision and the dead letters again, with the record of who did."""
        archive, now = self.archive, self.clock()
        with archive.transaction() as tx:
            key = archive.catalogue.locate(tx, study_instance_uid)
            record = archive.catalogue.study(tx, key)
            revived = archive.deliveries.revive(tx, key, at=now)
            if not (revived and record.newest.state is RevisionState.COMPLETED):
                archive.revisions.reschedule(tx, record.newest.key, at=now)
            sealed = self.access.seal(replace(event, studies=(record.identity,)))
            archive.outbox.add(tx, sealed.event_id, sealed.sealed, at=now)
            return _summary(archive.catalogue.study(tx, key))

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
        """Return the results of the newest revision that has any, or of the newest one."""
        archive = self.archive
        with archive.snapshot() as tx:
            key = archive.catalogue.locate(tx, study_instance_uid)
            study = archive.catalogue.study(tx, key)
            shown = self._shown(tx, study)
            instances = archive.catalogue.instances(tx, shown.key)
            readings = archive.results.readings(tx, shown.key)
            objects = archive.results.objects(tx, shown.key)
        by_key = {record.instance_key: record for record in instances}
        return StudyResults(
            identity=study.identity,
            revision=shown.key.number,
            newest_revision=study.newest.key.number,
            state=study.newest.state,
            hold_reason=study.newest.hold_reason,
            number_of_instances=len(instances),
            completeness_rule=shown.rule,
            readings=tuple(self._reading(one, by_key, shown.key, study) for one in readings),
            objects=tuple(
                ResultObject(
                    kind=made.kind,
                    sop_class_uid=made.sop_class_uid,
                    series_instance_uid=made.series_instance_uid,
                    sop_instance_uid=made.sop_instance_uid,
                    created_at=made.created_at,
                )
                for made in objects
                if made.checked_at is not None
            ),
        )

    def _shown(self, tx: Transaction, study: StudyRecord) -> RevisionRecord:
        records = self.archive.revisions.of(tx, study.study_key)
        for record in reversed(records):
            if record.state is RevisionState.COMPLETED:
                return record
        return records[-1]

    def _reading(
        self,
        reading: Reading,
        instances: Mapping[InstanceKey, InstanceRecord],
        revision: RevisionKey,
        study: StudyRecord,
    ) -> ResultReading:
        uid = partial(result_uid, self.result_key, Side.CLINICAL, revision, study.identity_version)
        reasons = dict.fromkeys(one.reason for one in reading.evaluations if one.reason)
        return ResultReading(
            algorithm=reading.algorithm,
            conclusion=reading.conclusion,
            number_evaluated=reading.evaluated,
            number_failed=reading.failed,
            findings=tuple(
                _finding(found, instances, uid(reading.algorithm, "tracking", ordinal))
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
        try:
            states = {(s.name, s.version): s for s in self.reader.status().models}
            away = ""
        except UnavailableError as error:
            states, away = {}, error.message
        cards = []
        for package in self.registry.packages():
            state = states.get((package.card.name, package.card.version))
            reason = away or (state.reason if state else "the reader does not know it")
            cards.append(_card(package, is_ready=bool(state and state.is_loaded), reason=reason))
        return tuple(cards)


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


def _finding(
    found: Finding, instances: Mapping[InstanceKey, InstanceRecord], tracking_uid: str
) -> ResultFinding:
    original = instances[found.frame.instance_key].instance
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


def _card(package: ModelPackage, *, is_ready: bool, reason: str) -> ModelCard:
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
        is_ready=is_ready,
        reason="" if is_ready else reason,
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
