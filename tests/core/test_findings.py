"""What a reading concludes: never "no finding" while something was not seen."""

import pytest

from core.codes import POLYP
from core.findings import (
    Algorithm,
    Conclusion,
    Evaluation,
    Finding,
    FrameReference,
    Outcome,
    Reading,
)
from core.model import InstanceKey

ALGORITHM = Algorithm("a", "1", "m", "00", (), 0.25, ("polyp",), POLYP)
FINDING = Finding(POLYP, "polyp", 0.9, None, FrameReference(InstanceKey("k"), 1), None)
SEEN, LEFT, FAILED = Outcome.EVALUATED, Outcome.NOT_EVALUATED, Outcome.COULD_NOT_PROCESS


@pytest.mark.parametrize(
    ("found", "outcomes", "conclusion"),
    [
        (1, [SEEN], Conclusion.FINDINGS),
        (1, [SEEN, FAILED], Conclusion.FINDINGS),
        (0, [SEEN, LEFT], Conclusion.NO_FINDING),
        (0, [SEEN, FAILED], Conclusion.COULD_NOT_PROCESS),
        (0, [FAILED], Conclusion.COULD_NOT_PROCESS),
        (0, [LEFT], Conclusion.NOT_EVALUATED),
        (0, [], Conclusion.NOT_EVALUATED),
    ],
)
def test_a_reading_concludes_what_it_may(
    found: int, outcomes: list[Outcome], conclusion: Conclusion
) -> None:
    evaluations = tuple(Evaluation(InstanceKey(str(i)), o) for i, o in enumerate(outcomes))
    assert Reading(ALGORITHM, (FINDING,) * found, evaluations).conclusion is conclusion


def test_a_reading_with_a_failure_is_not_complete() -> None:
    evaluations = (Evaluation(InstanceKey("1"), FAILED, reason="no decoder"),)
    assert not Reading(ALGORITHM, (FINDING,), evaluations).is_complete
