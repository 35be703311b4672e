"""`key status`: the keys of this installation, never what they hold."""

import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer

from service.cli.options import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    complain,
    example,
    print_json,
    print_table,
    say,
)

group = typer.Typer(help="Look at the keys of this installation.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add this group to the command line."""
    app.add_typer(group, name="key")


@group.callback()
def _keys() -> None:
    """Look at the keys of this installation."""


@group.command(epilog=example("second-reader key status --json"))
def status(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Say which keys there are, which version is in use, and whether the files are safe."""
    from audit.vocabulary import Alert
    from service.cli.desk import at_desk
    from service.keys import KEY_FILE, PURPOSES_FILE, Purpose, key_faults

    with at_desk("key status", config) as desk:
        ours = desk.foundation.installation
        folder = ours.path(ours.settings.keys.folder)
        keyring = desk.foundation.keyring
        desk.record(desk.alert(Alert.USE_OF_RESTRICTED_FUNCTION, "the state of the keys was read"))
    faults, purposes = key_faults(folder), sorted(purpose.value for purpose in Purpose)
    files = [_file(folder / name) for name in (KEY_FILE, PURPOSES_FILE)]
    if as_json:
        shown = {
            "kind": "file",
            "folder": folder,
            "version": keyring.version,
            "versions": sorted(keyring.versions),
            "purposes": purposes,
            "files": files,
            "faults": faults,
        }
        print_json(shown)
    else:
        say(f"Key-encryption key: a file. Version in use: {keyring.version}.")
        say(f"Purpose keys: {', '.join(purposes)}; all open.\n")
        rows = ((f["path"], f["mode"], f["changed_at"]) for f in files)
        print_table(("file", "mode", "last changed"), rows)
        say(f"\nBack up {folder} apart from the data: without it nothing stored can be read.")
    for fault in faults:
        complain(fault)
    if faults:
        raise typer.Exit(1)


def _file(path: Path) -> dict[str, Any]:
    found = path.stat()
    changed_at = datetime.fromtimestamp(found.st_mtime, UTC)
    return {"path": path, "mode": f"{stat.S_IMODE(found.st_mode):04o}", "changed_at": changed_at}
