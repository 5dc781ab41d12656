"""Flat coordinates whose squared L2 distance nearly ranks as a space's distance: what a graph of neighbours is built over.

A graph over lifted inner products loses most neighbours: the long lifts of points far out draw all its edges. Between
plain coordinates of each part, with s_m the squared L2 distance of two points' coordinates in part m,

    part         coordinates               D_m as a function of s = s_m                                    dD_m/ds
    sphere       u                         s                                                               1
    Euclidean    x                         √s                                                              1/(2√s)
    hyperbolic   tanh(√c‖v‖)/√c · v/‖v‖    arcosh(1 + 2cs/((1 − c‖x‖²)(1 − c‖y‖²)))/√c, x and y in the ball    (below)

every D_m grows with s_m, in the ball up to the two factors 1 − c‖·‖², of which the query's is the same for all. Of a mixture
D = Σ λ_m D_m, to first order around where a query's neighbours lie,

    D ≈ constant + Σ λ_m slope_m s_m,    slope_m = the median of dD_m/ds_m over pairs of true neighbours

and the right-hand side is one squared L2 distance, of the parts' coordinates multiplied by √(λ_m slope_m), side by side. It
chooses candidates only: they are ranked by the space's own distance afterwards, and what is lost is measured (`promise`).

In tangent vectors v, w with ρ = √c‖v‖, σ = √c‖w‖ the hyperbolic slope is

    dD/ds = 2√c cosh²ρ cosh²σ / sinh(√c D)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from ..errors import InputError
from ..spaces import Euclidean, Hyperbolic, Mixed, Space, Sphere


@dataclass(frozen=True)
class Coordinates:
    """Points (n, p) of `space` → coordinates (n, q), float32. `scales` are √(λ_m slope_m), one a part, the largest 1; a part
    of scale 0 has no coordinates."""

    space: Space
    scales: tuple[float, ...]

    @classmethod
    def fit(cls, space: Space, x: Tensor, y: Tensor) -> "Coordinates":
        """Scales from pairs of true neighbours, points x (n, p) and y (n, p).

        Coincident pairs say nothing, their slope is infinite; a part in which all are coincident gets slope 1. The scales
        are divided by the largest: that changes no order, and nothing overflows.

        Raises:
            InputError: for a space of a kind that has no such coordinates.
        """
        x, y = x.double(), y.double()
        slopes = [
            weight * _slope(part, a, b) if weight else 0.0
            for part, weight, a, b in zip(*_parts(space), _split(space, x), _split(space, y), strict=True)
        ]
        return cls(space, tuple((slope / max(slopes)) ** 0.5 for slope in slopes))

    def __call__(self, points: Tensor) -> Tensor:
        """Computed in float64 and rounded once."""
        parts, split = _parts(self.space)[0], _split(self.space, points.double())
        placed = [
            scale * (part.to_poincare(own) if isinstance(part, Hyperbolic) else own)
            for part, scale, own in zip(parts, self.scales, split, strict=True)
            if scale
        ]
        return (placed[0] if len(placed) == 1 else torch.cat(placed, -1)).float()


def _parts(space: Space) -> tuple[Sequence[Space], Sequence[float]]:
    """Parts and weights."""
    parts, weights = (cast(Sequence[Space], space.parts), space.weights) if isinstance(space, Mixed) else ([space], [1.0])
    for part in parts:
        if not isinstance(part, Sphere | Euclidean | Hyperbolic):
            raise InputError(
                f"a space with a part {part.name!r}: approximate search knows spheres, Euclidean and hyperbolic spaces and "
                "their mixtures; make the index with promise=1, which searches exactly"
            )
    return parts, weights


def _split(space: Space, points: Tensor) -> Sequence[Tensor]:
    return space.split(points) if isinstance(space, Mixed) else [points]


def _slope(part: Space, x: Tensor, y: Tensor) -> float:
    """The median of dD/ds over the pairs, float64."""
    if isinstance(part, Sphere):
        return 1.0
    distance = part.distance(x, y)
    if isinstance(part, Hyperbolic):
        root = part.curvature**0.5
        rise = ((root * x.norm(dim=1)).cosh() * (root * y.norm(dim=1)).cosh()).square()
        slopes = 2 * root * rise / (root * distance).sinh()
    else:
        slopes = 1 / (2 * distance)
    slopes = slopes[torch.isfinite(slopes) & (slopes > 0)]
    return float(slopes.median()) if len(slopes) else 1.0
