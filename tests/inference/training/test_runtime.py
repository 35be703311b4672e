import pickle
from importlib import util
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from core.errors import ConfigurationError, InputError
from inference.training import runtime
from inference.training.runtime import load_checked, prepare_runtime


def test_without_the_extra_one_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def find_spec(name: str) -> ModuleSpec | None:
        return None if name == "torch" else util.find_spec(name)

    monkeypatch.setattr(runtime, "find_spec", find_spec)
    with pytest.raises(ConfigurationError, match=r"pip install 'second-reader\[torch\]'"):
        prepare_runtime.__wrapped__()


class _Hostile:
    """Unpickling this creates a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (self.target,)  # type: ignore[return-value]  # any callable will do


def test_a_hostile_checkpoint_is_refused_and_runs_nothing(
    tmp_path: Path, torch_runtime: None
) -> None:
    import torch

    target = tmp_path / "ran"
    zipped, plain = tmp_path / "zipped.pt", tmp_path / "plain.pt"
    torch.save({"model": _Hostile(target)}, zipped)
    plain.write_bytes(pickle.dumps(_Hostile(target)))
    for weights in (zipped, plain):
        with pytest.raises(InputError, match="no checkpoint that can be loaded safely"):
            load_checked(weights)
    assert not target.exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"GIF89a"])
def test_a_damaged_checkpoint_is_refused_by_name(
    tmp_path: Path, torch_runtime: None, content: bytes
) -> None:
    weights = tmp_path / "weights.pt"
    weights.write_bytes(content)
    with pytest.raises(InputError, match=r"weights\.pt is no checkpoint"):
        load_checked(weights)


def test_what_ultralytics_replaces_in_pillow_is_put_back(torch_runtime: None) -> None:
    from PIL import Image

    assert Image.open.__module__ == "PIL.Image"
