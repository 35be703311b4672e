"""Make torchvision importable where its native library does not load.

A torchvision wheel built for CUDA beside a CPU build of torch fails at import, because its operator
`torchvision::nms` was never registered. Where the library loads, this module does nothing.
"""

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


@cache
def ensure_operators() -> Any:  # noqa: ANN401 - torch ships no types that we could name
    """Register what torchvision misses; return what must stay alive, None if nothing is missing.

    Call it before the first import of torchvision, or of anything that imports it.
    """
    if _native_library_loads():
        return None
    library = torch.library.Library("torchvision", "DEF")  # operators live as long as this object
    for schema in _SCHEMAS:
        library.define(schema)
    library.impl("nms", suppress, "CPU")
    import torchvision

    # roi_align and others have Python paths, but ask first whether there is a native library.
    torchvision.extension._has_ops = lambda: True
    return library


def suppress(boxes: torch.Tensor, scores: torch.Tensor, iou_threshold: float) -> torch.Tensor:
    """Return the indices of the boxes that no better one overlaps, best first.

    Parameters
    ----------
    boxes : (n, 4)
        x1, y1, x2, y2, exclusive.
    scores : (n,)
        Higher is better; equal scores keep their order.
    iou_threshold
        A box that overlaps a kept one by more is dropped.
    """
    exact = boxes.float()
    areas = (exact[:, 2:] - exact[:, :2]).prod(1)
    order = scores.argsort(descending=True, stable=True)
    kept: list[torch.Tensor] = []
    while order.numel():
        best, rest = order[0], order[1:]
        kept.append(best)
        top_left = torch.maximum(exact[best, :2], exact[rest, :2])
        bottom_right = torch.minimum(exact[best, 2:], exact[rest, 2:])
        shared = (bottom_right - top_left).clamp(min=0).prod(1)
        overlap = shared / (areas[best] + areas[rest] - shared)
        order = rest[overlap <= iou_threshold]
    return torch.stack(kept) if kept else torch.empty(0, dtype=torch.long)


def _native_library_loads() -> bool:
    spec = find_spec("torchvision")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for library in Path(folder).glob("_C*.so"):
            try:
                torch.ops.load_library(str(library))
            except OSError:
                continue
            return True
    return False
