"""Options and output that several commands share. Imports nothing heavy: `--help` needs it too."""

import json
import os
import pwd
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, is_dataclass
from datetime import date, datetime
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from service.settings import Installation

CONFIG_VARIABLE = "SECOND_READER_CONFIG"
DEFAULT_CONFIG = Path("config.yaml")
_LOGIN_UID = Path("/proc/self/loginuid")
_NOBODY_LOGGED_IN = 2**32 - 1

ConfigOption = Annotated[
    Path,
    typer.Option("--config", "-c", help="The installation's config.yaml.", envvar=CONFIG_VARIABLE),
]
OptionalConfig = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        help="The installation whose settings and audit log are used; by default ./config.yaml, "
        "if it is there.",
        envvar=CONFIG_VARIABLE,
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


_ACTING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Control characters but line feed and tab: a terminal obeys them (ECMA-48)."""


def example(text: str) -> str:
    """Return the epilog of a command: an example that can be typed."""
    return f"Example:\n\n    {text}"


def installation(config: Path) -> "Installation":
    """Read the installation that a command works on."""
    from service.settings import load_settings

    return load_settings(config)


def operator() -> str:
    """Name the person at the keyboard, for the audit log.

    By the kernel, which knows who logged in even after `sudo`, and not by what the environment
    says; only root, who can be anybody, is believed that.
    """
    uid = _login_uid()
    if uid == 0 and (caller := os.environ.get("SUDO_USER")):
        return caller
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _login_uid() -> int:
    """Return who logged in; who this process is, where nobody did. Source: proc(5)."""
    try:
        uid = int(_LOGIN_UID.read_text())
    except (OSError, ValueError):
        return os.getuid()
    return os.getuid() if uid == _NOBODY_LOGGED_IN else uid


def count_of(number: int, thing: str) -> str:
    """Return "1 record", "2 records"."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def say(text: str = "") -> None:
    """Print a line for people."""
    typer.echo(_shown(text))


def complain(text: str) -> None:
    """Print a line on standard error."""
    typer.echo(_shown(text), err=True)


def _shown(text: str) -> str:
    """Return text in which nothing acts on a terminal: names of files and objects are data."""
    return _ACTING.sub(_escaped, text)


def _escaped(match: "re.Match[str]") -> str:
    return f"\\u{ord(match[0]):04x}"


def print_json(value: object) -> None:
    """Print plain data, dataclasses included, as JSON."""
    typer.echo(to_json(value))


def to_json(value: object) -> str:
    """Return plain data, dataclasses included, as JSON."""
    return _ACTING.sub(_escaped, json.dumps(_plain(value), indent=2, ensure_ascii=False))


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = ""
) -> None:
    """Print rows under their columns, "none" if there are none; only a terminal wraps them."""
    rows = list(rows)
    if not rows:
        say("none")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(
        *columns,
        title=title or None,
        title_justify="left",
        box=None,
        pad_edge=False,
        header_style="bold",
        show_header=any(columns),
    )
    for row in rows:
        table.add_row(*map(_cell, row))
    width = None if sys.stdout.isatty() else 10_000
    Console(highlight=False, markup=False, width=width).print(table)


def _cell(value: object) -> str:
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    return "" if value is None else _shown(str(value))


def _plain(value: Any) -> Any:  # noqa: ANN401 - any data a command prints
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    return _scalar(value)


def _scalar(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Enum):
        return value.value
    return value if isinstance(value, str | int | float | bool | None) else str(value)
