"""How many negatives a loss listens to."""

import math

import torch
from torch import Tensor

from ..spaces import Space


def effective_number(logits: Tensor) -> Tensor:
    """Kish's effective number of each anchor's weights p ∝ exp(logit), (a, n), −∞ where there is none: (a,).

    (Σ p)²/Σ p²: so many equal weights would be as uneven. It does not depend on what p is divided by, so it is the same of a
    softmax over negatives alone and of the weights p(x⁻) of HypMix's Eq. 9. NaN where all are −∞.
    """
    # Relative to the largest weight, so that nothing over- or underflows as a whole.
    weights = (logits - logits.amax(1, keepdim=True)).exp_()
    return weights.sum(1).square() / weights.square_().sum(1)


def effective_negatives(
    space: Space, points: Tensor, labels: Tensor, temperature: float, anchors: Tensor | None = None
) -> tuple[float, float]:
    """How many negatives have weight in a softmax of −D/τ, and the share of all that these are: means over anchors.

    Of the points (n, p) with another label (n,), each has the weight p ∝ exp(−D/τ) (HypMix, Eq. 8). The effective number
    (Kish) is 1 where a single negative has all the weight, the number of negatives where all have the same.

    Args:
        space: where the points live; its distance is D.
        points: (n, p).
        labels: (n,).
        temperature: τ > 0.
        anchors: positions of the points whose negatives count; by default all, whose distances are made at once.

    Returns:
        The effective number and its share; NaN both where no anchor has a negative.
    """
    points = points.detach()
    labels = labels.to(points.device)
    own = slice(None) if anchors is None else anchors.to(points.device)
    with torch.no_grad():
        negative = labels[own, None] != labels
        some = negative.any(1)
        if not some.any():
            return math.nan, math.nan
        logits = (-space.pairwise(points[own], points) / temperature).masked_fill(~negative, -torch.inf)[some]
        effective = effective_number(logits)
        return float(effective.mean()), float((effective / negative[some].sum(1)).mean())
