"""Tiny annotated frames for tests: a bright disc on grey noise."""

from pathlib import Path

import numpy as np
from PIL import Image


def write_discs(folder: Path, count: int, *, size: int = 64, seed: int = 0) -> None:
    """Write images/N.png and masks/N.png with one disc each."""
    rng = np.random.default_rng(seed)
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    ys, xs = np.mgrid[:size, :size]
    for number in range(count):
        x, y = rng.uniform(0.3 * size, 0.7 * size, 2)
        disc = (xs - x) ** 2 + (ys - y) ** 2 < (0.2 * size) ** 2
        picture = np.where(disc[..., None], (220, 60, 60), (120, 120, 120)) + rng.normal(
            0, 5, (size, size, 3)
        )
        Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(folder / f"images/{number}.png")
        Image.fromarray(disc.astype(np.uint8) * 255).save(folder / f"masks/{number}.png")
