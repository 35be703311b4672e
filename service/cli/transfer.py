"""`send` and `echo`: speak DICOM to a peer, this service's own node for one."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.options import JsonOption, OptionalConfig, complain, example, print_json, say
from service.cli.progress import progress
from service.cli.secure import SecureOptions, Tls, TlsCa, TlsCertificate, TlsKey, TlsPeer

if TYPE_CHECKING:
    from dicom_node.association import Destination
    from dicom_node.part10 import OutgoingObject
    from dicom_node.settings import TlsCallSettings
    from dicom_node.store_scu import SendOutcome

Called = Annotated[str, typer.Option("--called", help="AE title of the peer.")]
Calling = Annotated[str, typer.Option("--calling", help="AE title to introduce ourselves with.")]


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command(
        epilog=example("second-reader send study/ --to 127.0.0.1:11112 --called SECOND_READER")
    )(send)
    app.command(epilog=example("second-reader echo 127.0.0.1:11112 --called SECOND_READER"))(echo)


def send(
    paths: Annotated[list[Path], typer.Argument(help="DICOM files, folders or ZIP archives.")],
    to: Annotated[str, typer.Option("--to", help="HOST:PORT of the peer.")],
    called: Called,
    calling: Calling = "SECOND_READER",
    tls: Tls = False,
    tls_certificate: TlsCertificate = None,
    tls_key: TlsKey = None,
    tls_ca: TlsCa = None,
    tls_peer: TlsPeer = None,
    config: OptionalConfig = None,
    as_json: JsonOption = False,
) -> None:
    """Send DICOM objects by C-STORE; say of each that was not stored why.

    The transfer is in the audit log of the installation, if there is one here.
    """
    from dicom_node.store_scu import SendState
    from dicom_node.store_scu import send as store
    from service.cli.sending import ledger

    secure = SecureOptions(tls, tls_certificate, tls_key, tls_ca, tls_peer)
    destination = _destination(to, called, calling, secure.settings(config))
    with progress("looking", None):
        named, skipped = _objects(paths)
    names, objects = [name for name, _ in named], [outgoing for _, outgoing in named]
    with ledger(config, destination) as book:
        book.began(objects)
        with progress("sending", len(objects)) as steps:
            outcomes = store(objects, destination, on_progress=lambda _: steps.advance())
        book.ended(outcomes)
    failed = [
        (name, outcome.text)
        for name, outcome in zip(names, outcomes, strict=True)
        if outcome.state is SendState.FAILED
    ]
    _report(outcomes, failed, skipped, as_json=as_json)
    if failed or skipped or not outcomes:
        raise typer.Exit(1)


def echo(
    to: Annotated[str, typer.Argument(metavar="HOST:PORT", help="The peer to ask.")],
    called: Called,
    calling: Calling = "SECOND_READER",
    tls: Tls = False,
    tls_certificate: TlsCertificate = None,
    tls_key: TlsKey = None,
    tls_ca: TlsCa = None,
    tls_peer: TlsPeer = None,
    config: OptionalConfig = None,
) -> None:
    """Ask a peer whether it is there and knows us (C-ECHO)."""
    from dicom_node.association import echo as verify

    secure = SecureOptions(tls, tls_certificate, tls_key, tls_ca, tls_peer)
    seconds = verify(_destination(to, called, calling, secure.settings(config)))
    say(f"{called} at {to} answered in {seconds * 1000:.0f} ms{' over TLS' if tls else ''}")


def _objects(paths: list[Path]) -> tuple[list[tuple[str, "OutgoingObject"]], list[tuple[str, str]]]:
    """Return what can be sent, and what is no DICOM object with the reason."""
    from core.errors import MalformedInstanceError
    from dicom_node.part10 import from_part10
    from service.cli.sources import sources

    objects: list[tuple[str, OutgoingObject]] = []
    skipped: list[tuple[str, str]] = []
    for source in sources(paths):
        try:
            objects.append((source.name, from_part10(source.read)))
        except MalformedInstanceError as error:
            skipped.append((source.name, str(error)))
    return objects, skipped


def _destination(
    to: str, called: str, calling: str, tls: "TlsCallSettings | None"
) -> "Destination":
    from dicom_node.association import Destination

    match = re.fullmatch(r"\[?([^\]]+?)\]?:(\d{1,5})", to)
    if match is None or not 0 < int(match[2]) < 65536:
        raise typer.BadParameter(f"{to} is not HOST:PORT", param_hint="--to")
    return Destination(called, match[1], int(match[2]), called, calling, tls=tls)


def _report(
    outcomes: list["SendOutcome"],
    failed: list[tuple[str, str]],
    skipped: list[tuple[str, str]],
    *,
    as_json: bool,
) -> None:
    stored = len(outcomes) - len(failed)
    if as_json:
        print_json({"stored": stored, "failed": failed, "skipped": skipped})
        return
    for name, reason in (*failed, *skipped):
        complain(f"{name}: {reason}")
    say(f"{stored} stored, {len(failed)} failed, {len(skipped)} not DICOM")
