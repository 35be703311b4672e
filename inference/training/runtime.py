"""torch and ultralytics, switched so that they neither call out nor run what they load."""

import os
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from core.errors import ConfigurationError, InputError

REQUIRED = ("torch", "torchvision", "ultralytics")

_SWITCHES = {
    "YOLO_OFFLINE": "true",
    "YOLO_AUTOINSTALL": "false",  # it would install packages with pip while it runs
    "YOLO_VERBOSE": "false",
    "ULTRALYTICS_SAFE_LOAD": "1",  # a .pt file is a pickle: load known classes only
}
_REPORTING = ("sync", "clearml", "comet", "dvc", "mlflow", "raytune", "tensorboard", "wandb")
"""Settings of ultralytics that send something somewhere."""


def prepare_runtime(folder: Path) -> None:
    """Make torch and ultralytics importable, with their own files under `folder`.

    Must come before the first import of ultralytics in this process: it reads its switches then.

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
    os.environ.update(_SWITCHES)
    os.environ.setdefault("YOLO_CONFIG_DIR", str(folder))
    _place_font(Path(os.environ["YOLO_CONFIG_DIR"]) / "Ultralytics")

    from inference.torch_vision import ensure_operators

    ensure_operators()
    from ultralytics.utils import SETTINGS

    SETTINGS.update({name: False for name in _REPORTING})


def load_checked(weights: Path) -> tuple[Any, dict[str, Any]]:
    """Load a checkpoint without running anything in it: network and what was kept beside it.

    Call `prepare_runtime` first.

    Raises
    ------
    InputError
        If it is no checkpoint of ultralytics, or holds anything but a known network.
    """
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


def _place_font(folder: Path) -> None:
    """Put any font where ultralytics looks for one; it would download it otherwise."""
    font = folder / "Arial.ttf"
    if font.exists():
        return
    import matplotlib as mpl

    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", font)
