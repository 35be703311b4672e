"""Findings in, standard objects out; nothing is sent from here."""

from core.findings import Conclusion, Reading
from results import wording
from results.provenance import (
    EncodedObject,
    ResultContext,
    StudySources,
    check_reading,
)
from results.sc import FramePixels, captured_frames, encode_sc
from results.sr import encode_sr


def encode(
    reading: Reading,
    sources: StudySources,
    context: ResultContext,
    pixels: FramePixels | None = None,
) -> tuple[EncodedObject, ...]:
    """Return every object that one reading of one revision becomes, the report first.

    The same arguments give the same bytes. `pixels` holds the display values of the frames that
    `captured_frames` names; without those of a frame its capture is a card with text.

    Raises
    ------
    NotEncodableError
        If the sources lack what a result must carry, or the reading is not about them. The
        study is then held with this reason.
    """
    check_reading(reading, sources)
    return (
        encode_sr(reading, sources, context, _notes(reading, sources, context)),
        *encode_sc(reading, sources, context, pixels or {}),
    )


def _notes(reading: Reading, sources: StudySources, context: ResultContext) -> list[str]:
    """Say in the report if not every frame with findings is shown in a capture."""
    shown = len(captured_frames(reading, sources, context.settings))
    frames = len({finding.frame for finding in reading.findings})
    if reading.conclusion is not Conclusion.FINDINGS or shown in {0, frames}:
        return []
    return [wording.captures(shown, frames)]
