"""`study list | show | retry | cancel`: where every study is on its way."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli.options import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    example,
    print_json,
    print_table,
    say,
)

if TYPE_CHECKING:
    from service.cli.study_view import StudyView

group = typer.Typer(help="See where studies are, and move those that wait.", no_args_is_help=True)

Uid = Annotated[
    str, typer.Argument(metavar="UID", help="Study Instance UID, or our study key from a log line.")
]


def register(app: typer.Typer) -> None:
    """Add this group to the command line."""
    app.add_typer(group, name="study")


@group.command("list", epilog=example("second-reader study list --state HELD --state FAILED"))
def list_studies(
    state: Annotated[
        list[str] | None,
        typer.Option("--state", help="OPEN, SCHEDULED, IN PROGRESS, COMPLETED, FAILED, HELD..."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 100,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """List studies, the one received last first."""
    from archive.entries import StudyFilter
    from service.cli.desk import at_desk
    from service.cli.study_view import summary

    states = _states(state or [])
    with at_desk("study list", config) as desk:
        archive = desk.foundation.archive
        with archive.snapshot() as tx:
            found = archive.catalogue.find(tx, StudyFilter(states=states), limit=limit)
        desk.record(desk.query(f"states={','.join(sorted(states)) or 'any'} limit={limit}"))
    shown = [summary(record) for record in found]
    if as_json:
        print_json(shown)
        return
    columns = ("received", "state", "rev", "hold", "patient", "accession", "modalities", "n", "UID")
    print_table(columns, (_list_row(entry) for entry in shown))


@group.command(epilog=example("second-reader study show 2.25.1234 --json"))
def show(
    uid: Uid,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Show all about the way of one study: state, rule, journey, results, deliveries."""
    from audit import triggers
    from audit.parties import StudyContent
    from service.cli.desk import at_desk
    from service.cli.study_view import locate, view

    with at_desk("study show", config) as desk:
        with desk.looking_up(uid), desk.foundation.archive.snapshot() as tx:
            found = view(desk.foundation, tx, locate(desk.foundation, tx, uid))
        content = StudyContent(found.record.identity)
        desk.record(triggers.instances_accessed(desk.stamp(), (desk.who,), (content,)))
    if as_json:
        print_json(found.as_json())
    else:
        _print_study(found)


@group.command(epilog=example("second-reader study retry 2.25.1234"))
def retry(
    uid: Uid,
    again: Annotated[
        bool, typer.Option("--again", help="Process a study that is COMPLETED once more.")
    ] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Schedule a study again that failed or is held, and deliveries that were given up.

    To retry a held study is the decision of a person that its results may leave.
    """
    from service.cli.desk import at_desk
    from service.cli.study_moves import retry as take_up

    with at_desk("study retry", config) as desk, desk.looking_up(uid):
        moved = take_up(desk, uid, again=again)
    if as_json:
        print_json(moved)
        return
    if moved.attempt is not None:
        say(f"revision {moved.revision} is scheduled, attempt {moved.attempt}")
    if moved.deliveries:
        say(f"{_deliveries(moved.deliveries)} scheduled again")


@group.command(epilog=example("second-reader study cancel 2.25.1234"))
def cancel(uid: Uid, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Stop a study: it is not processed further, and nothing more of it is delivered."""
    from service.cli.desk import at_desk
    from service.cli.study_moves import cancel as stop

    with at_desk("study cancel", config) as desk, desk.looking_up(uid):
        moved = stop(desk, uid)
    if as_json:
        print_json(moved)
        return
    say(f"revision {moved.revision} is {moved.state}; {_deliveries(moved.deliveries)} withdrawn")


def _states(asked: list[str]) -> frozenset[Any]:
    from core.states import RevisionState

    known = {state.value: state for state in RevisionState}
    wanted = [state.upper().replace("_", " ") for state in asked]
    unknown = sorted(set(wanted) - set(known))
    if unknown:
        raise typer.BadParameter(
            f"{', '.join(unknown)} is none of {', '.join(known)}", param_hint="--state"
        )
    return frozenset(known[state] for state in wanted)


def _deliveries(number: int) -> str:
    return "1 delivery is" if number == 1 else f"{number} deliveries are"


def _list_row(shown: dict[str, Any]) -> tuple[object, ...]:
    return (
        shown["received_at"],
        shown["state"],
        shown["revision"],
        shown["hold_reason"],
        shown["patient_id"],
        shown["accession_number"],
        ",".join(shown["modalities"]),
        shown["number_of_instances"],
        shown["study_instance_uid"],
    )


def _print_study(found: "StudyView") -> None:
    shown = found.as_json()
    scalars = (
        "study_instance_uid", "study_key", "patient_id", "issuer_of_patient_id", "accession_number",
        "peer", "state", "revision", "hold_reason", "reason", "number_of_instances", "received_at",
    )  # fmt: skip
    print_table(("", ""), ((name.replace("_", " "), shown[name]) for name in scalars))
    say(f"\ncomplete by: {found.completeness_words()}")
    say("\njourney")
    entries = shown["journey"]
    print_table(
        ("at", "revision", "step", "outcome", "reason"),
        ((e["at"], e["revision"], e["step"], e["outcome"], e["reason"]) for e in entries),
    )
    if found.damaged:
        say("\ndamaged objects")
        rows = ((one.kind, one.row_key, one.found_at, one.reason) for one in found.damaged)
        print_table(("what", "key", "found", "reason"), rows)
    say("\nreadings")
    print_table(
        ("model", "conclusion", "findings", "evaluated", "failed"),
        (
            (r["model"], r["conclusion"], len(r["findings"]), r["evaluated"], r["failed"])
            for r in shown["readings"]
        ),
    )
    findings = [finding for reading in shown["readings"] for finding in reading["findings"]]
    if findings:
        columns = ("finding", "score", "frame", "x1, y1, x2, y2", "instance")
        say()
        print_table(columns, map(_finding_row, findings))
    say("\ndeliveries")
    print_table(
        ("destination", "kind", "state", "attempts", "next attempt", "outcome"),
        (
            (d["destination"], d["kind"], d["state"], d["attempts"], d["next_attempt_at"],
             d["outcome"])
            for d in shown["deliveries"]
        ),
    )  # fmt: skip


def _finding_row(finding: dict[str, Any]) -> tuple[object, ...]:
    box = ", ".join(f"{value:.0f}" for value in finding["bbox"] or ())
    score = f"{finding['score']:.3f}"
    return finding["class"], score, finding["frame"], box, finding["instance_key"]
