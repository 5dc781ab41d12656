"""The nearest items, proven: by fast float32 bounds on every distance, and float64 distances where they decide.

For every item a number is computed that its distance cannot be below. The best few by this bound are measured in float64.
When the k-th of them is nearer than the bound of any other item allows, nothing was missed; otherwise every item whose bound
is no greater than the k-th distance is measured too. The result is that of float64 alone, whatever the data.

The bound of a part comes from one inner product, the excess e of `evaluation.scores`. A float32 product of p columns,
with the rounding of the lift, is within γ Σ|q||k| of exact, γ = (p + SPARE) u (Higham, Eq. 3.5). With the norms of the
query's columns, and of the key's, that sum is at most

    sphere, Euclidean   2‖x‖‖y‖ + ‖x‖² + ‖y‖²     ≤ 2‖x‖² + 2‖y‖²
    hyperbolic          B B' + A (1 + A') + A'     ≤ (A + B)(1 + A') + A'      as B' = sinh 2ρ' ≤ cosh 2ρ' = 1 + A'

which is linear in the key's last two columns. So γ times it is taken off the query's own last two, once, and the product
itself is a bound on e from below: an error of its own for every item, and nothing more to compute.

That is relative, and holds while numbers are above t = 2⁻¹²⁶, below which float32 keeps less of them, or where a processor
flushes them nothing. Of a column q k of the product at most t is lost in the product, t in the sum, and t (|q| + |k|) in the
rounding of q and k: of p columns 2 p t (1 + max|q| + max|k|), which is added to what bounds are compared with.
"""

from typing import cast

import faiss
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..evaluation.scores import SPARE, TINY, UNIT, distance_, excess, lift, scale, slices
from ..spaces import Hyperbolic, Mixed, Space
from ..spaces.precision import full_precision
from .items import Items
from .rerank import rerank

#: Candidates beyond k that are measured at first.
_SLACK = 6
#: Bounds kept at a time, in all queries; but of so many queries at least, whose product reads the keys once.
_TILE, _LEAST = 2**22, 16
#: Fewer queries than this are multiplied one by one, by FAISS: a matrix product of a few rows reads the keys as slowly.
_FEW = 6
#: Of a smaller share of the items the keys are gathered; of a larger one the products are.
_SHARE = 1 / 8
#: Products beyond this, which only points at √c‖v‖ of about 10 have, are not trusted to leave float32 its range.
_RANGE = 1e18


@torch.no_grad()
def search(
    items: Items, space: Space, queries: Tensor, k: int, places: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Places among the items of the `k` nearest to each query (b, p), nearest first, and distances: (b, min(k, n)).

    The reference, for one query::

        d = space.distance(query.double(), items.points.double())
        np.lexsort((np.arange(n), d))[:k]

    Args:
        space: that of the items, or with other weights.
        places: look at these items only (n,), in order; at all by default.
    """
    n = len(items) if places is None else len(places)
    k, few = min(k, n), min(n, k + _SLACK)
    found, distances = np.empty((len(queries), k), np.int64), np.empty((len(queries), k))
    if not k or not len(queries):
        return found, distances
    bounds = _Bounds(items, space, queries, places)

    def measured(rows: slice, candidates: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The k nearest of the candidates (r, m), places among those searched."""
        near = candidates if places is None else places[candidates]
        order, away = rerank(space, items.points, queries[rows], near)
        return order[:, :k], away[:, :k]

    for rows in slices(0, len(queries), bounds.tile):
        low = bounds(rows)
        best = low.topk(few, 1, largest=False)
        found[rows], distances[rows] = measured(rows, best.indices.numpy())
        limit = bounds.limit(torch.from_numpy(distances[rows, -1]), rows)
        # Compared so that NaN proves nothing.
        unproven = ~(best.values[:, -1] > limit) if few < n else torch.zeros(0)
        for row in unproven.nonzero().squeeze(1).tolist():
            own = slice(rows.start + row, rows.start + row + 1)
            found[own], distances[own] = measured(own, (~(low[row] > limit[row])).nonzero().mT.numpy())
    return found, distances


class _Bounds:
    """Bounds on the distances of queries (b, p) to items from below: of the excess where one part counts, or else of the
    distance."""

    def __init__(self, items: Items, space: Space, queries: Tensor, places: NDArray[np.int64] | None):
        own = [(space, 1.0, queries, 0)]
        if isinstance(space, Mixed):
            numbers = range(len(space.parts))
            parts = zip(cast(list[Space], space.parts), space.weights, space.split(queries), numbers, strict=True)
            own = [part for part in parts if part[1]]
        #: Of a mixture, distances are bounded as multiples of `unit`, so that no weights leave float32's range.
        self.unit = max(scale(part, weight) for part, weight, _, _ in own)
        self.parts = [(part, weight) for part, weight, _, _ in own]
        self.queries = [lowered(part, x.double()).float() for part, _, x, _ in own]
        keys = [items.keys[number] for _, _, _, number in own]
        self.keys = [own.matrix for own in keys]
        self.places = None if places is None else torch.from_numpy(places)
        self.tile = max(1, min(len(queries), max(_LEAST, _TILE // len(items))))
        reach = [q.shape[1] * q.abs().amax(1) * key.largest for q, key in zip(self.queries, keys, strict=True)]
        #: Queries whose products stay within float32 (b,).
        self.trusted = (torch.stack(reach) < _RANGE).all(0)
        #: What a part's product loses where numbers are below float32's range, and so has no relative error (parts, b).
        self.lost = [
            2 * TINY * q.shape[1] * (1 + q.abs().amax(1).double() + key.largest)
            for q, key in zip(self.queries, keys, strict=True)
        ]
        if self.places is not None and len(self.places) < _SHARE * len(items):
            self.keys = [keys[self.places] for keys in self.keys]
            self.places = None
        # Memory that is new to the process costs as much as the products.
        self._memory = [torch.empty(self.tile, len(self.keys[0])) for _ in self.keys[:2]]

    def __call__(self, rows: slice) -> Tensor:
        """Bounds for at most `tile` queries `rows` (r,): (r, n), until the next call."""
        total = self._products(0, rows)
        if len(self.parts) > 1:
            for number, (part, weight) in enumerate(self.parts):
                product = total if number == 0 else self._products(number, rows)
                # A row at a time stays in cache. The function's own rounding is taken off it.
                factor = scale(part, weight) / self.unit * (1 - SPARE * UNIT)
                for row, own in zip(total, product, strict=True):
                    share = distance_(part, own.clamp_(min=0)).mul_(factor)
                    if number:
                        row.add_(share)
        total[~self.trusted[rows]] = -torch.inf
        return total

    def _products(self, number: int, rows: slice) -> Tensor:
        queries, keys = self.queries[number][rows], self.keys[number]
        out = self._memory[min(number, 1)][: len(queries)]
        if len(queries) < _FEW:
            for row, query in zip(out, queries, strict=True):
                pointers = (faiss.swig_ptr(side.numpy()) for side in (row, query, keys))
                faiss.fvec_inner_products_ny(*pointers, keys.shape[1], len(keys))  # ty: ignore[missing-attribute]
        else:
            with full_precision(out.device):
                torch.mm(queries, keys.mT, out=out)
        return out if self.places is None else out[:, self.places]

    def limit(self, distance: Tensor, rows: slice) -> Tensor:
        """What the bound of an item exceeds that is further than `distance` (r,) from its query of `rows`: float64 (r,)."""
        lost = [own[rows].clone() for own in self.lost]
        # Of weights near the end of float64's range, the last of these is rounded.
        distance = distance + 2.0**-1074 * len(lost)
        if len(self.parts) == 1:
            ((part, weight),) = self.parts
            return excess(part, distance / weight) + lost[0]
        out = distance / self.unit + TINY * len(self.parts)
        for (part, weight), own in zip(self.parts, lost, strict=True):
            # What is lost where a part's distance adds 1 before its logarithm is absolute.
            out += scale(part, weight) / self.unit * (distance_(part, own) + SPARE * UNIT)
        return out


def lowered(part: Space, x: Tensor) -> Tensor:
    """The lift of queries (b, p), float64, less what float32 may add to a product with any key: (b, p + 2)."""
    queries = lift(part, x)[0]
    error = (queries.shape[1] + SPARE) * UNIT
    height = queries[:, -2:-1]
    if isinstance(part, Hyperbolic):
        ours = error * (height + queries[:, :-2].norm(dim=1, keepdim=True))
        return torch.cat([queries[:, :-2], height - ours, queries[:, -1:] - error], 1)
    return torch.cat([queries[:, :-2], (1 - 2 * error) * height, queries[:, -1:] - 2 * error], 1)
