"""`peer list | unknown | allow | remove | forget`: who may connect, and who would like to."""

from typing import TYPE_CHECKING, Annotated

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
    from api.views import PeerCard, RefusedCaller
    from service.peers import Network

group = typer.Typer(
    help="Show who may connect and who was refused; allow and remove peers.", no_args_is_help=True
)

_CallerId = Annotated[str, typer.Argument(metavar="ID", help="As `peer unknown` shows it.")]
_RIGHTS = ("echo", "store")


def register(app: typer.Typer) -> None:
    """Add this group to the command line."""
    app.add_typer(group, name="peer")


@group.command("list", epilog=example("second-reader peer list"))
def list_peers(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """List the peers of config.yaml, what each may do, and when it was last here."""
    from audit.vocabulary import Alert
    from service.cli.desk import at_desk
    from service.peer_directory import Peers

    with at_desk("peer list", config) as desk:
        foundation = desk.foundation
        roll = Peers(foundation.archive, foundation.installation).peers()
        desk.record(desk.alert(Alert.USE_OF_RESTRICTED_FUNCTION, "the peers were listed"))
    if as_json:
        print_json(roll.peers)
        return
    columns = ("name", "AE title", "calls us", "addresses", "certificates", "may", "last seen")
    print_table(columns, (_peer_row(peer) for peer in roll.peers))


@group.command(epilog=example("second-reader peer unknown --json"))
def unknown(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """List who was refused, newest first: why, how often, and what would let it in."""
    from audit.vocabulary import Alert
    from service.cli.desk import at_desk
    from service.peer_directory import Peers

    with at_desk("peer unknown", config) as desk:
        found = Peers(desk.foundation.archive, desk.foundation.installation).refused()
        text = "the list of refused callers was read"
        desk.record(desk.alert(Alert.USE_OF_RESTRICTED_FUNCTION, text))
    if as_json:
        print_json(found)
        return
    columns = ("id", "from", "AE title", "calls us", "times", "last", "refused because")
    print_table(columns, (_caller_row(one) for one in found))
    if found:
        say("\nWhat lets each of them in:")
    for one in found:
        say(f"  {one.id}  {one.what_allows}")


@group.command(epilog=example("second-reader peer allow k3v7q2ab --name ct1"))
def allow(
    caller_id: _CallerId,
    name: Annotated[str, typer.Option("--name", help="How the new peer is called here.")],
    issuer: Annotated[
        str, typer.Option(help="Who issued patient IDs in objects that do not say so.")
    ] = "",
    rights: Annotated[
        str, typer.Option("--allow", help="What it may ask: echo, store; by default both.")
    ] = "",
    address: Annotated[
        str | None,
        typer.Option(help="Address or range (CIDR); by default the one that it called from."),
    ] = None,
    shared_address: Annotated[
        bool, typer.Option("--shared-address", help="Although another peer has this address.")
    ] = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Let somebody in who was refused: writes its entry into config.yaml, comments kept.

    The running service takes it up within seconds. Whatever another peer has already, and AE
    titles with odd characters, are shown and refused.
    """
    from service.cli.peer_desk import allow as allow_at_desk
    from service.peers import Wish

    wish = Wish(name, issuer, _rights(rights), _network(address), shared_address)
    done = allow_at_desk(config, caller_id, wish)
    written = done.written
    say(f"{name} may connect: as {written['ae_title']} from {', '.join(written['addresses'])}")
    say(done.told)


@group.command(epilog=example("second-reader peer remove ct1"))
def remove(
    name: Annotated[str, typer.Argument(help="As `peer list` shows it.")],
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Take a peer out of config.yaml; what it is just sending is finished, then it is cut off."""
    from service.cli.peer_desk import remove as remove_at_desk

    told = remove_at_desk(config, name)
    say(f"{name} may not connect any more")
    say(told)


@group.command(epilog=example("second-reader peer forget k3v7q2ab"))
def forget(caller_id: _CallerId, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Take somebody off the list of refused callers; who calls again is listed again."""
    from audit.vocabulary import Alert
    from service.cli.desk import at_desk

    with at_desk("peer forget", config) as desk:
        archive = desk.foundation.archive
        with archive.transaction() as tx:
            caller = archive.callers.get(tx, caller_id)
            archive.callers.forget(tx, caller_id)
            what = f"the refused caller {caller_id} at {caller.caller.address} was forgotten"
            desk.add(tx, desk.alert(Alert.SOFTWARE_CONFIGURATION, what))
    say(f"{caller_id} is forgotten")


def _rights(text: str) -> tuple[str, ...]:
    asked = tuple(part.strip() for part in text.split(",") if part.strip())
    unknown = sorted(set(asked) - set(_RIGHTS))
    if unknown:
        raise typer.BadParameter(
            f"{', '.join(unknown)} is none of {', '.join(_RIGHTS)}", param_hint="--allow"
        )
    return asked


def _network(text: str | None) -> "Network | None":
    from ipaddress import ip_network

    try:
        return None if text is None else ip_network(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text} is no address and no range such as 192.0.2.0/28", param_hint="--address"
        ) from None


def _peer_row(peer: "PeerCard") -> tuple[object, ...]:
    lists = map(", ".join, (peer.addresses, peer.certificates, peer.allow))
    return (peer.name, peer.ae_title, peer.called_ae_title, *lists, peer.last_seen_at or "never")


def _caller_row(one: "RefusedCaller") -> tuple[object, ...]:
    who = (one.id, one.address, one.calling_ae_title, one.called_ae_title)
    return (*who, one.count, one.last_at, one.reason)
