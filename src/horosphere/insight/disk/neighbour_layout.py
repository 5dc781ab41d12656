"""Points laid out in the disk so that neighbours stay neighbours, and others placed among their nearest landmarks.

In a plane there is no room for the distances of many dimensions, and least stress gives up the small ones first. Here, as
in UMAP (McInnes et al., 2018), each point and its nearest are joined by weights p in (0, 1], and

    −Σ p log q − Σ (1 − p) log (1 − q),    q = 1/(1 + a d^(2b))

is made small for distances d in the disk: neighbours attract one another, points by lot repel. The radius of a space that
has an origin is kept beside it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.sparse import coo_array
from torch import Tensor

from ...spaces import Space
from . import unit_disk
from .layout import DiskLayout
from .placement import EDGE, Placement

#: UMAP's curve for points that may come as near as 0.1 in a spread of 1.
_A, _B = 1.577, 0.895
#: Neighbours that attract a point, points by lot that repel it, steps, and the longest step.
_NEIGHBOURS, _LOT, _STEPS, _LONGEST = 15, 12, 200, 0.5
#: How far a point moves in a step towards its own radius.
_RADIAL = 0.3
#: Nearest landmarks between which a point is placed, steps to their mean, and points placed at a time.
_BETWEEN, _MEAN_STEPS, _BLOCK = 8, 16, 1024
#: Distances to landmarks that pull no stronger, so that one far off in the picture does not draw a point from the rest.
_FAR = 1.5


def neighbour_layout(
    space: Space, points: Tensor, start: DiskLayout, *, seed: int = 0, tell: Callable[[int, int], None] | None = None
) -> DiskLayout:
    """The layout of points (n, p) that keeps neighbours, from a `start` by least stress, whose scale and centre it has.

    For some thousands of points: it takes all n² distances. `tell` hears how many of how many steps are done.
    """
    rng, z = np.random.default_rng(seed), start.z
    one, other, weight = _graph(space, points)
    radii = _radii(space, points, start)
    for step in range(_STEPS):
        # An edge is met as often as it weighs, and each time with as many points by lot.
        met = rng.random(len(weight)) < weight
        i, j = one[met], other[met]
        length, direction = unit_disk.towards(z[i], z[j])
        # The gradient 2ab d^(2b−1)/(1 + a d^(2b)) goes to infinity at 0: no point jumps over half the way.
        pull = np.minimum(2 * _A * _B * length ** (2 * _B - 1) / (1 + _A * length ** (2 * _B)), length / 2)
        move = np.bincount(i, pull * direction.real, len(z)) + 1j * np.bincount(i, pull * direction.imag, len(z))
        count = np.bincount(i, minlength=len(z))
        length, direction = unit_disk.towards(z[:, None], z[rng.integers(0, len(z), (len(z), _LOT))])
        push = 2 * _B * length / ((0.01 + length**2) * (1 + _A * length ** (2 * _B)))
        move = move / np.maximum(count, 1) - (push * direction).sum(1) / 3
        move *= (1 - step / _STEPS) * np.minimum(1, _LONGEST / np.maximum(np.abs(move), 1e-300))
        z = unit_disk.step(z, move)
        if radii is not None:
            away, inwards = unit_disk.towards(z, np.zeros(1))
            z = unit_disk.step(z, _RADIAL * (away - radii) * inwards)
        if tell is not None:
            tell(step + 1, _STEPS)
    if radii is None:
        z = unit_disk.recentre(z, unit_disk.mean(z))
    return replace(start, z=z)


def _graph(space: Space, points: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Edges between neighbours, both ways: from, to, and the weight p + p' − p p' of the two directions' own."""
    points = points.double()
    k = min(_NEIGHBOURS, len(points) - 1)
    near, nearest = [], []
    for start in range(0, len(points), _BLOCK):
        distances = space.pairwise(points[start : start + _BLOCK], points).detach()
        distances[torch.arange(len(distances)), torch.arange(start, start + len(distances))] = torch.inf
        found = distances.topk(k, largest=False)
        near.append(found.values.numpy())
        nearest.append(found.indices.numpy())
    own = np.repeat(np.arange(len(points)), k)
    pairs = own, np.concatenate(nearest).ravel()
    p = coo_array((_weights(np.concatenate(near)).ravel(), pairs), shape=(len(points),) * 2).tocsr()
    both = (p + p.T - p * p.T).tocoo()
    return both.row, both.col, both.data


def _weights(near: np.ndarray) -> np.ndarray:
    """exp(−(D − D₁)/σ) of distances to neighbours (b, k), nearest first, with σ the mean of D − D₁: the nearest weighs 1."""
    beyond = near - near[:, :1]
    return np.exp(-beyond / np.maximum(beyond.mean(1, keepdims=True), 1e-12))


def _radii(space: Space, points: Tensor, layout: DiskLayout) -> np.ndarray | None:
    return layout.scale * space.radius(points.double()).detach().numpy() if layout.centre == "origin" else None


@dataclass(frozen=True, eq=False)
class NeighbourPlacement(Placement):
    """Landmarks laid out by `neighbour_layout`, and where other points belong among them.

    A point comes to the weighted mean of its nearest landmarks in the disk, as UMAP places new points to begin with, and
    where the layout keeps radii, to its own.
    """

    def _placed(self, points: Tensor) -> np.ndarray:
        near = self.space.pairwise(points, self._landmarks).topk(min(_BETWEEN, len(self.landmarks)), largest=False)
        weights = _weights(near.values.numpy())
        weights /= weights.sum(1, keepdims=True)
        at = self.layout.z[near.indices.numpy()]
        z = at[:, 0]
        for _ in range(_MEAN_STEPS):
            length, direction = unit_disk.towards(z[:, None], at)
            z = unit_disk.step(z, (weights * np.minimum(length, _FAR) * direction).sum(1))
        if (radii := _radii(self.space, points, self.layout)) is not None:
            z = unit_disk.of_tangents(radii * z / np.maximum(np.abs(z), 1e-300))
        return z * np.minimum(1, EDGE / np.maximum(np.abs(z), 1e-300))
