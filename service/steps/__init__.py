"""What each step of the pipeline does; `service/pipeline.py` says in which order."""

from collections.abc import Callable
from dataclasses import dataclass

from core.model import RevisionKey

Step = Callable[[RevisionKey], None]


@dataclass(frozen=True)
class StudySteps:
    """The five steps in one hand, as the engine calls them."""

    deidentify: Step
    infer: Step
    encode: Step
    check: Step
    enqueue_deliveries: Step
