"""A progress bar for anything longer than two seconds, on standard error."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Steps:
    """Counts what is done, out of how much there is."""

    def __init__(self, progress: "Progress", task: "TaskID") -> None:
        self._progress = progress
        self._task = task

    def advance(self, note: str = "") -> None:
        """Count one more as done; `note` stands beside the bar."""
        self._progress.update(self._task, advance=1, note=note)

    def at(self, done: int, note: str = "") -> None:
        """Say how many are done."""
        self._progress.update(self._task, completed=done, note=note)

    def note(self, note: str) -> None:
        """Put a few words beside the bar."""
        self._progress.update(self._task, note=note)

    def of(self, done: int, total: int) -> None:
        """Say how many of how many are done."""
        self._progress.update(self._task, completed=done, total=total)


@contextmanager
def progress(what: str, total: int | None) -> Iterator[Steps]:
    """Show how far `what` has come while the block runs; a total of None shows only that it runs.

    The bar stands on standard error and goes away at the end; what is piped stays clean.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    counted = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    columns = (
        TextColumn("{task.description}"),
        *((SpinnerColumn(), TimeElapsedColumn()) if total is None else counted),
        TextColumn("{task.fields[note]}"),
    )
    console = Console(stderr=True, highlight=False)
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        yield Steps(bar, bar.add_task(what, total=total, note=""))
