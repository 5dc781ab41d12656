"""Fast float32 scores that rank as −distance, with a bound on their error.

Every kind of space has a lift: vectors whose inner product is a function of distance alone, the excess e ≥ 0,

    sphere, Euclidean   ⟨[−2x, ‖x‖², 1], [y, 1, ‖y‖²]⟩       = ‖x − y‖²
    hyperbolic          ⟨[−B u, A, 1], [B'u', 1 + A', A']⟩   = cosh(√c D) − 1,   A = cosh 2ρ − 1, B = sinh 2ρ, ρ = √c‖v‖

The last is the Lorentz product without the 1 that would cancel where √c‖v‖ is small. The sphere is lifted as flat space
because stored points, half precision above all, are not exactly of unit norm, and its distance is ‖x − y‖². A space of one
part, or of spheres alone, is scored by −e: one matrix product and no special function. Other mixtures turn each part's
product into its distance, a few rows at a time, and are scored by −D.

Lifts are made in float64 and rounded once. A float32 inner product of p columns, summed in any order, with or without
fused multiply-add, is within p·u Σ|q||k| of exact, u = 2⁻²⁴ (Higham, Accuracy and Stability of Numerical Algorithms,
Eq. 3.5); `SPARE` more u cover the rounding of the lift and of thresholds, and what is of second order. Where numbers are
below t = 2⁻¹²⁶ nothing may be left of them: t more a column in its product, t in the sum, and t (|q| + |k|) for the lift's.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from ..spaces import Euclidean, Hyperbolic, Mixed, Space, Sphere
from ..spaces.precision import full_precision

UNIT = 2.0**-24
#: The smallest number that float32 keeps all digits of; what is below may count as 0.
TINY = 2.0**-126
SPARE = 32
#: A mixture's part is left to float64 where its excess is not this many times the error of it.
_NEAR = 100
#: Rows of a mixture's tile worked on together on a CPU, so that a part's passes stay in cache.
_ROWS = 256
#: Bytes of lifted gallery that are kept; more is lifted chunk by chunk each time it is read.
_KEPT = 2**27


class Gallery:
    """The points searched, `index` (m,) into `points`, read as lifted chunks of at most `side` items.

    Their float64 copies never exist together, and their float32 lifts only up to 128 MB.
    """

    def __init__(self, space: Space, points: Tensor, index: Tensor, side: int):
        self.space, self.points, self.index = space, points, index
        self.chunks = slices(0, len(index), side)
        #: The largest norm in each part, (1, 1): it bounds every product with a query.
        self.reach: list[Tensor] = []
        for chunk in self.chunks if _known(space) else []:
            norms = [x.norm(dim=1).amax().view(1, 1) for _, _, x in _views(space, _double(points, index[chunk]))]
            self.reach = [torch.maximum(a, b) for a, b in zip(self.reach, norms, strict=True)] if self.reach else norms
        self._kept: dict[int, list[Tensor]] = {}
        self._keeps = 4 * len(index) * (points.shape[1] + 2 * len(self.reach)) <= _KEPT

    def keys(self, chunk: slice) -> list[Tensor]:
        """Each part's keys of a chunk, float32."""
        if chunk.start in self._kept:
            return self._kept[chunk.start]
        views = _views(self.space, _double(self.points, self.index[chunk])) if self.reach else []
        keys = [lift(part, x)[1].float() for part, _, x in views]
        if self._keeps:
            self._kept[chunk.start] = keys
        return keys


class Scores:
    """Scores of the queries `index` (b,), into the gallery's points.

    `tolerance` (b,) bounds |score − exact score| over the whole gallery. A score is NaN where float32 cannot tell: two
    points of a mixture that nearly coincide in one part. Where float32 overflows, or the space is of a kind unknown here,
    every score is NaN: still right, and slow.
    """

    def __init__(self, gallery: Gallery, index: Tensor):
        chunks = index.split(gallery.chunks[0].stop)
        self._lifts = list(_lifts(gallery, chunks)) if gallery.reach else []
        self.tolerance = torch.zeros(len(index), device=gallery.points.device)
        for lift in self._lifts:
            self.tolerance += lift.error if self.is_product else lift.tolerance()
        if not torch.isfinite(self.tolerance).all():
            self._lifts = []
            self.tolerance.zero_()
        if self.is_product:
            self._lifts[0].queries.neg_()

    @property
    def is_product(self) -> bool:
        """Scores are −e, an inner product; otherwise they are −distance."""
        return len(self._lifts) == 1

    def tile(self, rows: slice, size: int, keys: list[Tensor], out: Tensor) -> Tensor:
        """Scores of queries `rows` with `size` gallery items, whose keys in each part are given: (rows, size), in `out`."""
        count = rows.stop - rows.start
        out = out[: count * size].view(count, size)
        if not self._lifts:
            return out.fill_(torch.nan)
        with full_precision(out.device):
            if self.is_product:
                return torch.mm(self._lifts[0].queries[rows], keys[0].mT, out=out)
            step = _ROWS if out.device.type == "cpu" else count
            for own in slices(rows.start, rows.stop, step):
                part = out[own.start - rows.start : own.stop - rows.start]
                first = self._lifts[0]
                first.distance_(torch.mm(first.queries[own], keys[0].mT, out=part), own).mul_(-first.scale)
                for lift, key in zip(self._lifts[1:], keys[1:], strict=True):
                    part.add_(lift.distance_(lift.queries[own] @ key.mT, own), alpha=-lift.scale)
        return out

    def of_distance(self, distance: Tensor) -> Tensor:
        """The exact score of pairs whose distances are `distance` (n,): float64 (n,)."""
        return -self._lifts[0].excess(distance) if self.is_product else -distance


@dataclass(frozen=True)
class _Lifted:
    """One part's lifted queries (b, p + 2), float32. `largest` (b,) bounds the excess, and `error` (b,) the
    error of it."""

    part: Space
    weight: float
    queries: Tensor
    error: Tensor
    largest: Tensor

    @property
    def scale(self) -> float:
        """What turns `distance_` into the part's share of a distance."""
        return scale(self.part, self.weight)

    def distance_(self, excess: Tensor, rows: slice) -> Tensor:
        """Distances at weight 1 and unit curvature from a tile of the excess, in place; NaN too near coincidence."""
        if not isinstance(self.part, Sphere):
            near = _NEAR * self.error[rows]
            close = (excess.amin(1) < near).nonzero().squeeze(1)
            if len(close):
                own = excess[close]
                excess[close] = own.masked_fill_(own < near[close, None], torch.nan)
        return distance_(self.part, excess)

    def excess(self, distance: Tensor) -> Tensor:
        """e at a weighted distance (n,)."""
        return excess(self.part, distance.double() / self.weight)

    def tolerance(self) -> Tensor:
        """Bound on the error of `distance_` where it is not NaN: (b,).

        There a squared distance (or 2 cosh − 2, below its square) with error δ is at least (_NEAR − 1) δ, so its root is
        within √δ/√(_NEAR − 1) by the mean value theorem, with half of that to spare.
        """
        own = self.error if isinstance(self.part, Sphere) else (2 * self.error / (_NEAR - 1)).sqrt()
        return self.scale * (own + SPARE * UNIT * (1 + distance_(self.part, self.largest.clone())))


def _lifts(gallery: Gallery, chunks: Sequence[Tensor]) -> Iterator[_Lifted]:
    """Every part's lifted queries."""
    lifted = []
    for chunk in chunks:
        views = _views(gallery.space, _double(gallery.points, chunk))
        # A point of the same norm on a line has the largest products: Cauchy–Schwarz, column by column of the lift.
        lifted.append([(lift(part, x)[0].float(), lift(part, x.norm(dim=1, keepdim=True))[0]) for part, _, x in views])
    heads = _views(gallery.space, _double(gallery.points, chunks[0][:1]))
    for (part, weight, _), reach, pieces in zip(heads, gallery.reach, zip(*lifted, strict=True), strict=True):
        queries, norms = (torch.cat(column) for column in zip(*pieces, strict=True))
        # In float32 from here on, so that whatever overflows there overflows here.
        bound = lift(part, reach)[1].abs()
        largest = (norms.abs() * bound).sum(1).float()
        lost = 2 * TINY * (1 + norms.abs().amax(1) + bound.amax(1)).float()
        error = (queries.shape[1] + SPARE) * (UNIT * largest + lost)
        yield _Lifted(part, weight, queries, error, largest)


def scale(part: Space, weight: float) -> float:
    """What turns a part's distances at unit curvature into its share of a mixture's."""
    return weight / math.sqrt(part.curvature) if isinstance(part, Hyperbolic) else weight


def excess(part: Space, distance: Tensor) -> Tensor:
    """e at a part's own distance (n,), float64."""
    if isinstance(part, Hyperbolic):
        return 2 * (distance * (math.sqrt(part.curvature) / 2)).sinh().square()  # cosh(√c D) − 1
    return distance if isinstance(part, Sphere) else distance.square()


def distance_(part: Space, excess: Tensor) -> Tensor:
    """A part's distances at unit curvature from its excess, in place."""
    if isinstance(part, Hyperbolic):
        root = (excess + 2).mul_(excess).sqrt_()
        # torch's log1p takes as long as four matrix products; what is lost by adding 1 is in the tolerance.
        return excess.add_(root).add_(1).log_()
    return excess.sqrt_() if isinstance(part, Euclidean) else excess


def slices(start: int, stop: int, step: int) -> list[slice]:
    """From `start` to `stop` in runs of `step`, the last of what is left."""
    return [slice(first, min(first + step, stop)) for first in range(start, stop, step)]


def _known(space: Space) -> bool:
    parts = space.parts if isinstance(space, Mixed) else [space]
    return all(isinstance(part, Sphere | Euclidean | Hyperbolic) for part in parts)


def _double(points: Tensor, index: Tensor) -> Tensor:
    return points[index.to(points.device)].double()


def _views(space: Space, x: Tensor) -> list[tuple[Space, float, Tensor]]:
    """The parts that count, with weight and columns of points x (n, p). Spheres, whose distances add as squares, are one."""
    if not isinstance(space, Mixed):
        return [(space, 1.0, x)]
    parts = cast(Sequence[Space], space.parts)
    active = [view for view in zip(parts, space.weights, space.split(x), strict=True) if view[1]]
    spheres = [own * weight**0.5 for part, weight, own in active if isinstance(part, Sphere)]
    others = [view for view in active if not isinstance(view[0], Sphere)]
    return [(Sphere(), 1.0, torch.cat(spheres, 1)), *others] if spheres else others


def lift(part: Space, x: Tensor) -> tuple[Tensor, Tensor]:
    """A part's points (n, p), float64 → queries and keys (n, p + 2), whose inner products are the excess."""
    if isinstance(part, Hyperbolic):
        _, keys = part.lift(x)
        cosh, sinh = keys[:, :1], keys[:, 1:]
        height = sinh.square().sum(1, keepdim=True) / (cosh + 1)  # cosh 2ρ − 1, which keeps its digits near the origin
        return torch.cat([-sinh, height, torch.ones_like(height)], 1), torch.cat([sinh, cosh, height], 1)
    height = x.square().sum(1, keepdim=True)
    one = torch.ones_like(height)
    return torch.cat([-2 * x, height, one], 1), torch.cat([x, one, height], 1)
