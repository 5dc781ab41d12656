"""How far a layout in the plane can be trusted: what of distances, radii and neighbours it keeps."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor

from ...evaluation import nearest
from ...spaces import Space
from . import unit_disk
from .layout import kruskal_stress

#: Pairs on which distances are compared, points whose neighbours are, and how many neighbours.
_PAIRS, _POINTS, _K = 100_000, 1000, 10


@dataclass(frozen=True, eq=False)
class LayoutQuality:
    """What a layout keeps.

    Attributes:
        stress: Kruskal's stress-1 over pairs: the error of distances over their size, 0 where exact. His 0.05 is good, 0.1
            fair and 0.2 poor were for distances after a monotone fit. Here the fit is one factor, so values are larger.
        distances: Spearman's rank correlation of the distances.
        radius: that of the distance to the centre with the radius; None where the space has no radius, or one for all.
        neighbours: of the 10 nearest in the space, the share that is among the 10 nearest in the picture.
        found, wanted: the distances of the pairs, in the picture and in the space: a Shepard diagram.
    """

    stress: float
    distances: float | None
    radius: float | None
    neighbours: float
    found: np.ndarray
    wanted: np.ndarray

    def to_dict(self) -> dict:
        """JSON-able numbers."""
        return {name: getattr(self, name) for name in ("stress", "distances", "radius", "neighbours")}


def layout_quality(
    space: Space, points: Tensor, z: np.ndarray, *, flat: bool = False, queries: int = _POINTS, seed: int = 0
) -> LayoutQuality:
    """Of the layout z (n,) of points (n, p), in the unit disk or, with `flat`, in the plane.

    Neighbours are those of `queries` points by lot, among all. Raises InputError for points that are not of this space.
    """
    rng = np.random.default_rng(seed)
    i, j = rng.integers(0, len(z), (2, _PAIRS))
    i, j = i[i != j], j[i != j]
    measure = (lambda a, b: np.abs(a - b)) if flat else unit_disk.distance
    found = measure(z[i], z[j])
    pairs = zip(np.array_split(i, 10), np.array_split(j, 10), strict=True)
    wanted = np.concatenate(
        [
            space.distance(points[torch.from_numpy(a)], points[torch.from_numpy(b)]).detach().double().numpy()
            for a, b in pairs
        ]
    )
    some, k = rng.permutation(len(z))[:queries], min(_K, len(z) - 1)
    kept = []
    for run, own in nearest(points, space, k, queries=some):
        for point, true in zip(run, own, strict=True):
            away = measure(z[point], z)
            away[point] = np.inf
            kept.append(len(np.intersect1d(np.argpartition(away, k - 1)[:k], true)) / k)
    radius = None
    if space.has_origin:
        radius = _ranks(np.abs(z), space.radius(points).detach().double().numpy())
    return LayoutQuality(kruskal_stress(found, wanted), _ranks(found, wanted), radius, float(np.mean(kept)), found, wanted)


def _ranks(a: np.ndarray, b: np.ndarray) -> float | None:
    """Spearman's correlation; None where one of the two hardly varies."""
    if min(np.ptp(a) / max(np.abs(a).max(), 1e-300), np.ptp(b) / max(np.abs(b).max(), 1e-300)) < 1e-4:
        return None
    return float(spearmanr(a, b).statistic)
