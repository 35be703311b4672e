"""Options and output that several commands share."""

import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, is_dataclass
from datetime import date, datetime
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from service.settings import CONFIG_FILE, Installation, load_settings

CONFIG_VARIABLE = "SECOND_READER_CONFIG"

ConfigOption = Annotated[
    Path,
    typer.Option(
        "--config",
        "-c",
        help="The installation's config.yaml.",
        envvar=CONFIG_VARIABLE,
        show_default=True,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

DEFAULT_CONFIG = Path(CONFIG_FILE)

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)


def example(text: str) -> str:
    """Return the epilog of a command: an example that can be typed."""
    return f"Example:\n\n    {text}"


def installation(config: Path) -> Installation:
    """Read the installation that a command works on."""
    return load_settings(config)


def operator() -> str:
    """Name the person at the keyboard, for the audit log."""
    return os.environ.get("SUDO_USER") or os.environ.get("USER") or f"uid {os.getuid()}"


def print_json(value: object) -> None:
    """Print plain data, dataclasses included, as JSON."""
    typer.echo(json.dumps(_plain(value), indent=2, ensure_ascii=False))


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = ""
) -> None:
    """Print rows under their columns."""
    table = Table(*columns, title=title or None, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*("" if cell is None else str(cell) for cell in row))
    console.print(table)


def _plain(value: Any) -> Any:  # noqa: ANN401 - any data a command prints
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    return _SCALARS[type(value)](value) if type(value) in _SCALARS else _other(value)


def _other(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, Enum):
        return value.value
    return value if isinstance(value, str | int | float | bool | None) else str(value)


_SCALARS: dict[type, Callable[[Any], Any]] = {
    datetime: lambda value: value.isoformat(),
    date: lambda value: value.isoformat(),
}
