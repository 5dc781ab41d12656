"""The nearest items, proven: by fast float32 scores, and float64 distances where they decide."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..evaluation import nearest
from ..evaluation.truth import Truth
from ..spaces import Space


def search(space: Space, points: Tensor, queries: Tensor, k: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Places of the `k` points (n, p) nearest to each query (b, p), and distances: (b, k), k at most n."""
    n, b = len(points), len(queries)
    if not b or not n:
        return np.zeros((b, 0), np.int64), np.zeros((b, 0))
    every = torch.cat([points.to(queries.dtype), queries])
    runs = dict(zip(range(n, n + b), range(b), strict=True))
    places = np.empty((b, k), np.int64)
    for asked, found in nearest(every, space, k, queries=np.arange(n, n + b), gallery=np.arange(n)):
        places[[runs[query] for query in asked.tolist()]] = found
    pairs = torch.arange(n, n + b).repeat_interleave(k), torch.from_numpy(places.ravel())
    return places, Truth(space, every).distance(*pairs).numpy().reshape(b, k)
