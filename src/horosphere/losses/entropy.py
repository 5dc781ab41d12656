"""The differential entropy of a batch, as a regulariser (El-Nouby et al., 2021)."""

import torch
from torch import Tensor

from ..spaces import Space
from .scale import chord

#: Points closer than this count as this far apart, and are left where they are.
_NEAREST = 1e-6


def spread(space: Space, points: Tensor) -> Tensor:
    """−mean log distance of each point (K, p) to the nearest other one: small where points fill the space.

    The estimator of Kozachenko and Leonenko without its constants. Distance is `scale.chord`, which on the sphere is the
    paper's ‖x − y‖. The neighbour is found through inner products, and its distance is taken by difference.
    """
    with torch.no_grad():
        apart = space.pairwise(points)
        nearest = apart.fill_diagonal_(torch.inf).argmin(1)
    return -chord(space, space.distance(points, points.index_select(0, nearest))).clamp_min(_NEAREST).log().mean()
