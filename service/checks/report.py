"""What a check is, and what it says."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import TYPE_CHECKING

from core.errors import ServiceError

if TYPE_CHECKING:
    from service.checks.scene import Scene


class Verdict(StrEnum):
    """How a check ended."""

    FINE = "fine"
    WARNING = "warning"
    """It works, and could be better or is about to break."""
    WRONG = "wrong"
    SKIPPED = "skipped"
    """What it rests on is broken."""


class Needs(Enum):
    """What a check rests on."""

    NOTHING = 0
    SETTINGS = 1
    ARCHIVE = 2
    """Keys that open, and a database that belongs to them."""


@dataclass(frozen=True)
class Fault:
    """One thing that is not as it should be."""

    what: str
    """Names the thing; nothing of a patient."""
    remedy: str
    is_warning: bool = False


@dataclass(frozen=True)
class Result:
    """What one check says."""

    name: str
    verdict: Verdict
    what: str
    why: str
    """Why it matters."""
    remedy: str
    """Empty if nothing is to be done."""


@dataclass(frozen=True)
class Check:
    """One thing to look at."""

    name: str
    why: str
    look: Callable[["Scene"], Iterable[Fault]]
    fine: str
    """What is said if nothing is wrong."""
    needs: Needs = Needs.SETTINGS

    def run(self, scene: "Scene") -> Result:
        """Look; an error of ours is a fault as well."""
        try:
            faults = list(self.look(scene))
        except ServiceError as error:
            faults = [Fault(error.message, error.remedy)]
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            faults = [Fault(f"{where}{error.strerror or type(error).__name__}", "Mend the disk")]
        if not faults:
            return Result(self.name, Verdict.FINE, self.fine, self.why, "")
        only_warnings = all(fault.is_warning for fault in faults)
        return Result(
            self.name,
            Verdict.WARNING if only_warnings else Verdict.WRONG,
            "; ".join(fault.what for fault in faults),
            self.why,
            "; ".join(dict.fromkeys(fault.remedy for fault in faults if fault.remedy)),
        )

    def skipped(self, because: str) -> Result:
        """Say that it was not looked at."""
        return Result(self.name, Verdict.SKIPPED, f"not looked at: {because}", self.why, "")


def warn(what: str, remedy: str) -> Fault:
    """Return a fault that does not make the installation wrong."""
    return Fault(what, remedy, is_warning=True)
