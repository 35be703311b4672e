"""What the installation stands on: settings, keys, clock, temporary files, limits of the system."""

import resource
import stat
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from inference.protocol import LONGEST_PATH
from service.checks.report import Check, Fault, Needs, warn
from service.checks.scene import Scene
from service.keys import KEY_FILE, PURPOSES_FILE

_SPARE_FILES = 256
"""Files a process needs beside its connections."""


def _settings(scene: Scene) -> Iterator[Fault]:
    scene.raise_unless(scene.config_error)
    mode = stat.S_IMODE(scene.config_file.stat().st_mode)
    if mode & 0o022:
        yield Fault(
            f"{scene.config_file} can be changed by others (mode {mode:04o})",
            f"Run `chmod go-w {scene.config_file}`",
        )


def _keys(scene: Scene) -> Iterator[Fault]:
    scene.raise_unless(scene.keys_error)
    folder = scene.ours.path(scene.ours.settings.keys.folder)
    for name in (KEY_FILE, PURPOSES_FILE):
        mode = stat.S_IMODE((folder / name).stat().st_mode)
        if mode & 0o077:
            yield Fault(
                f"{folder / name} can be read by others (mode {mode:04o})",
                f"Run `chmod 600 {folder / name}`",
            )


def _keys_apart(scene: Scene) -> Iterator[Fault]:
    settings = scene.ours.settings
    keys = scene.ours.path(settings.keys.folder).resolve()
    data = scene.ours.path(settings.archive.folder).resolve()
    if keys.is_relative_to(data):
        yield warn(
            f"the keys folder {keys} is inside of the data folder {data}",
            "Move it out and change `keys.folder`: a backup of the data would hold its keys",
        )


def _clock(scene: Scene) -> Iterator[Fault]:
    now = scene.clock()
    newest = max(_moments(scene), default=now)
    if newest - now > scene.limits.clock_step:
        yield Fault(
            f"the clock says {now:%Y-%m-%d %H:%M:%S} UTC, but a file here is from "
            f"{newest:%Y-%m-%d %H:%M:%S} UTC",
            "Set the clock, and run a time service (chrony, systemd-timesyncd)",
        )


def _moments(scene: Scene) -> Iterator[datetime]:
    settings = scene.ours.settings
    folders = (settings.archive.folder, settings.audit.folder)
    for folder in (scene.ours.path(folder) for folder in folders):
        for path in folder.glob("*"):
            yield datetime.fromtimestamp(path.stat().st_mtime, UTC)
    yield datetime.fromtimestamp(scene.config_file.stat().st_mtime, UTC)


def _temporary(scene: Scene) -> Iterator[Fault]:
    import shutil

    folder = Path(tempfile.gettempdir())
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"\0" * 4096)
    free = shutil.disk_usage(folder).free
    if free < scene.limits.temp_bytes:
        yield warn(
            f"{folder} has only {free // 1024**2} MiB free", "Free space, or set TMPDIR elsewhere"
        )


def _socket(scene: Scene) -> Iterator[Fault]:
    path = scene.ours.path(scene.ours.settings.inference.socket)
    length = len(str(path).encode())
    if length > LONGEST_PATH:
        yield Fault(
            f"the name of the reader's socket {path} has {length} bytes, more than {LONGEST_PATH}",
            "Set `inference.socket` to a short path, such as /run/second-reader/reader.sock",
        )


def _open_files(scene: Scene) -> Iterator[Fault]:
    settings = scene.ours.settings
    needed = max(settings.api.max_connections, settings.dicom_node.max_associations) + _SPARE_FILES
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        yield Fault(
            f"a process may open {soft} files, and {needed} may be needed",
            "Raise the limit (`ulimit -n`, LimitNOFILE=), or lower `api.max_connections`",
        )


FIRST = (
    Check(
        "settings",
        "Nothing starts with a config.yaml that is wrong; who may change it commands the service.",
        _settings,
        "config.yaml is right, and only its owner may change it",
        Needs.NOTHING,
    ),
    Check(
        "keys",
        "Without its keys nothing stored can be read; whoever else has them can read everything.",
        _keys,
        "the key files are there, open, and are readable by their owner alone",
    ),
    Check(
        "keys apart from data",
        "A backup that holds both data and keys protects nothing.",
        _keys_apart,
        "the keys are not inside of the data folder",
    ),
)

LAST = (
    Check(
        "reader socket",
        "The reader cannot listen on a name that is too long for the system.",
        _socket,
        "the name of the reader's socket is short enough",
    ),
    Check(
        "clock",
        "Results, audit records and quiet times carry this clock; one that was set back lies.",
        _clock,
        "the clock is not behind the files that are here",
    ),
    Check(
        "temporary files",
        "Decoders and trainings need some room for them.",
        _temporary,
        "the temporary folder can be written and has room",
    ),
    Check(
        "open files",
        "Beyond the system's limit connections are refused and objects cannot be stored.",
        _open_files,
        "a process may open as many files as the settings allow connections",
    ),
)
