"""`audit read | search | verify | prove | export`: who did what to whose data, and the proof."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from service.cli.options import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    complain,
    count_of,
    example,
    print_json,
    print_table,
    say,
)
from service.cli.progress import progress

if TYPE_CHECKING:
    from audit.search import AuditSearch, LoggedEvent
    from audit.verify import Report

group = typer.Typer(help="Read, search, verify and export the audit log.", no_args_is_help=True)

_MOMENT = "ISO 8601, such as 2026-11-20 or 2026-11-20T10:30:00+01:00; UTC if it names no offset."
Patient = Annotated[str | None, typer.Option("--patient", help="A patient ID, exactly.")]
User = Annotated[
    str | None, typer.Option("--user", help="A login, a person's name or an AE title, exactly.")
]
From = Annotated[str | None, typer.Option("--from", help=_MOMENT)]
To = Annotated[str | None, typer.Option("--to", help="Exclusive; as --from.")]
Event = Annotated[str | None, typer.Option("--event", help="An event's code, such as 110103.")]


def register(app: typer.Typer) -> None:
    """Add this group to the command line."""
    app.add_typer(group, name="audit")


@group.command(epilog=example("second-reader audit read --limit 20"))
def read(
    limit: Annotated[int, typer.Option(min=1, help="How many of the newest records.")] = 50,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Show the newest records, oldest first, those that wait in the outbox included."""
    from service.cli.audit_desk import newest
    from service.cli.desk import at_desk, sequence

    with at_desk("audit read", config) as desk:
        sequence(desk.foundation)
        desk.record(desk.log_used())
        _print_events(newest(desk.foundation, limit), as_json=as_json)


@group.command(epilog=example("second-reader audit search --patient PID-1 --from 2026-11-01"))
def search(
    patient: Patient = None,
    user: User = None,
    start: From = None,
    end: To = None,
    event: Event = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Search all records, those that wait in the outbox included."""
    from audit.search import search as matching
    from service.cli.audit_desk import every_event
    from service.cli.desk import at_desk, sequence

    wanted = _wanted(patient, user, start, end, event)
    with at_desk("audit search", config) as desk:
        sequence(desk.foundation)
        desk.record(desk.log_used().noting(Search=_words(wanted)))
        with progress("searching", None):
            found = list(matching(every_event(desk.foundation), wanted))
        _print_events(found, as_json=as_json)


@group.command(epilog=example("second-reader audit verify --checkpoint /mnt/elsewhere/checkpoints"))
def verify(
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option("--checkpoint", help="A file of checkpoints that was kept outside."),
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Prove that the log is the one that was written; name the first place where it is not."""
    from service.cli.audit_desk import verified
    from service.cli.desk import at_desk, sequence

    with at_desk("audit verify", config) as desk:
        with progress("verifying", None):
            report = verified(desk.foundation, checkpoint or [])
            if report.only_waits:  # all is well, but the service was stopped: bring them in
                sequence(desk.foundation)
                report = verified(desk.foundation, checkpoint or [])
        outcome = "holds" if report.is_ok else "does not hold"
        desk.record(desk.log_used().noting(Verified=outcome, Size=report.size))
    if as_json:
        print_json(_as_json(report))
    else:
        _print_report(report)
    if not report.is_ok:
        raise typer.Exit(1)


@group.command(epilog=example("second-reader audit begin --reason 'the disk was lost, case 17'"))
def begin(
    reason: Annotated[str, typer.Option("--reason", help="Why; it stands in the new log.")],
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Let a new log begin, because the old one is lost or broken. Recorded with your name.

    Move what is left of the old log away first, and keep it as evidence.
    """
    from audit.vocabulary import Alert
    from service.cli.audit_desk import require_no_log
    from service.cli.desk import at_desk

    if not reason.strip():
        raise typer.BadParameter("say why", param_hint="--reason")
    with at_desk("audit begin", config) as desk:
        foundation = desk.foundation
        require_no_log(foundation)
        text = f"the audit log begins anew: {reason}"
        at = foundation.clock()
        event = replace(
            desk.alert(Alert.AUDIT_RECORDING_STARTED, text),
            event_id=foundation.trail.beginning_id(at),
        )
        with foundation.archive.transaction() as tx:
            desk.add(tx, event)
            outbox = foundation.archive.outbox
            again = outbox.begin_anew(tx, event.event_id, at=at)
    say(f"A new log begins with {count_of(again, 'record')} that the database still had.")


@group.command(epilog=example("second-reader audit prove 0b0e...-...-... > bundle.json"))
def prove(
    event_id: Annotated[str, typer.Argument(metavar="ID", help="As `audit read` shows it.")],
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Print the proof that a record is in the log; tools/verify_audit_proof.py checks it alone."""
    from audit.proof import prove as proof_of
    from service.cli.audit_desk import public_key
    from service.cli.desk import at_desk, sequence

    with at_desk("audit prove", config) as desk:
        sequence(desk.foundation)
        folder = desk.foundation.audit_settings.folder
        with progress("proving", None):
            proof = proof_of(folder, event_id, public_key(desk.foundation))
        desk.record(desk.log_used().noting(Proved=event_id))
    typer.echo(proof.to_json(), nl=False)


@group.command(epilog=example("second-reader audit export november.zip --from 2026-11-01"))
def export(
    out: Annotated[Path, typer.Argument(metavar="OUT.zip", help="A file that is not there yet.")],
    patient: Patient = None,
    user: User = None,
    start: From = None,
    end: To = None,
    event: Event = None,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Write a signed bundle of opened records. It names patients, and is to be kept as such."""
    from audit.export import write_bundle
    from core.errors import InputError
    from service.cli.audit_desk import signer
    from service.cli.desk import at_desk, sequence

    wanted = _wanted(patient, user, start, end, event)
    if out.exists():
        raise InputError(f"{out} is there already", remedy="Name another file")
    with at_desk("audit export", config) as desk:
        sequence(desk.foundation)
        foundation = desk.foundation
        desk.record(desk.log_used().noting(Exported=out.absolute().as_uri(), Search=_words(wanted)))
        with progress("exporting", None), _new_file(out) as target:
            number = write_bundle(
                target,
                foundation.audit_settings.folder,
                sealer=foundation.trail.sealer,
                signer=signer(foundation),
                now=foundation.clock(),
                wanted=wanted,
            )
        with foundation.archive.snapshot() as tx:
            waiting = foundation.archive.outbox.count_pending(tx) - 1  # ours came too late for it
    say(f"{count_of(number, 'record')} written to {out}")
    if waiting > 0:
        complain(
            f"not among them, for they still wait in the outbox: {count_of(waiting, 'record')}"
        )


def _wanted(
    patient: str | None, user: str | None, start: str | None, end: str | None, event: str | None
) -> "AuditSearch":
    from audit.search import AuditSearch
    from audit.vocabulary import EventKind

    kinds = {kind.value: kind for kind in EventKind}
    if event is not None and event not in kinds:
        raise typer.BadParameter(
            f"{event} is none of {', '.join(sorted(kinds))}", param_hint="--event"
        )
    return AuditSearch(
        patient_id=patient,
        user=user,
        kind=None if event is None else kinds[event],
        at_from=_moment(start, "--from"),
        at_before=_moment(end, "--to"),
    )


def _moment(text: str | None, option: str) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text} is no date. {_MOMENT}", param_hint=option) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _words(wanted: "AuditSearch") -> str:
    asked = {
        "patient": wanted.patient_id,
        "user": wanted.user,
        "event": wanted.kind.value if wanted.kind else None,
        "from": wanted.at_from,
        "to": wanted.at_before,
    }
    return " ".join(f"{name}={value}" for name, value in asked.items() if value) or "everything"


def _print_events(events: Iterable["LoggedEvent"], *, as_json: bool) -> None:
    from service.cli.audit_desk import as_json as plain

    shown = [plain(logged) for logged in events]
    if as_json:
        print_json(shown)
        return
    columns = ("position", "at", "event", "outcome", "who", "patients", "id")
    print_table(columns, (_row(entry) for entry in shown))


def _row(shown: dict[str, Any]) -> tuple[object, ...]:
    return (
        "outbox" if shown["position"] is None else shown["position"],
        shown["at"],
        f"{shown['event']} {shown['type'] or shown['meaning']}",
        _outcome(shown),
        ", ".join(dict.fromkeys(who["user_id"] for who in shown["participants"])),
        ", ".join(shown["patient_ids"]),
        shown["event_id"],
    )


def _outcome(shown: dict[str, Any]) -> str:
    from audit.vocabulary import Outcome

    word = Outcome(shown["outcome"]).name.lower().replace("_", " ")
    return f"{word}: {shown['outcome_description']}" if shown["outcome_description"] else word


def _as_json(report: "Report") -> dict[str, Any]:
    return {
        "ok": report.is_ok,
        "summary": report.summary(),
        "size": report.size,
        "proven_size": report.proven_size,
        "proven_at": report.proven_at,
        "first_bad": None if report.first_bad is None else report.first_bad.first,
        "first_bad_before": None if report.first_bad is None else report.first_bad.before,
        "has_outside_checkpoint": report.has_outside,
        "steps": [
            {"number": step.number, "question": step.question, "faults": list(step.faults)}
            for step in report.steps
        ],
    }


def _print_report(report: "Report") -> None:
    for step in report.steps:
        say(f"{step.number}. {step.question} {'no' if step.faults else 'yes'}")
        for fault in step.faults:
            say(f"   - {fault}")
    say(f"\n{report.summary()}")
    say("\nThe log holds." if report.is_ok else "\nTHE LOG DOES NOT HOLD.")


@contextmanager
def _new_file(path: Path) -> Iterator[BinaryIO]:
    """Make a file for its owner alone; it is removed again if the block fails."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
    except BaseException:
        path.unlink(missing_ok=True)
        raise
