"""`apikey add | list | revoke`: who may ask the REST interface for what."""

from datetime import timedelta
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
    from archive.accounts import ApiKey

group = typer.Typer(help="Issue, list and revoke API keys.", no_args_is_help=True)

_SCOPES = "detect, studies:read, studies:retry, results:read, models:read, peers:read, audit:read"


def register(app: typer.Typer) -> None:
    """Add this group to the command line."""
    app.add_typer(group, name="apikey")


@group.command(epilog=example("second-reader apikey add emr --scope results:read --expires 365"))
def add(
    name: Annotated[str, typer.Argument(help="Which integration or person it is for.")],
    scope: Annotated[
        list[str], typer.Option("--scope", help=f"What it may do; repeat it. One of: {_SCOPES}.")
    ],
    expires: Annotated[
        int | None, typer.Option(min=1, max=3650, help="Days until it ends; by default never.")
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Issue an API key. It is shown this once, and only its digest is kept."""
    from audit.vocabulary import Alert
    from service.cli.desk import at_desk

    scopes = _known_scopes(scope)
    with at_desk("apikey add", config) as desk:
        archive, now = desk.foundation.archive, desk.foundation.clock()
        ends = None if expires is None else now + timedelta(days=expires)
        with archive.transaction() as tx:
            issued = archive.accounts.issue(tx, name, scopes, at=now, expires_at=ends)
            what = f"API key {issued.record.prefix} was issued with {', '.join(sorted(scopes))}"
            desk.add(tx, desk.alert(Alert.USER_SECURITY_ATTRIBUTES_CHANGED, what))
    if as_json:
        print_json({"api_key": issued.secret, **_shown(issued.record)})
        return
    say(f"API key, shown this once: {issued.secret}")


@group.command("list", epilog=example("second-reader apikey list --json"))
def list_keys(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """List the API keys by their public prefixes; the keys themselves are not kept."""
    from audit.vocabulary import Alert
    from service.cli.desk import at_desk

    with at_desk("apikey list", config) as desk:
        with desk.foundation.archive.snapshot() as tx:
            found = desk.foundation.archive.accounts.all(tx)
        desk.record(desk.alert(Alert.USE_OF_RESTRICTED_FUNCTION, "the API keys were listed"))
    shown = [_shown(key) for key in found]
    if as_json:
        print_json(shown)
        return
    columns = ("prefix", "name", "scopes", "created", "expires", "last used", "revoked")
    print_table(columns, (_row(entry) for entry in shown))


@group.command(epilog=example("second-reader apikey revoke k3v7q2ab"))
def revoke(
    prefix: Annotated[str, typer.Argument(help="As `apikey list` shows it.")],
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Take an API key back; it opens nothing any more from now on."""
    from audit.vocabulary import Alert
    from service.cli.desk import at_desk

    with at_desk("apikey revoke", config) as desk:
        archive, now = desk.foundation.archive, desk.foundation.clock()
        with archive.transaction() as tx:
            key = archive.accounts.revoke(tx, prefix, at=now)
            what = f"API key {prefix} was revoked"
            desk.add(tx, desk.alert(Alert.USER_SECURITY_ATTRIBUTES_CHANGED, what))
    say(f"{key.prefix} ({key.name}) is revoked")


def _known_scopes(asked: list[str]) -> frozenset[str]:
    from api.events import Scope

    known = {scope.value for scope in Scope}
    unknown = sorted(set(asked) - known)
    if unknown:
        raise typer.BadParameter(
            f"{', '.join(unknown)} is none of {', '.join(sorted(known))}", param_hint="--scope"
        )
    return frozenset(asked)


def _shown(key: "ApiKey") -> dict[str, Any]:
    return {
        "prefix": key.prefix,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "last_used_at": key.last_used_at,
        "revoked_at": key.revoked_at,
    }


def _row(shown: dict[str, Any]) -> tuple[object, ...]:
    moments = (shown[f"{name}_at"] for name in ("created", "expires", "last_used", "revoked"))
    days = (moment.date().isoformat() if moment else "" for moment in moments)
    return (shown["prefix"], shown["name"], ", ".join(shown["scopes"]), *days)
