"""Check: read every result object again and prove that it may leave. Source: requirements R1-R8."""

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO

from core.model import RevisionKey
from results.conformance import Border, check_results
from results.errors import BorderError
from results.provenance import SourceInstance
from service.steps.subject import Subject, Tools


@dataclass(frozen=True)
class Check:
    """The fourth step."""

    tools: Tools

    def check(self, revision: RevisionKey) -> None:
        """Let nothing pass whose identity, references or form are not those of the originals.

        Raises
        ------
        BorderError
            Naming the first statement that is broken; the study is then held.
        """
        tools, archive = self.tools, self.tools.archive
        subject = tools.subject(revision)
        with archive.snapshot() as tx:
            objects = archive.results.objects(tx, revision)
        if any(made.identity_version != subject.study.identity_version for made in objects):
            raise BorderError("R4", "the identity was corrected since the object was made")
        if objects:
            check_results(
                (archive.read_object(revision.study_key, made.blob_name) for made in objects),
                self._border(subject),
            )
        with archive.transaction() as tx:
            for made in objects:
                archive.results.mark_checked(tx, archive.results.key_of(made), at=tools.clock())
        tools.note(revision, "check", "done", f"{len(objects)} result objects may leave")

    def _border(self, subject: Subject) -> Border:
        replacement = self.tools.replacement(subject)
        return Border(
            identity=subject.study.identity,
            originals=subject.originals,
            patient_identity_removed=self._removed(subject),
            is_released_uid=_in_released_world(subject, replacement.uids.map),
            pseudonyms=(replacement.patient_pseudonym,),
        )

    def _removed(self, subject: Subject) -> str:
        first = subject.in_reading_order[0]
        content = self.tools.archive.read_object(subject.study.study_key, first.blob_name)
        limits = self.tools.settings.archive.limits
        source = SourceInstance.read(first.instance_key, BytesIO(content), limits)
        return source.text("PatientIdentityRemoved")


def _in_released_world(subject: Subject, mapped: Callable[[str], str]) -> Callable[[str], bool]:
    """Return whether a UID stands for one of ours in the de-identified world."""
    known = {subject.study.identity.study_instance_uid}
    for instance in subject.contents():
        known.update((instance.sop_instance_uid, instance.series_instance_uid))
    released = {mapped(uid) for uid in known} - known
    return released.__contains__
