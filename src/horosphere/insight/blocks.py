"""Distances of some points to all, a few rows at a time."""

from collections.abc import Iterator

import torch
from torch import Tensor

from ..spaces import Space

#: Points compared at a time: blocks of float64 that stay in the processor's cache.
_ROWS, _COLUMNS = 64, 2048


def distance_blocks(
    space: Space, points: Tensor, rows: Tensor, dtype: torch.dtype = torch.float64
) -> Iterator[tuple[slice, Tensor]]:
    """Distances of points `rows` (a,) to all points (n, p): (slice of the rows, (b, n) of `dtype`).

    Made in float64. A block may be changed, and is used up before the next is asked for.
    """
    rows = rows.to(points.device)
    buffer = points.new_empty(min(_ROWS, len(rows)), len(points), dtype=dtype)
    for start in range(0, len(rows), _ROWS):
        x = points[rows[start : start + _ROWS]].double()
        block = buffer[: len(x)]
        for first in range(0, len(points), _COLUMNS):
            some = slice(first, first + _COLUMNS)
            block[:, some] = space.pairwise(x, points[some].double())
        yield slice(start, start + len(x)), block
