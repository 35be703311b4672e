"""What is kept: folders, space, the database, the sealed objects."""

import math
import shutil
import tempfile
from collections.abc import Iterator

from service.checks.report import Check, Fault, Needs, warn
from service.checks.scene import GIB, Scene

_SHOWN = 3


def _archive(scene: Scene) -> Iterator[Fault]:
    scene.raise_unless(scene.archive_error)
    if scene.foundation is None:
        yield Fault("the archive was not opened, because the keys do not open", "Mend the keys")


def _writable(scene: Scene) -> Iterator[Fault]:
    settings = scene.ours.settings
    folders = {
        "archive.folder": settings.archive.folder,
        "archive.keystore_folder": settings.archive.keystore_folder,
        "audit.folder": settings.audit.folder,
    }
    for name, folder in folders.items():
        path = scene.ours.path(folder)
        try:
            with tempfile.TemporaryFile(dir=path) as file:
                file.write(b"\0")
        except OSError as error:
            yield Fault(
                f"{path} (`{name}`) cannot be written ({error.strerror})",
                "Give it to the user that runs the service, or mount it writable",
            )


def _space(scene: Scene) -> Iterator[Fault]:
    folder = scene.ours.path(scene.ours.settings.archive.folder)
    free = shutil.disk_usage(folder).free
    text = f"the disk of {folder} has {free / GIB:.1f} GiB free"
    remedy = "Free space, or move `archive.folder` to a larger disk; a full disk refuses senders"
    if free < scene.limits.free_bytes:
        yield Fault(text, remedy)
    elif free < scene.limits.low_bytes:
        yield warn(text, remedy)


def _database(scene: Scene) -> Iterator[Fault]:
    database = scene.base.archive.database
    if not database.is_sqlite:
        return
    with database.snapshot() as tx:
        run = tx.connection.exec_driver_sql
        mode = run("PRAGMA journal_mode").scalar_one()
        found = [str(row[0]) for row in run(f"PRAGMA quick_check({_SHOWN})")]
    if mode != "wal":
        yield Fault(
            f"the database is in journal mode {mode}, not WAL",
            "Put `archive.folder` on a local disk: SQLite has no WAL on a network share",
        )
    if found != ["ok"]:
        yield Fault(
            f"the database is damaged ({len(found)} faults or more)",
            "Stop the service and restore `archive.folder` from its backup",
        )


def _objects(scene: Scene) -> Iterator[Fault]:
    # With no end to the grace time nothing is removed: this only compares.
    report = scene.base.archive.upkeep.sweep(now=scene.clock().timestamp(), grace_s=math.inf)
    if report.missing:
        keys = sorted({missing.study_key for missing in report.missing})
        shown = ", ".join(keys[:_SHOWN]) + (", ..." if len(keys) > _SHOWN else "")
        yield Fault(
            f"{len(report.missing)} sealed objects are missing, of the studies {shown}",
            "Restore `archive.folder` from its backup; the objects were acknowledged",
        )


CHECKS = (
    Check(
        "archive",
        "With other keys or another version's database every study would begin anew.",
        _archive,
        "the database is there, and these are its keys",
    ),
    Check(
        "folders",
        "What cannot be written cannot be kept, so that every sender is refused.",
        _writable,
        "data, keystore and audit log can be written",
    ),
    Check(
        "disk space",
        "On a full disk senders are told to come back later, and studies pile up at their end.",
        _space,
        "there is room on the disk of the archive",
    ),
    Check(
        "database",
        "The database says what is here and what is on its way.",
        _database,
        "the database is whole, and in WAL mode",
        Needs.ARCHIVE,
    ),
    Check(
        "sealed objects",
        "A row without its object is data that was acknowledged and is lost.",
        _objects,
        "every object that the database names is on the disk",
        Needs.ARCHIVE,
    ),
)
