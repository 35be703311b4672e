"""Draw an invented colonoscopy frame with one polyp: the demo's input, and nothing of any patient.

A height field is lit from the endoscope: the wall of a tube with folds, a lumen, a raised polyp.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from core.findings import Box

SIDE_PX = 352

Field = NDArray[np.float64]


@dataclass(frozen=True)
class Polyp:
    """Where the polyp stands and how it is shaped, in units of the picture's side."""

    x: float
    y: float
    radius: float
    stretch: float
    angle: float
    lobes: float
    lobe_phase: float


def draw_frame(seed: int) -> tuple[NDArray[np.uint8], list[Box]]:
    """Return a picture, (352, 352, 3) RGB, and the box of its polyp; the same for the same seed."""
    rng = np.random.default_rng(seed)
    ys, xs = (np.mgrid[:SIDE_PX, :SIDE_PX] + 0.5) / SIDE_PX
    lumen = 0.5 + 0.22 * np.array([np.cos(turn := rng.uniform(0, 2 * np.pi)), np.sin(turn)])
    polyp = _place_polyp(rng, lumen)
    inside, dome = _dome(polyp, xs, ys)
    depth = np.hypot(xs - lumen[0], ys - lumen[1])
    height = _wall(rng, xs, ys, depth, lumen) * (1 - inside) + 0.85 * polyp.radius * dome
    light, gloss = _lit(height + 0.0011 * _noise(rng, 30), lumen)
    colour = _mucosa(rng) * (1 - inside[..., None]) + _polyp_colour(rng) * inside[..., None]
    shade = np.clip(0.22 + 1.5 * depth, 0.12, 1.0) * (1 - 0.35 * _contact_shadow(inside))
    picture = colour * (light * shade)[..., None] + 0.75 * gloss[..., None]
    picture *= _vignette(xs, ys)[..., None]
    return _developed(rng, picture), [_box(inside)]


def _place_polyp(rng: np.random.Generator, lumen: Field) -> Polyp:
    away = np.array([0.5, 0.5]) - lumen
    centre = np.array([0.5, 0.5]) + away / np.hypot(*away) * rng.uniform(0.02, 0.16)
    centre += rng.uniform(-0.06, 0.06, 2)
    return Polyp(
        x=float(centre[0]),
        y=float(centre[1]),
        radius=rng.uniform(0.11, 0.19),
        stretch=rng.uniform(0.8, 1.25),
        angle=rng.uniform(0, np.pi),
        lobes=rng.uniform(0.02, 0.07),
        lobe_phase=rng.uniform(0, 2 * np.pi),
    )


def _dome(polyp: Polyp, xs: Field, ys: Field) -> tuple[Field, Field]:
    """Return how much each pixel belongs to the polyp, 0 to 1, and its height there, 0 to 1."""
    x, y = xs - polyp.x, ys - polyp.y
    along = (x * np.cos(polyp.angle) + y * np.sin(polyp.angle)) / polyp.stretch
    across = (y * np.cos(polyp.angle) - x * np.sin(polyp.angle)) * polyp.stretch
    turn = np.arctan2(across, along)
    rim = 1 + polyp.lobes * (np.cos(3 * turn + polyp.lobe_phase) + 0.6 * np.cos(5 * turn))
    distance = np.hypot(along, across) / (polyp.radius * rim)
    inside = np.clip((1 - distance) * polyp.radius * SIDE_PX / 2.5 + 0.5, 0, 1)
    return inside, np.asarray(np.sqrt(np.clip(1 - distance**2, 0, None)))


def _wall(rng: np.random.Generator, xs: Field, ys: Field, depth: Field, lumen: Field) -> Field:
    """Return the height of the bowel wall: folds that run around the lumen, and gentle waves."""
    turn = np.arctan2(ys - lumen[1], xs - lumen[0])
    warp = 0.5 * _noise(rng, 4) + 0.25 * np.cos(2 * turn + rng.uniform(0, 2 * np.pi))
    rings = np.cos(2 * np.pi * (2.2 * np.log(depth + 0.15) + 0.4 * warp))
    folds = ((1 + rings) / 2) ** 1.5
    return np.asarray(0.04 * folds * np.clip(depth * 3, 0.2, 1) + 0.02 * _noise(rng, 6))


def _lit(height: Field, lumen: Field) -> tuple[Field, Field]:
    """Return diffuse light and highlights of a height field, lit from beside the camera."""
    down, across = np.gradient(height * SIDE_PX)
    normal = np.stack([-across, -down, np.ones_like(down)], -1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    lamp = np.array([0.35 * (0.5 - lumen[0]) - 0.18, 0.35 * (0.5 - lumen[1]) - 0.28, 1.0])
    lamp /= np.linalg.norm(lamp)
    diffuse = np.clip(normal @ lamp, 0, None)
    half = lamp + np.array([0.0, 0.0, 1.0])
    half /= np.linalg.norm(half)
    gloss = np.clip(normal @ half, 0, None) ** 300
    flat = np.clip(1 - np.hypot(across, down) * 5, 0, 1)  # a level wall has no single highlight
    return 0.3 + 0.8 * diffuse, gloss * (1 - flat)


def _mucosa(rng: np.random.Generator) -> Field:
    """Return the colour of the wall, with cloudy redness and fine vessels."""
    base = np.array([0.84, 0.45, 0.37]) + rng.uniform(-0.03, 0.03, 3)
    redness = 0.035 * _noise(rng, 5) + 0.018 * _noise(rng, 24)
    vessels = np.clip(1 - np.abs(_noise(rng, 9)) * 14, 0, 1) * np.clip(_noise(rng, 4), 0, 1)
    tint = redness[..., None] * np.array([0.6, 1.0, 1.0])
    return np.asarray(base + tint - vessels[..., None] * np.array([0.10, 0.16, 0.13]))


def _polyp_colour(rng: np.random.Generator) -> Field:
    """Return the colour of the polyp: redder than the wall, finely pitted."""
    base = np.array([0.95, 0.52, 0.44]) + rng.uniform(-0.03, 0.03, 3)
    pits = 0.025 * _noise(rng, 70) + 0.04 * _noise(rng, 14)
    return np.asarray(base + pits[..., None] * np.array([0.8, 1.0, 1.0]))


def _contact_shadow(inside: Field) -> Field:
    """Return the dark seam where the polyp meets the wall, 0 to 1."""
    return np.clip(2 * (_blurred(inside, 7) - inside), 0, 1)


def _vignette(xs: Field, ys: Field) -> Field:
    """Return the round field of view with its soft fall-off and its cut corners."""
    radius = np.hypot(xs - 0.5, ys - 0.5)
    corners = np.clip((0.80 - (np.abs(xs - 0.5) + np.abs(ys - 0.5))) * 60, 0, 1)
    edge = np.clip((0.49 - np.maximum(np.abs(xs - 0.5), np.abs(ys - 0.5))) * 120, 0, 1)
    return np.asarray(np.clip(1.08 - 0.75 * radius**2, 0, 1) * corners * edge)


def _developed(rng: np.random.Generator, picture: Field) -> NDArray[np.uint8]:
    """Return the picture as a camera would give it: slightly soft, slightly noisy, 8 bits."""
    grain = rng.normal(0, 0.008, picture.shape)
    eight_bits = ((picture + grain).clip(0, 1) * 255).round().astype(np.uint8)
    return np.asarray(Image.fromarray(eight_bits).filter(ImageFilter.GaussianBlur(0.6)))


def _noise(rng: np.random.Generator, cells: int) -> Field:
    """Return smooth noise of mean 0 and deviation 1, with about `cells` bumps a side."""
    coarse = Image.fromarray(rng.normal(0, 1, (cells + 3, cells + 3)).astype(np.float32))
    field = np.asarray(coarse.resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC), np.float64)
    return np.asarray((field - field.mean()) / field.std())


def _blurred(field: Field, radius: float) -> Field:
    picture = Image.fromarray((field * 255).astype(np.uint8))
    return np.asarray(picture.filter(ImageFilter.GaussianBlur(radius)), np.float64) / 255


def _box(inside: Field) -> Box:
    rows, columns = np.nonzero(inside > 0.5)
    return Box(
        float(columns.min()), float(rows.min()), float(columns.max() + 1), float(rows.max() + 1)
    )
