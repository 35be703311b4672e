"""Every sentence a result says, in one place: plain, true, and never "normal"."""

from collections import Counter
from collections.abc import Sequence

from core.findings import Algorithm, Conclusion, Finding, Outcome, Reading

DISCLAIMER = "AI result - not for diagnosis"
"""On every object and in every picture."""

RESEARCH_ONLY = (
    "Made by an algorithm and not reviewed by a person. Not a medical device; "
    "not for diagnosis or treatment."
)


def algorithm_name(algorithm: Algorithm) -> str:
    """Name and version, as everywhere."""
    return f"{algorithm.name} {algorithm.version}"


def series_description(algorithm: Algorithm) -> str:
    """Return the Series Description; at most 64 characters, the disclaimer never cut."""
    tail = f": {DISCLAIMER}"
    return algorithm_name(algorithm)[: 64 - len(tail)] + tail


def conclusion(reading: Reading) -> str:
    """Return what the reading says, as sentences for a radiologist."""
    return {
        Conclusion.FINDINGS: _findings,
        Conclusion.NO_FINDING: _no_finding,
        Conclusion.NOT_EVALUATED: _not_evaluated,
        Conclusion.COULD_NOT_PROCESS: _could_not_process,
    }[reading.conclusion](reading)


def headline(reading: Reading) -> str:
    """Return the conclusion in a few words, for a picture."""
    return {
        Conclusion.FINDINGS: f"{_count(len(reading.findings), 'finding')} in this study",
        Conclusion.NO_FINDING: f"No finding above {_number(reading.algorithm.threshold)}: "
        f"{_labels(reading.algorithm)}",
        Conclusion.NOT_EVALUATED: "Not evaluated",
        Conclusion.COULD_NOT_PROCESS: "Could not be processed",
    }[reading.conclusion]


def extent(reading: Reading) -> str:
    """Return how much of what was received was looked at."""
    received = len(reading.evaluations)
    frames = sum(evaluation.frames for evaluation in reading.evaluations)
    skipped = received - reading.evaluated - reading.failed
    return (
        f"{reading.evaluated} of {_count(received, 'instance')} received "
        f"{_were(reading.evaluated)} evaluated ({_count(frames, 'frame')}); "
        f"{skipped} not evaluated, {reading.failed} could not be processed."
    )


def completeness(rule: str) -> str:
    """Return by which rule the study was taken as complete."""
    return f"The study was taken as complete by this rule: {rule}."


def completion(reading: Reading) -> str:
    """Return the Completion Flag Description (0040,A492); at most 64 characters."""
    if reading.failed:
        selected = reading.failed + reading.evaluated
        return f"{reading.failed} of {selected} selected instances could not be processed"
    if not reading.evaluated:
        return "No instance was evaluated"
    return "All selected instances were evaluated"


def is_complete(reading: Reading) -> bool:
    """Whether Completion Flag (0040,A491) is COMPLETE: something was read, and all selected."""
    return reading.is_complete and reading.evaluated > 0


def shown(frame: int, frames: int, labels: Sequence[str]) -> str:
    """Return which frame a picture shows, and what was found in it."""
    where = f"Frame {frame} of {frames}" if frames > 1 else "This image"
    return f"{where}: {', '.join(labels)}"


def comments(reading: Reading) -> str:
    """Return the Image Comments (0020,4000) of a capture."""
    return f"{DISCLAIMER}. {conclusion(reading)} {extent(reading)} {RESEARCH_ONLY}"


def captures(shown: int, frames: int) -> str:
    """Return how many frames with findings the captures show."""
    return f"Captures show {shown} of {_count(frames, 'frame')} with findings."


def tracking_identifier(finding: Finding, ordinal: int) -> str:
    """Return the Tracking Identifier (112039, DCM) that people read."""
    return f"{finding.label} {ordinal}"


def box_label(finding: Finding) -> str:
    """Return what stands at a box in a picture."""
    return f"{finding.label} {finding.score:.2f}"


def threshold(algorithm: Algorithm) -> str:
    """Return the score threshold in words."""
    return f"score threshold {_number(algorithm.threshold)}"


def derivation(algorithm: Algorithm, pixels: str) -> str:
    """Return the Derivation Description (0008,2111)."""
    origin = "the de-identified copy" if pixels == "released" else "the original"
    return (
        f"{DISCLAIMER}. Display values of {origin} with regions and text drawn by "
        f"{algorithm_name(algorithm)}."
    )


def card(algorithm: Algorithm) -> str:
    """Return the Derivation Description of a capture that shows text only."""
    return f"{DISCLAIMER}. Text only, made by {algorithm_name(algorithm)}; no pixels are shown."


def _findings(reading: Reading) -> str:
    labels = Counter(finding.label for finding in reading.findings)
    listed = ", ".join(f"{count} {label}" for label, count in labels.items())
    sentence = (
        f"{_count(len(reading.findings), 'finding')} with a score of "
        f"{_number(reading.algorithm.threshold)} or more: {listed}."
    )
    return sentence if reading.is_complete else f"{sentence} {_failed(reading)}"


def _no_finding(reading: Reading) -> str:
    return (
        f"No finding above the score threshold of {_number(reading.algorithm.threshold)} "
        f"({_labels(reading.algorithm)}). Nothing else was looked for."
    )


def _not_evaluated(reading: Reading) -> str:
    return f"Not evaluated: no instance of the study was evaluated. {_reasons(reading)}".strip()


def _could_not_process(reading: Reading) -> str:
    return f"Could not be processed. {_failed(reading)} Absence of findings is not stated."


def _failed(reading: Reading) -> str:
    selected = reading.failed + reading.evaluated
    return (
        f"{reading.failed} of {_count(selected, 'selected instance')} could not be processed. "
        f"{_reasons(reading)}"
    ).strip()


def _reasons(reading: Reading) -> str:
    outcome = Outcome.COULD_NOT_PROCESS if reading.failed else Outcome.NOT_EVALUATED
    reasons = Counter(
        evaluation.reason.rstrip(".")
        for evaluation in reading.evaluations
        if evaluation.outcome is outcome and evaluation.reason
    )
    listed = "; ".join(f"{reason} ({count})" for reason, count in reasons.most_common())
    return f"Reason: {listed}." if listed else ""


def _labels(algorithm: Algorithm) -> str:
    return ", ".join(algorithm.labels)


def _number(value: float) -> str:
    return f"{value:.4f}".rstrip("0").rstrip(".")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _were(number: int) -> str:
    return "was" if number == 1 else "were"
