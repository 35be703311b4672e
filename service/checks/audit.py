"""The audit log: whether it holds, is signed, is known outside, and keeps up."""

from collections.abc import Iterator
from datetime import timedelta

from audit.checkpoint import Signer, load_checkpoints
from audit.segments import CHECKPOINTS
from audit.verify import Report, verify
from core.errors import ServiceError
from service.checks.report import Check, Fault, Needs, warn
from service.checks.scene import Scene
from service.keys import Purpose

_LATE = 10
"""A checkpoint is late after so many of its intervals."""


def _log(scene: Scene) -> Iterator[Fault]:
    settings = scene.base.audit_settings
    if not (settings.folder / CHECKPOINTS).exists() and not any(settings.folder.glob("*.log")):
        yield warn("the log has not been begun", "Run `second-reader serve`, which begins it")
        return
    for step in _report(scene).steps:
        for fault in step.faults:
            yield Fault(
                f"{step.question} {fault}",
                "Keep the folder as evidence; run `second-reader audit verify --checkpoint FILE`",
            )


def _checkpoint(scene: Scene) -> Iterator[Fault]:
    settings = scene.base.audit_settings
    report = _report(scene)
    late = timedelta(seconds=settings.checkpoint_interval_s * _LATE)
    signed_at = report.proven_at
    if signed_at is None or report.size <= report.proven_size:
        return
    if scene.clock() - signed_at > late:
        yield Fault(
            f"{report.size - report.proven_size} records are not signed since "
            f"{signed_at:%Y-%m-%d %H:%M:%S} UTC",
            "See the log of the role `worker`, which signs; restart it",
        )


def _outside(scene: Scene) -> Iterator[Fault]:
    settings = scene.base.audit_settings
    if not settings.checkpoint_files:
        yield warn(
            "no checkpoint is kept outside",
            "Name a file on another machine or a write-once medium in `audit.checkpoint_files`",
        )
    data = scene.ours.path(scene.ours.settings.archive.folder).resolve()
    for file in settings.checkpoint_files:
        if file.resolve().is_relative_to(data) or file.resolve().is_relative_to(settings.folder):
            yield warn(f"{file} is inside of the installation", "Keep it on another machine")
        try:
            load_checkpoints(file, _signer(scene).public_key)
        except ServiceError as error:
            yield Fault(error.message, "Let the service write it, or name another file")


def _outbox(scene: Scene) -> Iterator[Fault]:
    outbox, limit_s = scene.base.archive.outbox, scene.base.audit_settings.max_outbox_age_s
    with scene.base.archive.snapshot() as tx:
        age_s = outbox.oldest_pending_age(tx, now=scene.clock())
        waiting = outbox.count_pending(tx)
    if age_s is not None and age_s > limit_s:
        yield Fault(
            f"{waiting} audit records wait for the log, the oldest for {age_s:.0f} s",
            "See the log of the role `worker`; the disk of `audit.folder` may be full",
        )


def _report(scene: Scene) -> Report:
    """Verify the log, once for all checks."""
    if "audit" not in scene.found:
        settings = scene.base.audit_settings
        key = _signer(scene).public_key
        scene.found["audit"] = verify(settings.folder, key, now=scene.clock())
    report = scene.found["audit"]
    assert isinstance(report, Report)
    return report


def _signer(scene: Scene) -> Signer:
    settings = scene.base.audit_settings
    return Signer.of(settings.source_id, scene.base.keyring.key(Purpose.AUDIT_SIGNING))


CHECKS = (
    Check(
        "audit log",
        "A log that does not verify proves nothing, and may have been falsified.",
        _log,
        "the log is the one that was written and signed",
        Needs.ARCHIVE,
    ),
    Check(
        "audit checkpoint",
        "Records after the last checkpoint are not proven yet.",
        _checkpoint,
        "the newest checkpoint is in time",
        Needs.ARCHIVE,
    ),
    Check(
        "checkpoints outside",
        "Without one nobody can tell a log that was cut back or made anew with its own key.",
        _outside,
        "checkpoints are kept outside, too",
        Needs.ARCHIVE,
    ),
    Check(
        "audit outbox",
        "A record that waits long is protected by the database only, and not by the log.",
        _outbox,
        "no audit record waits too long",
        Needs.ARCHIVE,
    ),
)
