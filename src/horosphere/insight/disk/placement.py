"""Any number of points placed in a disk among landmarks that have been laid out there.

A point goes to where its own stress is least: Σ w (d(z, z_j) − s D_j)² over the landmarks j, with the weights w and the
scale s of `stress_layout`. Landmark multidimensional scaling (de Silva and Tenenbaum, 2004) does so in closed form for
inner products; in the disk it takes a few Newton steps in two dimensions. Each point is placed on its own, so that its
place depends on no other, and a query's is that which the same item would have.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from ...spaces import Space
from .layout import DiskLayout

#: Landmarks nearest to a point, all of which it meets, and landmarks by lot, which stand for the others.
_NEAR, _FAR = 32, 96
#: Starts: the places of the nearest landmarks, and directions around the first of them, at the distances that are wanted.
_STARTS, _AROUND, _DIRECTIONS = 8, 2, 16
#: Newton steps, the longest of them, and points placed at a time.
_STEPS, _LONGEST, _BLOCK = 24, 1.0, 1024
#: Below this share of the mean distance, distances weigh no more: `stress_layout`'s floor.
_FLOOR = 0.05
#: Places keep this far from the boundary, so that float32 can tell them from it.
EDGE = 1 - 2.0**-20


def landmarks_of(count: int, most: int, groups: Sequence[str] | None = None, *, seed: int = 0) -> np.ndarray:
    """Which of `count` points to lay out, in rising order: all, or `most`, each group of `groups` (count,) with its share.

    By lot within a group, and at equal steps through the groups one after another (systematic sampling), so that a group's
    number is its share rounded up or down.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(count)
    if count <= most:
        return np.arange(count)
    if groups is not None:
        order = order[np.unique(np.asarray(groups)[order], return_inverse=True)[1].argsort(kind="stable")]
    return np.sort(order[((np.arange(most) + rng.uniform()) * count / most).astype(int)])


@dataclass(frozen=True, eq=False)
class Placement:
    """Landmarks in the disk, and where other points belong among them.

    Attributes:
        space: of the points.
        landmarks: (m, p) points of it.
        layout: theirs, by `stress_layout`.
        seed: of the lot that says which landmarks stand for those far away.
    """

    space: Space
    landmarks: Tensor
    layout: DiskLayout
    seed: int = 0

    @cached_property
    def _mean(self) -> float:
        """The mean distance of landmarks."""
        blocks = self._landmarks.split(_BLOCK)
        return float(torch.cat([self.space.pairwise(block, self._landmarks).mean(1) for block in blocks]).mean())

    @cached_property
    def _landmarks(self) -> Tensor:
        # Far out in a hyperbolic space, float32's inner products cannot tell near from far.
        return self.landmarks.cpu().double()

    @cached_property
    def _far(self) -> Tensor:
        lot = np.random.default_rng(self.seed).permutation(len(self.landmarks))[:_FAR]
        return torch.from_numpy(np.sort(lot))

    @torch.no_grad()
    def place(self, points: Tensor, tell: Callable[[int, int], None] | None = None) -> np.ndarray:
        """Places of points (n, p): (n,) complex. `tell` hears how many of how many are placed.

        Raises ValueError for points that are not of this space.
        """
        self.space.check(points)
        z = np.zeros(len(points), complex)
        if self._mean == 0 or not self.layout.z.any():  # the landmarks are one point, and give no direction
            return z
        for start in range(0, len(points), _BLOCK):
            some = slice(start, start + _BLOCK)
            z[some] = self._placed(points[some].cpu().double())
            if tell is not None:
                tell(min(start + _BLOCK, len(points)), len(points))
        return z

    def _placed(self, points: Tensor) -> np.ndarray:
        at = torch.from_numpy(np.stack([self.layout.z.real, self.layout.z.imag]))
        distances = self.space.pairwise(points, self._landmarks)
        near, nearest = distances.topk(min(_NEAR, len(self.landmarks)), largest=False)
        far = distances[:, self._far]
        # A landmark by lot that is among the nearest has been met.
        rest = (far > near[:, -1:]).double()
        share = (len(self.landmarks) - near.shape[1]) / rest.sum(1, keepdim=True).clamp_min(1)
        wanted = torch.cat([near, far], 1)
        weights = (wanted / self._mean).clamp_min(_FLOOR) ** -2 * torch.cat([torch.ones_like(near), rest * share], 1)
        others = torch.cat([at[:, nearest], at[:, self._far, None].mT.expand(2, len(points), -1)], 2)
        wanted = self.layout.scale * wanted
        if self.layout.centre == "origin":  # the radius weighs as much as all distances, as in the layout
            radii = self.layout.scale * self.space.radius(points).unsqueeze(1)
            wanted, weights = torch.cat([wanted, radii], 1), torch.cat([weights, weights.sum(1, keepdim=True)], 1)
            others = torch.cat([others, others.new_zeros(2, len(points), 1)], 2)
        problem = _Stress(others, wanted, weights / weights.sum(1, keepdim=True))
        circles = _around(others[:, :, :_AROUND], wanted[:, :_AROUND])
        x, y = problem.least(torch.cat([others[:, :, : min(_STARTS, near.shape[1])], circles], 2)).numpy()
        return x + 1j * y


@dataclass(frozen=True, eq=False)
class _Stress:
    """The stress of b points, each with its own `others` (2, b, k), distances `wanted` to them and `weights` (b, k)."""

    others: Tensor
    wanted: Tensor
    weights: Tensor

    def least(self, starts: Tensor) -> Tensor:
        """Where it is least, from the best of `starts` (2, b, s): (2, b).

        Newton's method in the tangent plane. Of the second derivative, uuᵀ + (d − s D) coth d (1 − uuᵀ) for a geodesic in
        the direction u, the negative part is left out, so that a step always leads downhill, and a step that leads up is
        shortened.
        """
        values = torch.stack([self.value(start) for start in starts.unbind(2)], 1)
        z = starts.gather(2, values.argmin(1).expand(2, -1).unsqueeze(2)).squeeze(2)
        value = values.amin(1)
        share = torch.ones_like(value)
        for _ in range(_STEPS):
            tried = _step(z, share * self._newton(z))
            new = self.value(tried)
            better = new < value
            z, value = torch.where(better, tried, z), torch.where(better, new, value)
            share = torch.where(better, (2 * share).clamp_max(1), share / 4)
        return z

    def value(self, z: Tensor) -> Tensor:
        """The stress at z (2, b): (b,)."""
        square, room = self._seen(z)[2:]
        return (self.weights * (_length(square, room) - self.wanted).square()).sum(1)

    def _seen(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Differences to the others, ‖w − z‖² and (1 − ‖z‖²)(1 − ‖w‖²)."""
        dx, dy = (self.others - z.unsqueeze(2)).unbind(0)
        room = (1 - z.square().sum(0)).unsqueeze(1) * (1 - self.others.square().sum(0))
        return dx, dy, dx.square() + dy.square(), room

    def _newton(self, z: Tensor) -> Tensor:
        dx, dy, square, room = self._seen(z)
        length = _length(square, room)
        # Direction of (w − z)/(1 − z̄ w): that of (w − z) times the conjugate of 1 − z̄ w.
        (x, y), (wx, wy) = z.unsqueeze(2), self.others
        real, imaginary = 1 - x * wx - y * wy, y * wx - x * wy
        norm = (square * (square + room)).sqrt().clamp_min(1e-300)
        ux, uy = (dx * real + dy * imaginary) / norm, (dy * real - dx * imaginary) / norm
        off = length - self.wanted
        bend = off.clamp_min(0) / length.clamp_min(1e-9).tanh()
        pull = self.weights * off
        gx, gy = (pull * ux).sum(1), (pull * uy).sum(1)
        along, flat = self.weights * (1 - bend), (self.weights * bend).sum(1) + 1e-9
        hxx, hyy, hxy = (along * ux * ux).sum(1) + flat, (along * uy * uy).sum(1) + flat, (along * ux * uy).sum(1)
        step = torch.stack([hyy * gx - hxy * gy, hxx * gy - hxy * gx]) / (hxx * hyy - hxy.square()).clamp_min(1e-18)
        return step * (_LONGEST / step.norm(dim=0).clamp_min(_LONGEST))


def _around(centres: Tensor, distances: Tensor) -> Tensor:
    """Points in all directions around centres (2, b, m), at their distances (b, m): (2, b, m · directions).

    Far from the centre of the disk the stress has valleys that lead to wrong places; near the right one there is none.
    """
    angles = torch.arange(_DIRECTIONS, dtype=torch.float64) * (2 * torch.pi / _DIRECTIONS)
    v = distances[..., None] * torch.stack([angles.cos(), angles.sin()])[:, None, None]
    return _step(centres[..., None].expand_as(v).flatten(1), v.flatten(1)).unflatten(1, v.shape[1:]).flatten(2)


def _length(square: Tensor, room: Tensor) -> Tensor:
    """2 asinh √(‖w − z‖²/((1 − ‖z‖²)(1 − ‖w‖²))): the distance in the disk."""
    return 2 * (square / room).sqrt().asinh()


def _step(z: Tensor, v: Tensor) -> Tensor:
    """Where the geodesic arrives that leaves z (2, b) in the direction of v, after length |v|."""
    length = v.norm(dim=0)
    moved = torch.complex(*(v * ((length / 2).tanh() / length.clamp_min(1e-300))))
    centre = torch.complex(*z)
    out = (moved + centre) / (1 + centre.conj() * moved)
    return torch.view_as_real(out * (EDGE / out.abs().clamp_min(EDGE))).mT
