"""The judges of what we write: dicom3tools' dciodvfy and PixelMed's validator of reports."""

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom.datadict import keyword_for_tag

from tests.support.peers import PEERS

_NAMED = re.compile(r"(?:attribute |Element=)<([^>]+)>")
_TAGGED = re.compile(r"\(0x([0-9a-f]{4}),0x([0-9a-f]{4})\)")
_ORIGIN = {
    "referencedsopinstanceuid": "sopinstanceuid",
    "referencedsopclassuid": "sopclassuid",
    "referencedframenumber": "numberofframes",
}
"""The attribute of a source that an attribute of a reference repeats."""
_UNKNOWN_CLASS = "Information Object Not found"
_SUMMARY = "Dicom dataset contains"
"""Begins a line that only counts those before it."""

_LIMITS = ("xpathTotalOpLimit", "xpathExprGrpLimit", "xpathExprOpLimit")
"""Java's own limits would stop PixelMed's rules."""


@dataclass(frozen=True)
class Verdict:
    """What a judge said of one file."""

    errors: tuple[str, ...]
    said: str
    """Everything, for the one who must mend it."""
    crashed: bool = False
    """Whether the judge died of it."""

    @property
    def attributes(self) -> frozenset[str]:
        """The keywords of the attributes that errors name, in lower case."""
        return frozenset(_keyword(error) for error in self.errors)


def dciodvfy(path: Path) -> Verdict:
    """Judge an object against its IOD."""
    return _verdict(["dciodvfy", str(path)], "Error")


def pixelmed(path: Path) -> Verdict:
    """Judge a structured report against its templates and context groups."""
    limits = [f"-Djdk.xml.{limit}=0" for limit in _LIMITS]
    program = ["-cp", PEERS["PixelMed"], "com.pixelmed.validate.DicomSRValidator"]
    verdict = _verdict(["java", *limits, *program, str(path)], "Error")
    if "IOD validation complete" not in verdict.said:
        raise AssertionError(f"PixelMed did not come to an end:\n{verdict.said}")
    return verdict


def new_errors(result: Verdict, source: Verdict) -> list[str]:
    """Return the errors of a result about attributes that the source has no error about."""
    excused = set(source.attributes)
    if any(_UNKNOWN_CLASS in error for error in source.errors):
        excused.add("numberofframes")  # the judge does not know that the class has frames
    return [
        error
        for error in result.errors
        if _SUMMARY not in error and excused.isdisjoint(_candidates(_keyword(error)))
    ]


def _candidates(keyword: str) -> set[str]:
    return {keyword, _ORIGIN.get(keyword, keyword)}


def _keyword(error: str) -> str:
    """Return the attribute that an error names, in lower case; the error itself if none."""
    tagged, named = _TAGGED.search(error), _NAMED.search(error)
    if tagged:
        return keyword_for_tag("".join(tagged.groups())).lower() or error
    return named.group(1).replace(" ", "").replace("'", "").lower() if named else error


def _verdict(command: Sequence[str], word: str) -> Verdict:
    done = subprocess.run(command, capture_output=True, check=False, timeout=300)
    said = (done.stdout + done.stderr).decode(errors="replace")
    errors = tuple(line for line in said.splitlines() if line.startswith(word))
    return Verdict(errors, said, crashed=done.returncode < 0)
