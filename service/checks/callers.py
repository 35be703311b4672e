"""Who would like to reach us and may not, and whether the running service goes by config.yaml."""

from collections.abc import Iterator
from datetime import timedelta

from service.checks.report import Check, Fault, Needs, warn
from service.checks.scene import Scene
from service.config_file import digest_of
from service.peers import ALLOWABLE
from service.presence import LISTENER

RECENT = timedelta(days=1)
_TAKE_UP = timedelta(seconds=15)
"""A change that is younger may just be on its way."""


def _unknown_callers(scene: Scene) -> Iterator[Fault]:
    archive, now = scene.base.archive, scene.clock()
    with archive.snapshot() as tx:
        count = archive.callers.count_refused(tx, since=now - RECENT, reasons=ALLOWABLE)
    if count:
        callers = "1 unknown caller" if count == 1 else f"{count} unknown callers"
        yield warn(
            f"{callers} in the last day",
            "`second-reader peer unknown` lists them, and how each is let in",
        )


def _in_force(scene: Scene) -> Iterator[Fault]:
    archive, now = scene.base.archive, scene.clock()
    file = scene.ours.config_file
    digest = digest_of(file.read_bytes())
    is_old = now.timestamp() - file.stat().st_mtime > _TAKE_UP.total_seconds()
    with archive.snapshot() as tx:
        alive = {lease.owner for lease in archive.leases.alive(tx, LISTENER, now=now)}
        said = [one for one in archive.configurations.all(tx) if one.place in alive]
    for one in said:
        if one.waiting:
            yield warn(
                f"the service at {one.place} goes by an older config.yaml in {one.waiting}",
                "Restart the service",
            )
        if one.fault:
            yield Fault(
                f"the service at {one.place} could not take config.yaml up ({one.fault})",
                "`second-reader config check` says whether it is mended",
            )
        elif one.digest != digest and is_old:
            yield Fault(
                f"the service at {one.place} has not taken config.yaml up",
                "Look at the log of role dicom; restart the service",
            )


CHECKS = (
    Check(
        "unknown callers",
        "A modality that is refused sends nothing, and often says nothing.",
        _unknown_callers,
        "nobody was refused in the last day for not being a peer",
        Needs.ARCHIVE,
    ),
    Check(
        "configuration in force",
        "What config.yaml says counts only once the running service has taken it up.",
        _in_force,
        "no running service goes by another config.yaml",
        Needs.ARCHIVE,
    ),
)
