"""Fast float32 scores that rank as −distance, with a bound on their error.

Every kind of space has a lift: vectors whose inner product is a function of distance and of the query alone,

    sphere, Euclidean   ⟨[x, 1], [y, −‖y‖²/2]⟩      = (‖x‖² − ‖x − y‖²)/2
    hyperbolic          ⟨[B u, −2C], [B'u', A']⟩    = C − cosh(√c D),   A = sinh²ρ, B = sinh 2ρ, C = cosh 2ρ, ρ = √c‖v‖

The last is the Lorentz product without the 1 that would cancel where √c‖v‖ is small. The sphere is lifted as flat space
because stored points, half precision above all, are not exactly of unit norm, and its distance is ‖x − y‖². A space of one
part, or of spheres alone, needs one matrix product and no special function. Other mixtures turn each part's product into
its distance, tile by tile, and add.

Lifts are made in float64 and rounded once. A float32 inner product of p columns, summed in any order, with or without
fused multiply-add, is within p·u Σ|q||k| of exact, u = 2⁻²⁴ (Higham, Accuracy and Stability of Numerical Algorithms,
Eq. 3.5); `_SPARE` more u cover the rounding of the lift and of thresholds, and what is of second order.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from ..spaces import Euclidean, Hyperbolic, Mixed, Space, Sphere
from ..spaces.precision import full_precision

_UNIT = 2.0**-24
_SPARE = 32
#: A mixture's part is left to float64 where its squared distance is not this many times the error of it.
_NEAR = 100
#: Columns of a mixture's tile: rows × tile stays in cache through a part's dozen passes (8,192 take 1.8 times as long).
_TILE = 2048
#: Points lifted at a time, so that float64 copies of all of them never exist together.
_CHUNK = 8192


class Scores:
    """Scores of queries against a gallery, given as indices (nq,) and (m,) into `points`, on `device`.

    `tolerance` (nq,) bounds |score − exact score| over all pairs of a query. A score is NaN where float32 cannot tell: two
    points of a mixture that nearly coincide in one part. Where float32 overflows, or the space is of a kind unknown here,
    every score is NaN: still right, and slow.
    """

    def __init__(self, space: Space, points: Tensor, queries: Tensor, gallery: Tensor, device: torch.device):
        self.space, self.points, self.gallery_size = space, points, len(gallery)
        self.lifts = _lifts(space, points, queries, gallery, device) if _known(space) else []
        self.tolerance = torch.zeros(len(queries), device=device)
        for lift in self.lifts:
            self.tolerance += lift.error if self.is_product else lift.tolerance()
        if not torch.isfinite(self.tolerance).all():
            self.lifts = []
            self.tolerance.zero_()

    @property
    def is_product(self) -> bool:
        """Scores are the lift's inner products; otherwise they are −distance."""
        return len(self.lifts) == 1

    def block(self, rows: slice, out: Tensor) -> None:
        """Write the scores of queries `rows` into the first columns of `out` (rows, at least m)."""
        with full_precision(out.device):
            if self.is_product:
                torch.mm(self.lifts[0].queries[rows], self.lifts[0].keys.mT, out=out[:, : self.gallery_size])
                return
            out[:, : self.gallery_size] = 0 if self.lifts else torch.nan
            for lift in self.lifts:
                for start in range(0, self.gallery_size, _TILE):
                    tile = slice(start, min(start + _TILE, self.gallery_size))
                    out[:, tile].sub_(lift.distance_(lift.queries[rows] @ lift.keys[tile].mT, rows))

    def exact(self, i: Tensor, j: Tensor, distance: Tensor) -> Tensor:
        """The exact scores of pairs of points (n,), whose distances are `distance`: float64 (n,)."""
        if not self.is_product:
            return -distance
        ((part, _, x),) = _views(self.space, self.points[i.cpu()].double())
        ((_, _, y),) = _views(self.space, self.points[j.cpu()].double())
        return (_lift(part, x)[0] * _lift(part, y)[1]).sum(1)


@dataclass(frozen=True)
class _Lifted:
    """One part's lifted queries (nq, p + 1) and keys (m, p + 1), in float32.

    `base` (nq, 1) is what the query adds to a distance, `error` (nq,) bounds the error of its inner products, `largest`
    (nq,) its distances.
    """

    part: Space
    weight: float
    queries: Tensor
    keys: Tensor
    base: Tensor
    error: Tensor
    largest: Tensor

    def distance_(self, product: Tensor, rows: slice) -> Tensor:
        """The part's weighted distances from a tile of inner products, in place; NaN too near coincidence."""
        base, error = self.base[rows], self.error[rows, None]
        if isinstance(self.part, Hyperbolic):
            excess = torch.sub(base, product, out=product)  # cosh(√c D) − 1
            excess.masked_fill_(excess < _NEAR * error, torch.nan)
            root = (excess + 2).mul_(excess).sqrt_()
            return excess.add_(root).log1p_().mul_(self.weight / math.sqrt(self.part.curvature))
        squared = product.mul_(-2).add_(base)
        if isinstance(self.part, Euclidean):
            squared.masked_fill_(squared < _NEAR * 2 * error, torch.nan).sqrt_()
        return squared.mul_(self.weight)

    def tolerance(self) -> Tensor:
        """Bound on the error of `distance_` where it is not NaN: (nq,).

        There a squared distance (or 2 cosh − 2, below its square) with error δ is at least (_NEAR − 1) δ, so its root is
        within √δ/√(_NEAR − 1) by the mean value theorem, with half of that to spare.
        """
        if isinstance(self.part, Sphere):
            own = 2 * self.error
        else:
            own = (2 * self.error / (_NEAR - 1)).sqrt()
            if isinstance(self.part, Hyperbolic):
                own = own / math.sqrt(self.part.curvature)
        return self.weight * (own + _SPARE * _UNIT * self.largest)


def _known(space: Space) -> bool:
    parts = space.parts if isinstance(space, Mixed) else [space]
    return all(isinstance(part, Sphere | Euclidean | Hyperbolic) for part in parts)


def _views(space: Space, x: Tensor) -> list[tuple[Space, float, Tensor]]:
    """The parts that count, with weight and columns of points x (n, p). Spheres, whose distances add as squares, are one."""
    if not isinstance(space, Mixed):
        return [(space, 1.0, x)]
    parts = cast(Sequence[Space], space.parts)
    active = [view for view in zip(parts, space.weights, space.split(x), strict=True) if view[1]]
    spheres = [own * weight**0.5 for part, weight, own in active if isinstance(part, Sphere)]
    others = [view for view in active if not isinstance(view[0], Sphere)]
    return [(Sphere(), 1.0, torch.cat(spheres, 1)), *others] if spheres else others


def _lift(part: Space, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A part's points (n, p), float64 → queries and keys (n, p + 1), base (n, 1), distance to the origin (n, 1)."""
    if isinstance(part, Hyperbolic):
        _, keys = part.lift(x)
        cosh, sinh = keys[:, :1], keys[:, 1:]
        base = sinh.square().sum(1, keepdim=True) / (cosh + 1)  # cosh 2ρ − 1, which keeps its digits near the origin
        return torch.cat([sinh, -2 * cosh], 1), torch.cat([sinh, base / 2], 1), base, part.radius(x)[:, None]
    base = x.square().sum(1, keepdim=True)
    return torch.cat([x, torch.ones_like(base)], 1), torch.cat([x, base / -2], 1), base, base.sqrt()


def _lifts(space: Space, points: Tensor, queries: Tensor, gallery: Tensor, device: torch.device) -> list["_Lifted"]:
    """Every part's lifted vectors, on `device`."""

    def chunks(index: Tensor, wanted: tuple[int, ...]) -> list[list[Tensor]]:
        """For each part, the wanted results of `_lift` over the indexed points."""
        found = []
        for chunk in index.split(_CHUNK):
            views = _views(space, points[chunk].double())
            found.append([[_lift(part, x)[w].float() for w in wanted] for part, _, x in views])
        return [[torch.cat(pieces).to(device) for pieces in zip(*part, strict=True)] for part in zip(*found, strict=True)]

    lifts = []
    heads = _views(space, points[:1].double())
    for (part, weight, _), (q, base, from_origin), (k, reach) in zip(
        heads, chunks(queries, (0, 2, 3)), chunks(gallery, (1, 3)), strict=True
    ):
        # |q|·|k| by Cauchy–Schwarz, with the last column, of another size, on its own.
        norms = q[:, :-1].norm(dim=1) * k[:, :-1].norm(dim=1).max() + q[:, -1].abs() * k[:, -1].abs().max()
        largest = from_origin[:, 0] + reach.max()
        if isinstance(part, Sphere):
            largest = largest.square()
        error = _UNIT * ((q.shape[1] + _SPARE) * norms + 4 * base[:, 0])
        lifts.append(_Lifted(part, weight, q, k, base, error, largest))
    return lifts
