"""Which negatives a geometry weighs: p(x⁻) of the pairwise cross-entropy (HypMix: Yue et al., WACV 2024, Eq. 8 and 9).

The gradient of an anchor's term is (1/τ) Σ p(x⁻) ∇(D⁺ − D⁻), a sum over its negatives: each counts as its weight says.
"""

from collections.abc import Iterator

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from ..errors import InputError
from ..spaces import Space
from .blocks import distance_blocks

#: More points than these are compared with chosen anchors only.
_ALL = 20_000


@torch.no_grad()
def negative_weights(
    space: Space,
    points: Tensor,
    labels: ArrayLike | Tensor,
    temperature: float = 0.2,
    anchors: ArrayLike | Tensor | None = None,
) -> Tensor:
    """p(x⁻): how much each negative weighs in the gradient of each anchor, the points taken as one batch (HypMix, Eq. 9).

        p(x⁻) = exp(−D⁻/τ) / (exp(−D⁺/τ) + Σ exp(−D/τ) over all negatives)

    D⁻ and D⁺ are the anchor's distances to a negative and to its positive: the next image of its class in the order given,
    after the last the first. Negatives are all images of other classes. The denominator holds the positive's term, and no
    other image of the anchor's class. The result holds negatives only: the anchor itself and every image of its class, the
    positive too, are 0 there. So a row sums to 1 − p(x⁺), the weight with which the positive is pulled.

    For the sphere D is 2 − 2 cosine, so that a published logit cosine/τ (Eq. 8) is `temperature=2 * τ` here.

    Args:
        space: any space; its distance is D.
        points: (n, p), as `space(features)` gives them.
        labels: (n,) integers.
        temperature: τ > 0.
        anchors: positions of the anchors (a,); by default all points, which 20,000 may be at most.

    Returns:
        (a, n), on the points' device, in their precision but float32 at least; computed in float64.

    Raises:
        InputError: for points that are not of this space, labels, a temperature or anchors that do not fit, an anchor that
            has no other image of its class, and points of one class.
    """
    points, labels = checked(space, points, labels)
    if not temperature > 0:
        raise InputError(f"temperature={temperature}; expected a positive number")
    if anchors is None and len(points) > _ALL:
        raise InputError(
            f"{len(points):,} points would have {len(points):,}² weights; give anchors=, or ask insight.weigh_negatives "
            "for what they say together"
        )
    anchors = torch.arange(len(points)) if anchors is None else checked_anchors(labels, anchors)
    positives = positives_of(labels, anchors)
    out = points.new_empty(len(anchors), len(points), dtype=torch.promote_types(points.dtype, torch.float32))
    for rows, apart in distances_to_others(space, points, labels, anchors, torch.float64):
        x, y = (points[index[rows].to(points.device)].double() for index in (anchors, positives))
        logits = torch.cat([apart, space.distance(x, y)[:, None]], 1).div_(-temperature)
        out[rows] = logits.softmax(1)[:, :-1].to(out.dtype)
    return out


def distances_to_others(
    space: Space, points: Tensor, labels: Tensor, anchors: Tensor, dtype: torch.dtype
) -> Iterator[tuple[slice, Tensor]]:
    """`distance_blocks` of anchors to all points, infinite to their own class."""
    on_device = labels.to(points.device)
    for rows, apart in distance_blocks(space, points, anchors, dtype=dtype):
        own = labels[anchors[rows]].to(points.device)
        yield rows, apart.masked_fill_(own[:, None] == on_device, torch.inf)


def checked(space: Space, points: Tensor, labels: ArrayLike | Tensor) -> tuple[Tensor, Tensor]:
    """Points without gradient, and labels from 0 on, without gaps, on the CPU."""
    points, labels = torch.as_tensor(points).detach(), torch.as_tensor(labels).detach().cpu()
    if not points.is_floating_point():
        raise InputError(f"points are {points.dtype}; expected floating-point numbers, points = space(features)")
    try:
        space.check(points)
    except ValueError as error:
        raise InputError(str(error)) from None
    if labels.shape != points.shape[:1] or labels.is_floating_point() or labels.dtype == torch.bool:
        raise InputError(
            f"labels are {labels.dtype} of shape {tuple(labels.shape)}; expected an integer for each of {len(points)} points"
        )
    labels = labels.unique(return_inverse=True)[1]
    if len(points) == 0 or labels.max() == 0:
        raise InputError(f"{len(points)} points of one class or none have no negatives; give images of two classes or more")
    return points, labels


def checked_anchors(labels: Tensor, anchors: ArrayLike | Tensor) -> Tensor:
    """Positions (a,), on the CPU."""
    anchors = torch.as_tensor(anchors).cpu()
    if anchors.ndim != 1 or len(anchors) == 0 or anchors.is_floating_point() or anchors.dtype == torch.bool:
        raise InputError(f"anchors are {anchors.dtype} of shape {tuple(anchors.shape)}; expected positions, one or more")
    if anchors.min() < 0 or anchors.max() >= len(labels):
        raise InputError(
            f"anchors hold {int(anchors.min())} to {int(anchors.max())}; expected positions among {len(labels)} points"
        )
    return anchors.long()


def positives_of(labels: Tensor, anchors: Tensor) -> Tensor:
    """The position of each anchor's positive: the next of its class, after the last the first."""
    order, sizes = labels.argsort(stable=True), labels.bincount()
    ends = sizes.cumsum(0)
    following = order.roll(-1)
    following[ends - 1] = order[ends - sizes]
    positives = torch.empty_like(order)
    positives[order] = following
    alone = anchors[positives[anchors] == anchors]
    if len(alone):
        raise InputError(
            f"{len(alone)} anchors, {int(alone[0])} for one, have no other image of their class and so no positive; "
            "leave them out of anchors="
        )
    return positives[anchors]
