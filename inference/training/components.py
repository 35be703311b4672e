"""Connected components of a mask, their boxes and outlines, in numpy alone."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from core.findings import Box


@dataclass(frozen=True)
class Component:
    """One connected area of a mask: its runs, row by row."""

    rows: NDArray[np.intp]
    starts: NDArray[np.intp]
    """First column of each run."""
    stops: NDArray[np.intp]
    """Column after the last of each run."""

    @property
    def area_px(self) -> int:
        """How many pixels it has."""
        return int((self.stops - self.starts).sum())

    @property
    def box(self) -> Box:
        """The smallest box around it."""
        return Box(
            float(self.starts.min()),
            float(self.rows.min()),
            float(self.stops.max()),
            float(self.rows.max() + 1),
        )

    def outline(self) -> NDArray[np.float64]:
        """Return a closed polygon, (points, 2) as x and y, along the outer pixel edges of each row.

        It has the component's own extent in every direction, so that a rotated box stays tight;
        bays that open to the left or right are followed, holes and other bays are filled.
        """
        rows = np.unique(self.rows)
        left = np.array([self.starts[self.rows == row].min() for row in rows])
        right = np.array([self.stops[self.rows == row].max() for row in rows])
        ys = np.stack([rows, rows + 1], 1).ravel()
        down = np.stack([np.repeat(left, 2), ys], 1)
        up = np.stack([np.repeat(right, 2), ys], 1)[::-1]
        return np.concatenate([down, up]).astype(np.float64)


def components(mask: NDArray[np.bool_]) -> list[Component]:
    """Return the areas of `mask` that hang together, diagonals included, top to bottom.

    Parameters
    ----------
    mask : (rows, columns)
    """
    rows, starts, stops = _runs(mask)
    first_of_row = np.searchsorted(rows, np.arange(mask.shape[0] + 1))
    parents = list(range(len(rows)))
    for upper, lower in pairwise(pairwise(first_of_row)):
        for run in range(*lower):
            for above in range(*upper):
                if starts[run] <= stops[above] and starts[above] <= stops[run]:
                    _join(parents, run, above)
    roots = np.array([_root(parents, run) for run in range(len(parents))], dtype=np.intp)
    return [
        Component(rows[roots == root], starts[roots == root], stops[roots == root])
        for root in np.unique(roots)
    ]


def _runs(mask: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Return row, first column and column after the last of each horizontal run."""
    edges = np.diff(np.pad(mask.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    rows, starts = np.nonzero(edges == 1)
    return rows, starts, np.nonzero(edges == -1)[1]


def _root(parents: list[int], run: int) -> int:
    while parents[run] != run:
        parents[run] = parents[parents[run]]
        run = parents[run]
    return run


def _join(parents: list[int], one: int, other: int) -> None:
    low, high = sorted((_root(parents, one), _root(parents, other)))
    parents[high] = low
