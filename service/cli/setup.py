"""`init`: a new installation."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.options import JsonOption, example, print_json, say

if TYPE_CHECKING:
    from service.cli.desk import Desk
    from service.settings import Installation

FIRST_KEY_NAME = "first key"

CONFIG = """\
# Second Reader. What is left out has its default; paths are relative to this file.
# `second-reader config schema --yaml` prints every key with its default and its reason.
# `second-reader config check` says whether this file is right; `second-reader doctor`, whether
# the installation is.

dicom_node:
  ae_title: SECOND_READER
  port: 11112
  # Who may send. Without a peer nobody can: a peer is known by its AE titles and its address.
  # peers:
  #   - name: endoscopy-1
  #     ae_title: ENDO1
  #     addresses: [192.0.2.10/32]
  #     issuer_of_patient_id: HOSPITAL-A

completeness:
  # A study is complete when nothing more of it arrived for so long.
  quiet_time_s: 60
  by_modality: {ES: 180, US: 180}

inference:
  # Which models read which studies; `second-reader model list` shows what is here.
  models:
    - name: polyp

delivery:
  # Where results go. Without a destination they stay here and are served by REST.
  destinations: []
  # destinations:
  #   - name: pacs
  #     host: pacs.example.org
  #     port: 104
  #     called_ae_title: PACS

audit:
  # Give each installation its own name.
  source_id: second-reader
  # Keep at least one of these where this service cannot rewrite it.
  checkpoint_files: []
  # checkpoint_files: [/mnt/elsewhere/second-reader.checkpoints]

api:
  host: 127.0.0.1
  port: 8080
"""


@dataclass(frozen=True)
class Installed:
    """A new installation, and the only sight of its first API key."""

    config: Path
    keys: Path
    api_key: str = field(repr=False)


def register(app: typer.Typer) -> None:
    """Add this command to the command line."""
    app.command(epilog=example("second-reader init /srv/second-reader"))(init)


def init(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where it is made.")] = Path(),
    as_json: JsonOption = False,
) -> None:
    """Make an installation: config.yaml, keys, database, and a first API key, shown once."""
    made = install(folder)
    if as_json:
        print_json({"api_key": made.api_key, "config": made.config, "keys": made.keys})
        return
    say(f"A new installation is in {made.config.parent}.\n")
    say(f"API key, shown this once: {made.api_key}\n")
    say(f"Back up {made.keys} now, apart from the data, where few can read it:")
    say(f"    cp -a {made.keys} /a/safe/place")
    say("Whoever holds these keys and the data can read everything; without them nobody can.\n")
    say(f"Next: name your peers in {made.config}, then run")
    say(f"    second-reader doctor --config {made.config}")
    say(f"    second-reader serve --config {made.config}")


def install(folder: Path, config: str = CONFIG) -> Installed:
    """Make an installation in `folder` whose config.yaml is `config`; undone if anything fails.

    Raises
    ------
    ConfigurationError
        If there is an installation, or a part of one, already.
    """
    from service.settings import CONFIG_FILE, Installation, parse_settings

    file = folder.absolute() / CONFIG_FILE
    installation = Installation(parse_settings(config, file), file.parent, file)
    _refuse_present(installation)
    was_there = folder.exists()
    try:
        api_key = _make(installation, config)
    except BaseException:
        _undo(installation, was_there=was_there)
        raise
    return Installed(file, installation.path(installation.settings.keys.folder), api_key)


def _make(installation: "Installation", config: str) -> str:
    from service.cli.desk import at_desk
    from service.keys import create_keys

    installation.folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    installation.config_file.write_text(config, encoding="utf-8")
    create_keys(installation.path(installation.settings.keys.folder))
    with at_desk("init", installation.config_file) as desk:
        return _first_api_key(desk)


def _first_api_key(desk: "Desk") -> str:
    from api.events import Scope
    from audit.vocabulary import Alert

    archive, now = desk.foundation.archive, desk.foundation.clock()
    with archive.transaction() as tx:
        issued = archive.accounts.issue(
            tx, FIRST_KEY_NAME, (scope.value for scope in Scope), at=now
        )
        prefix = issued.record.prefix
        desk.add(tx, desk.alert(Alert.SECURITY_CONFIGURATION, "the installation was made"))
        desk.add(
            tx,
            desk.alert(
                Alert.USER_SECURITY_ATTRIBUTES_CHANGED,
                f"API key {prefix} was issued with every scope",
            ),
        )
    return issued.secret


def _parts(installation: "Installation") -> tuple[Path, ...]:
    """Return everything that `init` makes."""
    settings = installation.settings
    folders = (
        settings.keys.folder,
        settings.archive.folder,
        settings.archive.keystore_folder,
        settings.audit.folder,
    )
    return (installation.config_file, *map(installation.path, folders))


def _refuse_present(installation: "Installation") -> None:
    from core.errors import ConfigurationError

    present = [path.name for path in _parts(installation) if path.exists()]
    if present:
        raise ConfigurationError(
            f"{installation.folder} holds an installation already ({', '.join(present)})",
            remedy="Name an empty folder; `second-reader doctor` looks at the one that is there",
        )


def _undo(installation: "Installation", *, was_there: bool) -> None:
    for path in _parts(installation):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    if not was_there and installation.folder.is_dir():
        shutil.rmtree(installation.folder, ignore_errors=True)
