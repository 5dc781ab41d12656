"""Multi-similarity: pairs of the batch, in any space; an option of CHEST."""

import torch
from torch import Tensor
from torch.nn.functional import softplus

from ..spaces import Space
from ..spaces.precision import at_least_float32
from .scale import similarity


def multi_similarity(
    space: Space,
    points: Tensor,
    labels: Tensor,
    anchors: slice | None = None,
    *,
    positive_scale: float = 2.0,
    negative_scale: float = 50.0,
    threshold: float = 0.5,
    slack: float = 0.1,
) -> Tensor:
    """Multi-similarity with its mining of pairs (Wang et al., CVPR 2019, Eq. 9 to 12), s = 1 − 2 D/space.diameter.

    mean_i of log(1 + Σ_p e^(−α (s_ip − λ)))/α + log(1 + Σ_n e^(β (s_in − λ)))/β over the positives p less similar than the
    most similar negative and `slack`, and the negatives n more similar than the least similar positive less `slack`. An
    anchor without positives or without negatives has no terms.

    Args:
        space: of bounded distances.
        points: (K, p) in it.
        labels: (K,).
        anchors: a run of the batch, whose terms alone are added (see `Loss`).
        positive_scale, negative_scale, threshold, slack: α, β, λ and ε.
    """
    points, labels = at_least_float32(points), labels.to(points.device)
    rows = torch.arange(len(points), device=points.device)[anchors or slice(None)]
    # In float64, which tells close positives apart through inner products; a batch's own pairs are few.
    s = similarity(space, space.pairwise(points[rows].double(), points.double())).to(points.dtype)
    same = labels[rows, None] == labels
    positive, negative = same & (rows[:, None] != torch.arange(len(points), device=points.device)), ~same
    least = s.masked_fill(~positive, torch.inf).amin(1, keepdim=True).detach()
    most = s.masked_fill(~negative, -torch.inf).amax(1, keepdim=True).detach()
    pulled, pushed = positive & (s < most + slack), negative & (s > least - slack)
    pull = (-positive_scale * (s - threshold)).masked_fill(~pulled, -torch.inf)
    push = (negative_scale * (s - threshold)).masked_fill(~pushed, -torch.inf)
    terms = softplus(_log_sum(pull)) / positive_scale + softplus(_log_sum(push)) / negative_scale
    return terms.sum() / len(points)


def _log_sum(logits: Tensor) -> Tensor:
    """log Σ exp over rows; the least finite number, without a gradient, where a row is all −inf."""
    return logits.masked_fill((logits == -torch.inf).all(1, keepdim=True), torch.finfo(logits.dtype).min / 2).logsumexp(1)
