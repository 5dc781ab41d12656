"""What a line of metrics says of a step's points: a few milliseconds of the CPU, at the steps that are logged."""

import copy

import numpy as np
import torch
from torch import Tensor

from ..evaluation import alignment, effective_negatives, effective_rank, rank_correlation, uniformity
from ..losses import ConvexCombination, PairwiseCrossEntropy
from ..spaces import Hyperbolic, Mixed, Space, Sphere

#: What is read of a batch at most, always the same positions: points for the effective rank, points whose pairs make the
#: uniformity, pairs whose ranking is compared with cosine's, and anchors whose negatives are weighed. Enough for two digits.
ROWS, PAIRED, PAIRS, ANCHORS = 1024, 512, 1024, 64


@torch.no_grad()
def points_telemetry(space: Space, points: Tensor, labels: Tensor) -> dict[str, float]:
    """What the space itself tells of a batch's points (n, p), and of each part what its points with labels (n,) do:

    `effective_rank`, `alignment` and `uniformity` (see `evaluation`), and of a hyperbolic part `cosine_correlation`, the
    rank correlation of its distance with D_cos of the directions.
    """
    points, space = _on_cpu(points, space)
    return {**space.telemetry(points), **_spread_out(space, points, labels.cpu())}


@torch.no_grad()
def negatives_telemetry(loss, points: Tensor, labels: Tensor) -> dict[str, float]:
    """How many negatives in the batch have weight in a pairwise cross-entropy, and which share of all they are.

    Of a convex combination for each of its losses; nothing of other losses, which have no such softmax.
    """
    if isinstance(loss, ConvexCombination):
        told = {}
        for name, own, term in zip(loss.space.names, loss.space.split(points), loss.losses, strict=True):
            told |= {f"{name}/{key}": value for key, value in negatives_telemetry(term, own, labels).items()}
        return told
    if not isinstance(loss, PairwiseCrossEntropy):
        return {}
    points, space = _on_cpu(points, loss.space)
    number, share = effective_negatives(space, points, labels.cpu(), loss.temperature, some(len(points), ANCHORS))
    return {"effective_negatives": number, "effective_negatives_share": share}


def some(count: int, most: int) -> Tensor:
    """At most `most` of `count` positions, drawn at random and always the same, in order."""
    return torch.from_numpy(np.sort(np.random.default_rng(0).permutation(count)[:most]))


def _on_cpu(points: Tensor, space: Space) -> tuple[Tensor, Space]:
    # One copy of the points, and no kernel or wait for each small number.
    return points.detach().float().cpu(), space if points.device.type == "cpu" else copy.deepcopy(space).cpu()


def _spread_out(space: Space, points: Tensor, labels: Tensor) -> dict[str, float]:
    if isinstance(space, Mixed):
        told = {}
        for name, part, own in zip(space.names, space.parts, space.split(points), strict=True):
            told |= {f"{name}/{key}": value for key, value in _spread_out(part, own.contiguous(), labels).items()}
        return told
    told = {
        "effective_rank": effective_rank(points[some(len(points), ROWS)]),
        "alignment": alignment(points, labels),
        "uniformity": uniformity(points[some(len(points), PAIRED)]),
    }
    if isinstance(space, Hyperbolic):
        told["cosine_correlation"] = _cosine_correlation(space, points)
    return told


def _cosine_correlation(space: Hyperbolic, points: Tensor) -> float:
    if len(points) < 2:
        return float("nan")
    generator = np.random.default_rng(0)
    first = generator.integers(len(points), size=PAIRS)
    second = (first + generator.integers(1, len(points), size=PAIRS)) % len(points)
    x, y = (points[torch.from_numpy(side)] for side in (first, second))
    sphere = Sphere()
    return rank_correlation(space.distance(x, y).numpy(), sphere.distance(sphere(x), sphere(y)).numpy())
