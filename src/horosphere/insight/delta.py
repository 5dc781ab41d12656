"""δ-hyperbolicity: how like a tree a set of points is (Gromov; for embeddings Khrulkov et al. 2020, Ermolov et al. 2022)."""

import math
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from tqdm import tqdm

from ..errors import InputError
from ..evaluation import mean_interval
from ..spaces import Euclidean, Mixed, Space, Sphere

#: The papers' constant: 2 ln(1 + √2) over 12.2, the diameter of the ball cut off at 1 − 10⁻⁵ of its radius. ln(1 + √2) says
#: how thin the hyperbolic plane's triangles are; by Gromov products, which they measure too, its δ is ln 2.
BALL = 0.144
#: Rows whose distances are computed at a time; witnesses that are looked at together.
_ROWS, _BLOCK = 256, 32
#: How far a triangle may be from closing, of the diameter: rounding, in half precision too.
_TOLERANCE = 1e-3


@dataclass(frozen=True)
class DeltaReport:
    """How hyperbolic a set is, by draws of its points.

    Attributes:
        value: relative δ, 2δ/diameter, the mean over draws: 0 for a tree, 1 at most.
        interval: Student's 95 % interval of the mean over draws; None for one draw. Draws of most of the points are much
            alike: it says how sure the mean over draws is, not what other points would give.
        per_draw: of each draw; over several base points the largest.
        spread: largest less smallest over the base points of a draw, the mean over draws; None for one base point.
        diameter: largest distance of a draw, the mean over draws.
        points: how many there are; `samples` is how many of them a draw has.
    """

    value: float
    interval: tuple[float, float] | None
    per_draw: tuple[float, ...]
    spread: float | None
    diameter: float
    points: int
    samples: int

    @property
    def curvature(self) -> float:
        """c = (0.144/δ)², the papers' rule for a ball of sectional curvature −c; infinite for δ = 0.

        The plane itself comes out at 1.6 times its curvature, because 0.144 belongs to another δ (ln(1 + √2) against ln 2).
        """
        return (BALL / self.value) ** 2 if self.value > 0 else math.inf

    @property
    def meaning(self) -> str:
        """The value in words."""
        advice = (
            "no curvature is too strong"
            if self.value == 0
            else f"the papers' rule suggests c = (0.144/δ)² = {self.curvature:.3g}, for the Poincaré ball of sectional "
            "curvature −c"
        )
        return (
            f"relative δ = {self.value:.3f}: 0 is a tree, the most hyperbolic there is; 1 is the least, such as the corners "
            f"of a square measured along its sides; {advice}"
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values."""
        return {
            "value": self.value,
            "interval": None if self.interval is None else list(self.interval),
            "per_draw": list(self.per_draw),
            "spread": self.spread,
            "diameter": self.diameter,
            "points": self.points,
            "samples": self.samples,
            "curvature": self.curvature if math.isfinite(self.curvature) else None,
        }


def relative_delta(
    features: Tensor | ArrayLike | None = None,
    *,
    space: Space | None = None,
    distances: ArrayLike | None = None,
    samples: int = 2000,
    draws: int = 10,
    base_points: int = 1,
    seed: int = 0,
    progress: bool = False,
) -> DeltaReport:
    """Relative δ-hyperbolicity by draws (Ermolov et al., CVPR 2022, §2.3 and Table 1).

    Of each draw: with (i, j) = ½ (d(0, i) + d(0, j) − d(i, j)), the Gromov products M at a base point 0, δ is the largest
    entry of (M ⊗ M) − M, where (M ⊗ M)ᵢⱼ = maxₖ min(Mᵢₖ, Mₖⱼ). The value is 2δ/diameter, averaged. δ at one base point is
    at least half of δ over all of them (`four_point_delta`), and at most as large.

    Exact in float64: what is pruned cannot win. Memory is that of two (samples, samples) matrices. The plain form that it
    equals is `(np.minimum(M[:, :, None], M[None]).max(1) - M).max()`.

    Args:
        features: (n, d), measured by Euclidean distance; with `space` points (n, p) of it, measured by its distance. There a
            sphere counts by the chord √(2 − 2 cosine), alone or in a mixture, because 2 − 2 cosine is no metric.
        distances: (n, n) in place of features: any metric.
        samples: points of a draw. Where there are no more than that, one draw has them all.
        draws: how many; the published code takes 100.
        base_points: the first so many points of a draw are base points in turn, and the largest δ counts; published is 1.
        progress: show a bar over the draws.

    Raises:
        InputError: for fewer than four points, points that all coincide or are not finite, distances that are no metric, and
            counts below one.
    """
    for name, number, least in (("samples", samples, 4), ("draws", draws, 1), ("base_points", base_points, 1)):
        if number < least:
            raise InputError(f"{name}={number}; expected {least} or more")
    if (features is None) == (distances is None) or (distances is not None and space is not None):
        raise InputError("give one thing to measure: features, points with space=, or distances")
    if features is None:
        known = _checked(distances)
        count, measure = len(known), lambda chosen: known[np.ix_(chosen, chosen)]
    else:
        points = torch.as_tensor(features if isinstance(features, Tensor) else np.asarray(features)).detach().cpu()
        where = space or Euclidean()
        try:
            where.check(points)
        except ValueError as error:
            raise InputError(str(error)) from None
        count, measure = len(points), lambda chosen: _distances(where, points[torch.from_numpy(chosen)].double())
    if count < 4:
        raise InputError(f"{count} points; expected four or more, because fewer always make a tree")
    if samples >= count:
        samples, draws = count, 1
    found, diameters = [], []
    for draw in tqdm(range(draws), desc="δ", unit="draw", disable=not progress, leave=False):
        # Each draw has a generator of its own: more draws begin with the same ones.
        apart = measure(np.random.default_rng([seed, draw]).permutation(count)[:samples])
        diameter = float(apart.max())
        if diameter == 0:
            raise InputError(f"the {samples:,} points of a draw all coincide: there is no distance to measure δ by")
        own = []
        for base in range(min(base_points, samples)):
            products = gromov_products(apart, base)
            if distances is not None:
                _check_triangles(products, diameter)
            own.append(2 * largest_excess(products) / diameter)
        found.append(own)
        diameters.append(diameter)
    per_draw = [max(own) for own in found]
    return DeltaReport(
        value=float(np.mean(per_draw)),
        interval=mean_interval(per_draw),
        per_draw=tuple(per_draw),
        spread=None if base_points == 1 else float(np.mean([max(own) - min(own) for own in found])),
        diameter=float(np.mean(diameters)),
        points=count,
        samples=samples,
    )


def gromov_products(distances: NDArray, base: int = 0) -> NDArray[np.float64]:
    """½ (d(0, i) + d(0, j) − d(i, j)) of all pairs of points, from distances (n, n), with `base` as 0: (n, n)."""
    own = np.asarray(distances[base], np.float64)
    products = own[:, None] + own[None]
    products -= distances
    products *= 0.5
    return products


def largest_excess(products: NDArray) -> float:
    """The largest entry of (M ⊗ M) − M for a symmetric M (n, n), with the min-max product ⊗; 0 or more.

    For a pair (i, j) the witness k counts with min(Mᵢₖ, Mₖⱼ). No witness but i and j, who win nothing, gives more than the
    largest Mᵢₖ off the diagonal, nor more than the largest Mₖⱼ. So rows are taken in the order of that bound, their
    witnesses from the largest Mᵢₖ down, and a pair is dropped as soon as what is left cannot beat the best so far.
    """
    count = len(products)
    diagonal = products.diagonal()
    largest = np.array([np.delete(row, i).max(initial=-np.inf) for i, row in enumerate(products)])
    # A pair of a point with itself; 0 unless the triangle inequality is broken.
    best = float(max(0.0, (largest - diagonal).max()))
    bounds = np.array([(np.minimum(own, largest) - row).max() for own, row in zip(largest, products, strict=True)])
    left = np.ones(count, bool)
    for i in np.argsort(-bounds):
        if bounds[i] <= best:
            break
        left[i] = False  # the pairs of i are done with it: (j, i) is (i, j)
        row = products[i]
        columns = np.flatnonzero(left & (np.minimum(largest[i], largest) - row > best))
        witnesses = np.argsort(-row)
        witnesses = witnesses[witnesses != i]
        for start in range(0, count - 1, _BLOCK):
            some = witnesses[start : start + _BLOCK]
            columns = columns[np.minimum(row[some[0]], largest[columns]) - row[columns] > best]
            if len(columns) <= _BLOCK:
                # What few pairs are left have all their witnesses looked at, without gathering columns.
                excess = np.minimum(row, products[columns]).max(1) - row[columns]
                best = max(best, float(excess.max(initial=0)))
                break
            both = np.take(products[some], columns, axis=1)
            np.minimum(row[some, None], both, out=both)
            best = max(best, float((both.max(0) - row[columns]).max()))
    return best


def four_point_delta(distances: ArrayLike) -> float:
    """Gromov's δ over all base points, exactly, of distances (n, n) of up to 64 points.

    Of four points the three sums d(a, b) + d(c, d), d(a, c) + d(b, d), d(a, d) + d(b, c) are put in order; δ is half the
    largest less half the middle one, at most. δ at any one base point is between half of it and all of it.

    Raises:
        InputError: for fewer than 4 points or more than 64, and distances that are none.
    """
    apart = _checked(distances)
    if not 4 <= len(apart) <= 64:
        raise InputError(f"{len(apart)} points; expected 4 to 64, because every four of them are tried")
    a, b, c, d = np.array(list(combinations(range(len(apart)), 4))).T
    sums = np.sort([apart[a, b] + apart[c, d], apart[a, c] + apart[b, d], apart[a, d] + apart[b, c]], axis=0)
    return float((sums[2] - sums[1]).max()) / 2


def _distances(space: Space, points: Tensor) -> NDArray[np.float64]:
    """Of every point with every point, by rows, so that what is made on the way stays small."""
    apart = np.empty((len(points), len(points)))
    for start in range(0, len(points), _ROWS):
        with torch.no_grad():
            apart[start : start + _ROWS] = _metric(space, points[start : start + _ROWS], points).numpy()
    np.fill_diagonal(apart, 0)
    # Blocks of a matrix product may round (i, j) and (j, i) apart.
    return np.maximum(apart, apart.T, out=apart)


def _metric(space: Space, x: Tensor, y: Tensor) -> Tensor:
    if isinstance(space, Mixed):
        parts = zip(space.weights, space.parts, space.split(x), space.split(y), strict=True)
        return sum((weight * _metric(part, own, other) for weight, part, own, other in parts), torch.zeros(1).double())
    apart = space.pairwise(x, y)
    return apart.clamp_min(0).sqrt() if isinstance(space, Sphere) else apart


def _checked(distances: ArrayLike | None) -> NDArray[np.float64]:
    """A matrix of distances. Raises InputError for anything else."""
    apart = np.asarray(distances.detach().cpu() if isinstance(distances, Tensor) else distances, np.float64)
    if apart.ndim != 2 or apart.shape[0] != apart.shape[1]:
        raise InputError(f"distances of shape {apart.shape}; expected a square matrix (n, n)")
    if not np.isfinite(apart).all() or (apart < 0).any():
        raise InputError("some distances are negative or not finite; expected numbers from 0 on")
    slack = _TOLERANCE * apart.max(initial=0)
    if (apart.diagonal() > slack).any() or (np.abs(apart - apart.T) > slack).any():
        raise InputError("the distances are not symmetric with a diagonal of 0; expected d(i, j) = d(j, i) and d(i, i) = 0")
    apart = np.maximum(apart, apart.T)
    np.fill_diagonal(apart, 0)
    return apart


def _check_triangles(products: NDArray, diameter: float) -> None:
    """Raise InputError where a triangle with the base point does not close: 0 ≤ (i, j) ≤ d(0, i) in every metric."""
    off = max(float((products - products.diagonal()).max()), -float(products.min()))
    if off > _TOLERANCE * diameter:
        raise InputError(
            "the distances break the triangle inequality, and δ is for metrics: of squared distances, or 2 − 2 cosine, take "
            "the square root"
        )
