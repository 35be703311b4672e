"""Infer: let every model that wants the study read the copies; leave sealed readings."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from archive.results import ReleasedCopy
from core.errors import CorruptionError
from core.findings import Conclusion, Evaluation, Outcome, Reading
from core.model import InstanceKey, RevisionKey
from inference.registry import Registry
from inference.requests import ModelOrder, StudyInstance
from service.steps.released import orders, wanted_keys
from service.steps.subject import Subject, Tools


class Reads(Protocol):
    """The reader, or the models in this very process."""

    def read_study(
        self, instances: Iterable[StudyInstance], orders: Sequence[ModelOrder]
    ) -> tuple[Reading, ...]:
        """Let models read instances; one reading for each order."""


@dataclass(frozen=True)
class Infer:
    """The second step."""

    tools: Tools
    registry: Registry
    reader: Reads

    def infer(self, revision: RevisionKey) -> None:
        """Leave one reading for each model, or none if no model reads what this peer sends."""
        tools, archive = self.tools, self.tools.archive
        subject = tools.subject(revision)
        given = orders(self.registry, tools, subject)
        with archive.snapshot() as tx:
            copies = {copy.instance_key: copy for copy in archive.results.released(tx, revision)}
        readings: tuple[Reading, ...] = ()
        if given:
            sent = self._sent(subject, given, copies)
            answered = self.reader.read_study(sent, given)
            readings = tuple(
                _whole(reading, order, subject, copies)
                for reading, order in zip(answered, given, strict=True)
            )
        event = tools.trail.accessed("infer", revision, subject.study.identity, subject.contents())
        with archive.transaction() as tx:
            archive.results.put_readings(tx, revision, readings, at=tools.clock())
            archive.outbox.add(tx, event.event_id, event.sealed, at=tools.clock())
        tools.note(revision, "infer", "done", _summary(readings))

    def _sent(
        self,
        subject: Subject,
        given: Sequence[ModelOrder],
        copies: Mapping[InstanceKey, ReleasedCopy],
    ) -> Iterator[StudyInstance]:
        """Yield the copies in reading order; of what no model reads, only the name."""
        wanted = wanted_keys(given, subject)
        for record in subject.in_reading_order:
            key = record.instance_key
            if key not in wanted:
                yield StudyInstance(key, 0, ())
                continue
            copy = copies.get(key)
            if copy is None:
                raise CorruptionError(f"instance {key} has no released copy")
            if copy.blob_name is not None:
                pieces = self.tools.archive.open_object(copy.study_key, copy.blob_name)
                yield StudyInstance(key, copy.size_bytes, pieces)


def _whole(
    reading: Reading,
    order: ModelOrder,
    subject: Subject,
    copies: Mapping[InstanceKey, ReleasedCopy],
) -> Reading:
    """Add what the reader never saw, so that every instance of the revision is accounted for."""
    answered = {evaluation.instance_key: evaluation for evaluation in reading.evaluations}
    skipped = {one.instance_key: one.reason for one in order.skipped}
    evaluations = []
    for record in subject.in_reading_order:
        key = record.instance_key
        if key in answered:
            evaluations.append(answered[key])
        elif key in skipped:
            evaluations.append(Evaluation(key, Outcome.NOT_EVALUATED, reason=skipped[key]))
        else:
            reason = copies[key].reason
            evaluations.append(Evaluation(key, Outcome.COULD_NOT_PROCESS, reason=reason))
    return replace(reading, evaluations=tuple(evaluations))


def _summary(readings: Sequence[Reading]) -> str:
    if not readings:
        return "no model reads what this peer sends"
    return "; ".join(
        f"{reading.algorithm.name} {reading.algorithm.version}: {_concluded(reading)}, "
        f"{reading.evaluated} of {len(reading.evaluations)} instances evaluated"
        for reading in readings
    )


def _concluded(reading: Reading) -> str:
    if reading.conclusion is Conclusion.FINDINGS:
        number = len(reading.findings)
        return f"{number} finding" if number == 1 else f"{number} findings"
    return reading.conclusion.value
