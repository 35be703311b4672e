"""Encode: turn the readings into sealed result objects under the identity of the originals."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO

from archive.index import ResultKey
from archive.results import ResultObject
from core.errors import CorruptionError, InputError
from core.findings import FrameReference, Reading
from core.model import InstanceKey, RevisionKey
from imaging.decode import Decoder
from imaging.render import to_rgb
from results.encoder import encode
from results.provenance import (
    EncodedObject,
    Equipment,
    ResultContext,
    Side,
    SourceInstance,
    StudySources,
)
from results.sc import FramePixels, captured_frames
from service.keys import Purpose
from service.steps.subject import Subject, Tools
from service.trail import as_instance


@dataclass(frozen=True)
class Encode:
    """The third step."""

    tools: Tools
    decoder: Decoder
    equipment: Equipment

    def encode(self, revision: RevisionKey) -> None:
        """Leave every result object of the revision; withdraw those of an earlier attempt."""
        tools, archive = self.tools, self.tools.archive
        subject = tools.subject(revision)
        with archive.snapshot() as tx:
            readings = archive.results.readings(tx, revision)
        kept = [self._keep(made, subject) for made in self._encoded(subject, readings)]
        now = tools.clock()
        event = tools.trail.accessed(
            "encode", revision, subject.study.identity, subject.contents(), made=True
        )
        with archive.transaction() as tx:
            archive.results.keep_only(tx, revision, kept, at=now)
            archive.deliveries.withdraw_stale(tx, revision, at=now)
            archive.outbox.add(tx, event.event_id, event.sealed, at=now)
        tools.note(revision, "encode", "done", f"{len(kept)} result objects")

    def _encoded(
        self, subject: Subject, readings: tuple[Reading, ...]
    ) -> Iterator[tuple[int, EncodedObject]]:
        """Yield every object with its number among those of its kind."""
        if not readings:
            return
        sources = StudySources(
            tuple(self._source(subject, r.instance_key) for r in subject.in_reading_order)
        )
        numbers: Counter[str] = Counter()
        for reading in readings:
            pixels = self._pixels(reading, sources, subject)
            for made in encode(reading, sources, self._context(subject), pixels):
                numbers[made.kind.value] += 1
                yield numbers[made.kind.value], made

    def _source(self, subject: Subject, key: InstanceKey) -> SourceInstance:
        limits = self.tools.settings.archive.limits
        return SourceInstance.read(key, BytesIO(self._original(subject, key)), limits)

    def _original(self, subject: Subject, key: InstanceKey) -> bytes:
        record = next(one for one in subject.instances if one.instance_key == key)
        return self.tools.archive.read_object(subject.study.study_key, record.blob_name)

    def _pixels(self, reading: Reading, sources: StudySources, subject: Subject) -> FramePixels:
        """Decode the frames that captures show; one that cannot be decoded is left out."""
        wanted = captured_frames(reading, sources, self.tools.settings.results)
        by_instance: dict[InstanceKey, list[int]] = {}
        for reference in wanted:
            by_instance.setdefault(reference.instance_key, []).append(reference.frame)
        pixels = {}
        for key, frames in by_instance.items():
            try:
                decoded = self.decoder.iter_display_frames(
                    self._shown(subject, key), frames=sorted(frames)
                )
                for frame in decoded:
                    pixels[FrameReference(key, frame.number)] = to_rgb(frame.pixels)
            except InputError:
                continue  # the capture becomes a card that says so
        return pixels

    def _shown(self, subject: Subject, key: InstanceKey) -> bytes:
        archive = self.tools.archive
        if self.tools.settings.results.captures_from == "original":
            return self._original(subject, key)
        with archive.snapshot() as tx:
            copies = archive.results.released(tx, subject.revision)
        for copy in copies:
            if copy.instance_key == key and copy.blob_name is not None:
                return archive.read_object(copy.study_key, copy.blob_name)
        raise InputError("the instance has no released copy")

    def _context(self, subject: Subject) -> ResultContext:
        tools = self.tools
        with tools.archive.snapshot() as tx:
            moment = tools.archive.results.readings_made_at(tx, subject.revision)
        if moment is None:
            raise CorruptionError(f"the readings of {subject.revision} have no time")
        return ResultContext(
            result_key=tools.keyring.key(Purpose.RESULT),
            side=Side.CLINICAL,
            revision=subject.revision,
            identity_version=subject.study.identity_version,
            moment=moment.astimezone(),
            completed_by=subject.record.rule,
            equipment=self.equipment,
            settings=tools.settings.results,
        )

    def _keep(self, numbered: tuple[int, EncodedObject], subject: Subject) -> ResultKey:
        """Seal an object, unless it is kept already; its bytes are never made twice."""
        ordinal, made = numbered
        archive, study_key = self.tools.archive, subject.study.study_key
        writer = archive.put_object(study_key, made.part10)
        row = ResultObject(
            revision=subject.revision,
            kind=made.kind.value,
            ordinal=ordinal,
            sop_class_uid=made.sop_class_uid,
            transfer_syntax_uid=made.transfer_syntax_uid,
            sop_instance_uid=made.sop_instance_uid,
            series_instance_uid=made.series_instance_uid,
            identity_version=subject.study.identity_version,
            blob_name=writer.name,
            size_bytes=len(made.part10),
            created_at=self.tools.clock(),
        )
        like = subject.instances[0].instance
        key, trail = archive.results.key_of(row), self.tools.trail
        event = trail.made(trail.made_id(key, row.created_at), as_instance(row, like))
        with archive.transaction() as tx:
            kept = archive.results.put_object(tx, row)
            if kept.blob_name == writer.name:
                archive.outbox.add(tx, event.event_id, event.sealed, at=row.created_at)
        if kept.blob_name != writer.name:
            archive.blobs.delete(writer.name)
        return archive.results.key_of(kept)
