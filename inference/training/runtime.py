"""torch and ultralytics, switched so that they neither call out nor run what they load."""

import atexit
import os
import shutil
import tempfile
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from PIL import Image

from core.errors import ConfigurationError, InputError

REQUIRED = ("torch", "torchvision", "ultralytics", "onnx")

_SWITCHES = {
    "YOLO_OFFLINE": "true",
    "YOLO_AUTOINSTALL": "false",  # it would install packages with pip while it runs
    "YOLO_VERBOSE": "false",
    "OMP_WAIT_POLICY": "PASSIVE",  # threads that spin while they wait starve a busy machine
    "ULTRALYTICS_SAFE_LOAD": "1",  # a .pt file is a pickle: load known classes only
}
_REPORTING = ("sync", "clearml", "comet", "dvc", "mlflow", "raytune", "tensorboard", "wandb")
"""Settings of ultralytics that send something somewhere."""


@cache
def prepare_runtime() -> None:
    """Make torch and ultralytics importable, once for this process.

    Must come before the first import of ultralytics, which reads its switches then. What it keeps
    for itself lies in a temporary folder until this process ends.

    Raises
    ------
    ConfigurationError
        If the extra `torch` is not installed.
    """
    missing = [name for name in REQUIRED if find_spec(name) is None]
    if missing:
        raise ConfigurationError(
            f"training needs {', '.join(missing)}, which the base install leaves out",
            remedy="Run: pip install 'second-reader[torch]'",
        )
    folder = tempfile.mkdtemp(prefix="second-reader-ultralytics-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ.update(_SWITCHES, YOLO_CONFIG_DIR=folder)
    _place_font(Path(folder) / "Ultralytics")

    from inference.torch_vision import ensure_operators

    ensure_operators()
    open_picture = Image.open
    from ultralytics.utils import SETTINGS

    Image.open = open_picture  # it puts its own there, which installs what it misses
    SETTINGS.update({name: False for name in _REPORTING})


def load_checked(weights: Path) -> tuple[Any, dict[str, Any]]:
    """Load a checkpoint without running anything in it: network and what was kept beside it.

    Raises
    ------
    InputError
        If it is no checkpoint of ultralytics, or holds anything but a known network.
    """
    prepare_runtime()
    from ultralytics.nn.tasks import load_checkpoint

    if not weights.is_file():
        raise InputError(f"there is no weights file {weights}")
    try:
        network, checkpoint = load_checkpoint(weights)
    except Exception as error:  # a hostile or damaged pickle fails in any way it likes
        raise InputError(
            f"{weights} is no checkpoint that can be loaded safely ({type(error).__name__})",
            remedy="Only checkpoints of ultralytics detectors are accepted",
        ) from error
    return network, checkpoint


@dataclass(frozen=True)
class Trained:
    """What a checkpoint says of itself."""

    labels: tuple[str, ...]
    """In the order of its class numbers."""
    input_px: int
    """Side of the square it was trained on."""


def describe(checkpoint: Path) -> Trained:
    """Return what a checkpoint can find, and in pictures of which size.

    Raises
    ------
    InputError
        If it is no checkpoint that can be loaded safely, or does not say so.
    """
    network, kept = load_checked(checkpoint)
    input_px = (kept.get("train_args") or {}).get("imgsz")
    if not isinstance(input_px, int):
        raise InputError(f"{checkpoint} does not say which input size it was trained on")
    names = (str(network.names[number]) for number in sorted(network.names))
    return Trained(tuple(names), input_px)


def _place_font(folder: Path) -> None:
    """Put any font where ultralytics looks for one; it would download it otherwise."""
    import matplotlib as mpl

    folder.mkdir()
    fonts = Path(mpl.get_data_path()) / "fonts" / "ttf"
    shutil.copyfile(fonts / "DejaVuSans.ttf", folder / "Arial.ttf")
