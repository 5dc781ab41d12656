"""Candidates in the order of the space's own distance, in float64."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..spaces import Space

_LANES = 64


@torch.no_grad()
def rerank(
    space: Space, points: Tensor, queries: Tensor, places: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Candidate `places` (b, m) in `points`, −1 for none, sorted by distance, and the distances; inf for none."""
    b, m = places.shape
    padded = np.concatenate([places, np.repeat(places[:, -1:], -m % _LANES, 1)], 1)
    distances = np.empty(padded.shape)
    step = max(1, 2**15 // padded.shape[1] // 8)
    for start in range(0, b, step):
        some = slice(start, start + step)
        y = points[torch.from_numpy(padded[some].ravel())].double()
        x = queries[some].double().repeat_interleave(padded.shape[1], 0)
        distances[some] = space.distance(x, y).numpy().reshape(-1, padded.shape[1])
    distances = distances[:, :m]
    distances[places < 0] = np.inf
    order = np.lexsort((places, distances))
    return np.take_along_axis(places, order, 1), np.take_along_axis(distances, order, 1)
