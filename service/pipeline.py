"""What happens to a study, on one screen."""

from typing import Protocol

from core.model import RevisionKey


class Steps(Protocol):
    """The five steps. Each takes keys, leaves sealed records, and may run twice."""

    def deidentify(self, revision: RevisionKey) -> None:
        """Leave a sealed, de-identified copy of every instance that a model may read."""

    def infer(self, revision: RevisionKey) -> None:
        """Let every model that wants the study read the copies; leave sealed readings."""

    def encode(self, revision: RevisionKey) -> None:
        """Turn the readings into sealed result objects under the identity of the originals."""

    def check(self, revision: RevisionKey) -> None:
        """Read every result object again and prove that it may leave, or hold the study."""

    def enqueue_deliveries(self, revision: RevisionKey) -> None:
        """Leave one delivery for each object and destination, and end the revision."""


def process(revision: RevisionKey, steps: Steps) -> None:
    """Take one complete study from its originals to its deliveries.

    Models never see an identity: they get the released copy, and a finding names an instance key
    and a frame, nothing else. Only keys go in and nothing comes out: what a step makes lies sealed
    in the archive, so that a machine may die anywhere and another goes on.
    """
    steps.deidentify(revision)
    steps.infer(revision)
    steps.encode(revision)
    steps.check(revision)
    steps.enqueue_deliveries(revision)
