"""Distances on the scale of the unit sphere, so that a constant made for unit vectors means the same in every space.

    chord       d = 2 √(D/diameter), from 0 to 2; in a space without bound d = D
    similarity  s = 1 − d²/2, from 1 down to −1

On the sphere d is ‖x − y‖ and s is cosine. Both rank as D does, so a model trained on them is searched by D.
"""

import math

import torch
from torch import Tensor

from ..spaces import Space


def chord(space: Space, distances: Tensor) -> Tensor:
    """d of distances in a space; its subgradient at 0 is 0."""
    if not math.isfinite(space.diameter):
        return distances
    apart = distances > 0
    return 2 * torch.where(apart, distances / space.diameter, 1).sqrt() * apart


def similarity(space: Space, distances: Tensor) -> Tensor:
    """s of distances in a space.

    Where these are bounded, s stays some roundings inside ±1, where arccos has a finite slope and a histogram its last bin.
    """
    if not math.isfinite(space.diameter):
        return 1 - distances.square() / 2
    edge = 1 - 4 * torch.finfo(distances.dtype).eps
    return (1 - 2 * distances / space.diameter).clamp(-edge, edge)
