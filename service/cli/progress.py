"""A progress bar for anything longer than two seconds, on standard error."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from service.cli.options import errors


class Steps:
    """Counts what is done, out of how much there is."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def advance(self, note: str = "") -> None:
        """Count one more as done; `note` stands beside the bar."""
        self._progress.update(self._task, advance=1, note=note)

    def at(self, done: int, note: str = "") -> None:
        """Say how many are done."""
        self._progress.update(self._task, completed=done, note=note)


@contextmanager
def progress(what: str, total: int) -> Iterator[Steps]:
    """Show how far `what` has come while the block runs."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=errors, transient=True) as bar:
        task = bar.add_task(what, total=total, note="")
        yield Steps(bar, task)
