"""What may be wrong with an installation: each thing looked at, told why, and how to mend it."""

from collections.abc import Callable, Iterator

from service.checks import audit, callers, environment, models, network, storage, tls
from service.checks.report import Check, Needs, Result, Verdict
from service.checks.scene import Limits, Scene, on_scene

__all__ = ["CHECKS", "Limits", "Result", "Scene", "Verdict", "judge", "look", "on_scene"]

CHECKS: tuple[Check, ...] = (
    *environment.FIRST,
    *storage.CHECKS,
    *audit.CHECKS,
    *models.CHECKS,
    *tls.CHECKS,
    *network.CHECKS,
    *callers.CHECKS,
    *environment.LAST,
)
"""In the order in which they are looked at: what others rest on comes first."""


def look(scene: Scene, on_check: Callable[[str], None] = lambda _: None) -> Iterator[Result]:
    """Yield what each check says, in order."""
    for check in CHECKS:
        on_check(check.name)
        yield judge(check, scene)


def judge(check: Check, scene: Scene) -> Result:
    """Return what one check says; one that rests on something broken is skipped."""
    if check.needs is not Needs.NOTHING and scene.installation is None:
        return check.skipped("config.yaml is not right")
    if check.needs is Needs.ARCHIVE and scene.foundation is None:
        return check.skipped("keys or database do not open")
    return check.run(scene)
