"""Is a hyperbolic model cosine in disguise? Rank correlation of its distances with cosine, and what its radius adds."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ..errors import InputError
from ..spaces import Hyperbolic, Sphere
from .truth import Truth

#: From here on nearly every point is on one radius, where hyperbolic distance is a monotone function of cosine.
CLIPPED = 0.95
#: Radii this close to one another, relative to their mean, are one radius.
ONE_RADIUS = 1e-2
#: Two rankings as alike as this order retrieval alike.
SAME_RANKING = 0.999


def rank_correlation(a: ArrayLike, b: ArrayLike) -> float:
    """Spearman's rank correlation of two vectors (n,), tied values at their average rank.

    NaN where it has no meaning: fewer than two values, a constant vector, or NaN in either.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.ndim != 1 or a.shape != b.shape:
        raise InputError(f"rank correlation of shapes {a.shape} and {b.shape}; expected two vectors of one length")
    if len(a) < 2 or np.isnan(a).any() or np.isnan(b).any():
        return float("nan")
    a, b = average_ranks(a), average_ranks(b)
    a, b = a - a.mean(), b - b.mean()
    spread = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / spread) if spread > 0 else float("nan")


def average_ranks(values: NDArray) -> NDArray[np.float64]:
    """Ranks from 1 of a vector (n,), tied values at their average rank."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[place]


@dataclass(frozen=True)
class CosineAgreement:
    """How far a hyperbolic space's distances agree with cosine.

    Attributes:
        rank_correlation: Spearman's, of hyperbolic distance with D_cos of the directions, over random pairs.
        clip_fraction: points at the clip; None where the space has no clip.
        radius_spread: standard deviation of ‖v‖ over its mean.
        in_disguise: True where the ranking is cosine's; statistics of the radius then say nothing (n/a).
        verdict: the same in a sentence.
    """

    rank_correlation: float
    clip_fraction: float | None
    radius_spread: float
    in_disguise: bool
    verdict: str


def cosine_agreement(space: Hyperbolic, points: Tensor | NDArray, pairs: int = 100_000, seed: int = 0) -> CosineAgreement:
    """Compare distances of random pairs of distinct `points` (n, p) with D_cos of their directions.

    A hyperbolic model is cosine in disguise when its points sit on one radius, by the clip or by themselves: its distance
    is then a monotone function of cosine, and gains over a sphere come from the temperature. For a mixture, call this on
    each hyperbolic part with its own points, `space.split(points)`.

    Raises:
        InputError: for a space that is not hyperbolic, and for fewer than two points.
    """
    if not isinstance(space, Hyperbolic):
        raise InputError(
            f"cosine agreement is a check of one hyperbolic space; given: {space.name}. For a mixture, call it on each "
            "hyperbolic part with that part's columns of space.split(points)"
        )
    points = torch.as_tensor(points).detach().cpu()
    try:
        space.check(points)
    except ValueError as error:
        raise InputError(str(error)) from None
    if len(points) < 2 or pairs < 2:
        raise InputError(f"{len(points)} points and pairs={pairs}; a correlation needs at least two of each")
    generator = np.random.default_rng(seed)
    left = generator.integers(len(points), size=pairs)
    right = (left + generator.integers(1, len(points), size=pairs)) % len(points)
    left, right = torch.from_numpy(left), torch.from_numpy(right)
    norms = torch.cat([torch.linalg.vector_norm(chunk.double(), dim=1) for chunk in points.split(8192)])
    directions = torch.cat([Sphere()(chunk.double()).float() for chunk in points.split(8192)])
    correlation = rank_correlation(
        Truth(space, points).distance(left, right).numpy(), Truth(Sphere(), directions).distance(left, right).numpy()
    )
    mean = float(norms.mean())
    spread = float(norms.std(correction=0)) / mean if mean > 0 else 0.0
    clipped = space.telemetry(points).get("clip_fraction")
    disguised, verdict = _verdict(correlation, clipped, spread)
    return CosineAgreement(correlation, clipped, spread, disguised, verdict)


def disguise(correlation: float | None, clipped: float | None, spread: float | None) -> tuple[str, str] | None:
    """Why a part ranks as cosine does: "clip", "radius" or "ranking", and the reason in words; None where it does not.

    Args:
        correlation, clipped, spread: `CosineAgreement`'s rank_correlation, clip_fraction and radius_spread; what is not
            known is None.
    """
    if clipped is not None and clipped >= CLIPPED:
        return "clip", f"{clipped:.1%} of the points are at the clip"
    if spread is not None and spread < ONE_RADIUS:
        return "radius", f"the radius varies by only {spread:.2%} of its mean"
    if correlation is not None and correlation > SAME_RANKING:
        return "ranking", f"its ranking is cosine's (rank correlation {correlation:.5f})"
    return None


def _verdict(correlation: float, clipped: float | None, spread: float) -> tuple[bool, str]:
    if reason := disguise(correlation, clipped, spread):
        return True, f"Cosine in disguise: {reason[1]}, so statistics of the radius are n/a."
    at_clip = "" if clipped is None else f", {clipped:.1%} of the points are at the clip"
    return False, (
        f"The radius takes part: it varies by {spread:.1%} of its mean{at_clip}, and the rank correlation of distance "
        f"with cosine is {correlation:.3f}."
    )
