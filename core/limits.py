"""What a data set may cost whoever reads it; checked before a parser that trusts it is let near."""

from dataclasses import dataclass

MAX_DEPTH = 64
"""Sequences nested deeper than this are refused: a recursive reader further in would break."""


@dataclass(frozen=True)
class DataSetLimits:
    """The bounds of one data set, whatever its length on the wire."""

    max_depth: int = MAX_DEPTH
    """How deep sequences may be nested."""
    max_elements: int = 1_000_000
    """Elements and items together: a parser makes a thousand bytes out of eight."""
    max_inflated_bytes: int = 512 * 1024**2
    """Length of a deflated data set once it is inflated."""
    max_inflation_ratio: int = 100
    """Inflated over deflated length, once more than `freely_inflated_bytes` have come out."""
    freely_inflated_bytes: int = 16 * 1024**2
    """So much is no bomb, whatever the ratio: a blank picture deflates a thousand times."""
