"""What the checks look at: an installation, opened as far as it opens."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from archive.archive import DATABASE_FILE
from core.clock import Clock, utc_now
from core.errors import CorruptionError, ServiceError
from service.foundation import Foundation, opened
from service.keys import load_keys
from service.settings import Installation, load_settings

GIB = 1024**3


@dataclass(frozen=True)
class Limits:
    """From where on something is wrong, or worth a warning."""

    free_bytes: int = 1 * GIB
    low_bytes: int = 10 * GIB
    temp_bytes: int = 256 * 1024**2
    clock_step: timedelta = timedelta(minutes=1)
    echo_s: float = 5.0
    certificate_time: timedelta = timedelta(days=30)
    list_time: timedelta = timedelta(days=1)


@dataclass(frozen=True)
class Scene:
    """One installation at one moment."""

    config_file: Path
    installation: Installation | None
    foundation: Foundation | None
    config_error: ServiceError | None
    keys_error: ServiceError | None
    archive_error: ServiceError | None
    clock: Clock
    limits: Limits
    found: dict[str, object] = field(default_factory=dict)
    """What several checks need and one of them worked out."""

    @property
    def ours(self) -> Installation:
        """The installation, for checks that rest on it."""
        assert self.installation is not None
        return self.installation

    @property
    def base(self) -> Foundation:
        """The opened installation, for checks that rest on it."""
        assert self.foundation is not None
        return self.foundation

    def raise_unless(self, error: ServiceError | None) -> None:
        """Let the check that a failed opening belongs to tell of it."""
        if error is not None:
            raise error


@contextmanager
def on_scene(
    config_file: Path, *, clock: Clock = utc_now, limits: Limits | None = None
) -> Iterator[Scene]:
    """Open what opens; what does not is kept for the check that tells of it."""
    installation: Installation | None = None
    foundation: Foundation | None = None
    errors: dict[str, ServiceError] = {}
    with ExitStack() as stack:
        try:
            installation = load_settings(config_file)
        except ServiceError as error:
            errors["config"] = error
        if installation is not None:
            foundation = _open(installation, clock, errors, stack)
        yield Scene(
            config_file,
            installation,
            foundation,
            errors.get("config"),
            errors.get("keys"),
            errors.get("archive"),
            clock,
            limits or Limits(),
        )


def _open(
    installation: Installation, clock: Clock, errors: dict[str, ServiceError], stack: ExitStack
) -> Foundation | None:
    try:
        load_keys(installation.path(installation.settings.keys.folder))
    except ServiceError as error:
        errors["keys"] = error
        return None
    try:
        _refuse_missing(installation)
        return stack.enter_context(opened(installation, "cli", clock))
    except ServiceError as error:
        errors["archive"] = error
        return None


def _refuse_missing(installation: Installation) -> None:
    """Never make a new database where one is missing: it would look as if nothing ever came."""
    archive = installation.settings.archive
    file = installation.path(archive.folder) / DATABASE_FILE
    if archive.database_url is None and not file.exists():
        raise CorruptionError(
            f"the database {file} is missing",
            remedy="Restore `archive.folder` from its backup, or run `second-reader init` anew",
        )
