"""Points of any space or mixture laid out in the Poincaré disk, so that distances in the picture are those of the space.

The stress of a layout z with scale s is Σ w (d(z_i, z_j) − s D_ij)², w = 1/D². Each point in turn goes to where its
distances to some others ask for: the mean over them of (d − s D) along the geodesics, weighted by w. That is a step of
stress majorisation (Gansner et al., Graph Drawing 2004), in the tangent plane of the disk; the others are drawn anew for
each step, as in stochastic gradient descent on stress (Zheng et al., 2018). No n × n matrix is ever made.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor
from tqdm import tqdm

from ...errors import InputError
from ...spaces import Hyperbolic, Mixed, Space
from . import unit_disk

#: Steps of a layout and of a trial, the share in which they shrink to nothing, and the points that all meet in a step.
_STEPS, _TRIAL, _COOLING, _PARTNERS = 300, 100, 0.7, 32
#: Points on which the scale is tried, and of which the start is made.
_SAMPLE = 500
#: 95 % of the points should lie within this distance of the centre, where the coordinate is 0.94; at the space's own
#: curvature, which is not ours to choose, within twice that, where it is 0.998.
_REACH = 3.5
#: Scales tried, as powers of 2 below the one that fills the disk, and how near the best may be to an end to count as there.
_FLATTEST, _AT_END = -3.5, 0.1
#: The space's own curvature is taken where its stress is at most this factor of the least, and this much more.
_CLOSE, _SLACK = 1.1, 0.01
#: Points whose coordinates differ by a smaller share of the largest are one point, rounded.
_SAME = 1e-6
#: Radii whose 5 and 95 % quantiles are closer than this share are all the same.
_VARIES = 0.01


@dataclass(frozen=True, eq=False)
class DiskLayout:
    """Points in the Poincaré disk.

    Attributes:
        z: (n,) complex, inside the unit circle.
        scale: distance in the unit disk, of curvature −1, that one unit of the space's distance becomes.
        centre: what lies at 0: "origin", the space's own, or "mean", the points' Karcher mean.
        chosen: what chose the scale, and with it the curvature: "space", its own curvature; "stress", which was least there;
            "most curved" or "flattest", an end of what was tried, so that it says nothing of the points' curvature; "fit",
            the factor between the picture's distances and the space's.
    """

    z: np.ndarray
    scale: float
    centre: str
    chosen: str

    @property
    def curvature(self) -> float:
        """c of the disk in units of the space: its sectional curvature is −c."""
        return self.scale**2


#: Called after each step with how many are done.
_After = Callable[[int], object] | None


class _Plane(NamedTuple):
    """How far and in which direction w lies from z, and where a tangent vector leads."""

    towards: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
    step: Callable[[np.ndarray, np.ndarray], np.ndarray]


def _flat_towards(z: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    difference = w - z
    length = np.abs(difference)
    return length, difference / np.maximum(length, 1e-300)


_DISK, _FLAT = _Plane(unit_disk.towards, unit_disk.step), _Plane(_flat_towards, np.add)


def stress_layout(
    space: Space,
    points: Tensor,
    *,
    seed: int = 0,
    progress: bool = False,
    tell: Callable[[int, int], None] | None = None,
) -> DiskLayout:
    """The layout of points (n, p) of least distance stress, from a start by classical scaling.

    The curvature of the disk is the one, of those tried on a sample, whose layout has the least stress; it is bounded so
    that the points stay apart from the boundary. Points of many dimensions want all the room that curvature gives, so the
    bound is often what chose it (`DiskLayout.chosen`). A hyperbolic space's own curvature is taken instead where its stress
    is close to the least. Where every part of the space has an origin and the radius varies, that is the centre, and the
    distance to it weighs as much as those to all other points together, so that the radius in the picture means the radius
    in the space. Elsewhere the centre is the points' Karcher mean.

    `tell` hears how many of how many steps are done. Raises InputError for fewer than three points, or points that are not
    finite.
    """
    radii = _checked_radii(space, points)
    points, rng = points.double(), np.random.default_rng(seed)
    start = start_of(space, points, seed)
    sample = rng.permutation(len(points))[:_SAMPLE]
    some = points[torch.from_numpy(sample)]
    distances = space.pairwise(some).detach().numpy()
    upper = distances[np.triu_indices(len(some), 1)]
    # A few points far from the rest come to 2.5 times the reach at most, where the disk's coordinates still have digits.
    spread = max(np.quantile(upper, 0.95) / 2, upper.max() / 5, 0.0 if radii is None else np.quantile(radii, 0.95))
    if spread == 0 or coincide(points):
        return DiskLayout(np.zeros(len(points), complex), 1.0, "mean" if radii is None else "origin", "fit")

    def laid(scale: float, chosen: np.ndarray, some: Tensor, steps: int, after: _After = None) -> np.ndarray:
        own = None if radii is None else scale * radii[chosen]
        first = unit_disk.of_tangents(scale * start[chosen])
        return _relax(_DISK, space, some, first, scale, own, np.random.default_rng(seed), steps, after)

    def stress(exponent: float) -> float:
        z = laid(_REACH / spread * 2.0**exponent, sample, some, _TRIAL)
        found = unit_disk.distance(z[:, None], z)[np.triu_indices(len(z), 1)]
        return kruskal_stress(found, upper)

    with tqdm(total=_STEPS, desc="disk", unit="step", disable=not progress, leave=False) as bar:

        def stepped(done: int) -> None:
            bar.update()
            if tell is not None:
                tell(done, _STEPS)

        best = minimize_scalar(stress, bounds=(_FLATTEST, 0), method="bounded", options={"maxiter": 10, "xatol": 0.05})
        scale, chosen = float(_REACH / spread * 2**best.x), _end(best.x)
        own = own_curvature(space)
        own_scale = np.inf if own is None else own**0.5
        fill = own_scale * spread / _REACH
        if fill <= 2 and stress(np.log2(fill)) <= _CLOSE * best.fun + _SLACK:
            scale, chosen = own_scale, "space"
        z = laid(scale, np.arange(len(points)), points, _STEPS, stepped)
    if radii is None:
        z = unit_disk.recentre(z, unit_disk.mean(z))
    return DiskLayout(z, scale, "mean" if radii is None else "origin", chosen)


def _end(exponent: float) -> str:
    if exponent > -_AT_END:
        return "most curved"
    return "flattest" if exponent < _FLATTEST + _AT_END else "stress"


def flat_layout(space: Space, points: Tensor, *, seed: int = 0, progress: bool = False) -> np.ndarray:
    """What `stress_layout` would be in the flat plane: (n,) complex, in units of the space. For comparison.

    Raises InputError as it does.
    """
    radii = _checked_radii(space, points)
    if coincide(points):
        return np.zeros(len(points), complex)
    points = points.double()
    start = start_of(space, points, seed)
    with tqdm(total=_STEPS, desc="flat", unit="step", disable=not progress, leave=False) as bar:
        return _relax(_FLAT, space, points, start, 1.0, radii, np.random.default_rng(seed), _STEPS, lambda _: bar.update())


def radii_from_origin(space: Space, points: Tensor) -> np.ndarray | None:
    """Distances of points (n, p) to the origin (n,), or None where some part of the space has none, or they are all the same
    (a fixed radius, or all at the clip), so that a picture would spend a dimension on showing nothing."""
    if not all(part.has_origin for part, _ in _active(space)):
        return None
    radii = space.radius(points).detach().double().numpy()
    low, high = np.quantile(radii, (0.05, 0.95))
    return radii if high - low > _VARIES * high else None


def own_curvature(space: Space) -> float | None:
    """c of a space that is hyperbolic and nothing else, in units of its distance; None for any other."""
    parts = _active(space)
    if len(parts) > 1 or not isinstance(parts[0][0], Hyperbolic):
        return None
    return parts[0][0].curvature / parts[0][1] ** 2


def coincide(points: Tensor) -> bool:
    """Whether points (n, p) are all one, to rounding."""
    return bool((points - points[:1]).abs().max() <= _SAME * points.abs().max())


def _active(space: Space) -> list[tuple[Space, float]]:
    """The parts that count, with their weights."""
    parts = zip(space.parts, space.weights, strict=True) if isinstance(space, Mixed) else [(space, 1.0)]
    return [(part, weight) for part, weight in parts if weight]


def kruskal_stress(found: np.ndarray, wanted: np.ndarray) -> float:
    """√(Σ (f d − D)²/Σ D²) of distances d found in a picture, D wanted, with the factor f that makes it least: in [0, 1]."""
    ends = found @ found, wanted @ wanted
    if ends[1] == 0:
        return 0.0 if ends[0] == 0 else 1.0
    return float(np.sqrt(max(0.0, 1 - (found @ wanted) ** 2 / max(ends[0] * ends[1], 1e-300))))


def _checked_radii(space: Space, points: Tensor) -> np.ndarray | None:
    if len(points) < 3:
        raise InputError(f"{len(points)} points: a layout needs three or more")
    if not torch.isfinite(points).all():
        raise InputError("some points hold NaN or infinity; look at the features they came from")
    return radii_from_origin(space, points)


def start_of(space: Space, points: Tensor, seed: int) -> np.ndarray:
    """Classical scaling (Torgerson 1952) of some landmarks, and the rest placed among them by their distances to them:
    (n,) complex, in units of the space, around the mean."""
    chosen = np.random.default_rng(seed).permutation(len(points))[:_SAMPLE]
    landmarks = points[torch.from_numpy(chosen)]
    squares = space.pairwise(landmarks).detach().double().square().numpy()
    means = squares.mean(0)
    values, vectors = np.linalg.eigh((means + means[:, None] - squares - squares.mean()) / 2)
    # (means − squares to the landmarks)/2, projected on the two largest axes (de Silva and Tenenbaum, 2004). Those have no
    # mean, but where the points lie on a line: there the second is any vector, and would be magnified.
    axes = vectors[:, -2:] - vectors[:, -2:].mean(0)
    axes /= np.sqrt(np.maximum(values[-2:], 1e-6 * max(values[-1], 1e-300)))
    axes *= np.sign(axes[np.abs(axes).argmax(0), [0, 1]])  # a sign that does not hang on the solver
    blocks = [space.pairwise(block, landmarks).detach().double().square().numpy() for block in points.split(4096)]
    placed = np.concatenate([(means - block) / 2 @ axes for block in blocks])
    return placed[:, 1] + 1j * placed[:, 0]


def _relax(
    plane: _Plane,
    space: Space,
    points: Tensor,
    z: np.ndarray,
    scale: float,
    radii: np.ndarray | None,
    rng: np.random.Generator,
    steps: int,
    after: _After,
) -> np.ndarray:
    """The layout z (n,) after all steps, each told `after`; `radii`, already scaled, are wanted from the centre."""
    for number in range(steps):
        others = rng.choice(len(points), min(_PARTNERS, len(points)), replace=False)
        wanted = space.pairwise(points, points[torch.from_numpy(others)]).detach().double().numpy()
        found, direction = plane.towards(z[:, None], z[others])
        # Under a twentieth of the mean, distances are all near: they should not outweigh everything.
        if not (mean := wanted.mean()) > 0:  # all coincide, and there is nowhere to go
            return np.zeros_like(z)
        weights = np.maximum(wanted / mean, 0.05) ** -2.0
        weights[others, np.arange(len(others))] = 0
        move, mass = (weights * (found - scale * wanted) * direction).sum(1), weights.sum(1)
        if radii is not None:
            away, inwards = plane.towards(z, np.zeros(1))
            move, mass = move + mass * (away - radii) * inwards, 2 * mass
        share = min(1.0, (1 - number / steps) / _COOLING)
        z = plane.step(z, share * move / np.maximum(mass, 1e-300))
        if after is not None:
            after(number + 1)
    return z
