"""What every metric is measured against: the space's own distance, by difference, in float64."""

import copy

import torch
from torch import Tensor

from horosphere.spaces import Space

#: Pairs measured at a time: the working set stays in cache, and is far below where torch would split it over threads.
_BATCH = 1024
#: A whole number of SIMD registers. The last bit of torch's sinh and log1p depends on whether an element falls into a full
#: register or into the remainder of its batch, and two copies of one point must be exactly as far from a third.
_LANES = 64


class Truth:
    """Distances of pairs of points, given by index, on the CPU: the same bits for a pair wherever and whenever it is asked.

    The reference: `space.distance(points[i].double(), points[j].double())`.
    """

    def __init__(self, space: Space, points: Tensor):
        self.space = copy.deepcopy(space).cpu().requires_grad_(False)
        self.points = points.detach().cpu()

    def distance(self, i: Tensor, j: Tensor) -> Tensor:
        """Distances of points `i` (n,) to points `j` (n,): float64 (n,)."""
        out = torch.empty(len(i), dtype=torch.float64)
        for start in range(0, len(i), _BATCH):
            pair = torch.stack([i[start : start + _BATCH], j[start : start + _BATCH]]).cpu()
            count = pair.shape[1]
            pair = torch.cat([pair, pair[:, -1:].expand(-1, -count % _LANES)], 1)
            x, y = self.points[pair].double()
            out[start : start + _BATCH] = self.space.distance(x, y)[:count]
        return out
