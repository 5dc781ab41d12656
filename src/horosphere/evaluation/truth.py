"""What every metric is measured against: the space's own distance, by difference, in float64."""

import copy

import numpy as np
import torch
from torch import Tensor

from ..spaces import Space

#: Numbers in a batch of points: it stays in cache, and torch runs it on one thread, whose result no other thread can change.
_BATCH = 2**15
#: A whole number of SIMD registers. The last bit of torch's sinh and log1p depends on whether an element falls into a full
#: register or into the remainder of its batch, and two copies of one point must be exactly as far from a third.
_LANES = 64
#: Rows read at a time while looking for copies.
_CHUNK = 8192


class Truth:
    """Distances of pairs of points, given by index, on the CPU: the same bits for a pair wherever and whenever it is asked.

    The reference: `space.distance(points[i].double(), points[j].double())`.
    """

    def __init__(self, space: Space, points: Tensor):
        self.space = copy.deepcopy(space).cpu().requires_grad_(False)
        self.points = points.detach().cpu().contiguous()
        self.first_copy = _first_copies(self.points)

    def distance(self, i: Tensor, j: Tensor) -> Tensor:
        """Distances of points `i` (n,) to points `j` (n,): float64 (n,)."""
        i, j = i.cpu(), j.cpu()
        if self.first_copy is None:
            return distances(self.space, self.points, i, self.points, j)
        # Where points collapse, nearly all pairs are copies of a few.
        pairs = self.first_copy[i] * len(self.points) + self.first_copy[j]
        unique, place = pairs.unique(return_inverse=True)
        i, j = unique // len(self.points), unique % len(self.points)
        return distances(self.space, self.points, i, self.points, j)[place]


def distances(space: Space, x: Tensor, i: Tensor, y: Tensor, j: Tensor) -> Tensor:
    """Distances of rows `i` (n,) of points x to rows `j` (n,) of points y, on the CPU: float64 (n,).

    A pair has the same bits wherever it stands among the others.
    """
    size = max(_LANES, _BATCH // max(1, x.shape[1]) // _LANES * _LANES)
    out = torch.empty(len(i), dtype=torch.float64)
    for start in range(0, len(i), size):
        count = min(size, len(j) - start)
        other = y.index_select(0, _filled(j[start : start + size])).double()
        # A lone x meets every y without a copy for each.
        own = (x if len(x) == 1 else x.index_select(0, _filled(i[start : start + size]))).double()
        out[start : start + count] = space.distance(own, other)[:count]
    return out


def _filled(rows: Tensor) -> Tensor:
    """The indices, and the last again until they fill the lanes."""
    rest = -len(rows) % _LANES
    return torch.cat([rows, rows[-1:].expand(rest)]) if rest else rows


def _first_copies(points: Tensor) -> Tensor | None:
    """For each row, the index of the first row with the same bytes: (n,); None where no two rows are the same.

    Rows are compared by a hash first, a chunk at a time. Of unequal rows that share one, which random data never have, some
    may count as having no copy.
    """
    words = points.view(torch.int16 if points.element_size() == 2 else torch.int32)
    factors = torch.from_numpy(np.random.default_rng(0).integers(-(2**63), 2**63 - 1, words.shape[1], endpoint=True))
    hashes = torch.empty(len(words), dtype=torch.int64)
    for start in range(0, len(words), _CHUNK):
        hashes[start : start + _CHUNK] = (words[start : start + _CHUNK].long() * factors).sum(1)
    unique, place = hashes.unique(return_inverse=True)
    if len(unique) == len(points):
        return None
    own = torch.arange(len(points))
    first = torch.full((len(unique),), len(points)).scatter_reduce_(0, place, own, "amin")[place]
    for copies in (first != own).nonzero().squeeze(1).split(_CHUNK):
        unequal = (words[copies] != words[first[copies]]).any(1)
        first[copies[unequal]] = copies[unequal]
    return first
