"""Candidates in the order of the space's own distance, in float64."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..evaluation.truth import distances
from ..spaces import Space


@torch.no_grad()
def rerank(
    space: Space, points: Tensor, queries: Tensor, places: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Each query's candidates, nearest first, and their distances: both (b, m). Equal distances keep the order of places.

    The reference, for one query::

        d = space.distance(query.double(), points[places].double())
        order = np.lexsort((places, d))

    Args:
        points: (n, p).
        queries: (b, p).
        places: of the candidates among the points (b, m), without repeats; −1 for none, which comes last, at infinity.
    """
    b, m = places.shape
    none = places < 0
    flat = torch.from_numpy(np.where(none, 0, places)).view(-1)
    found = distances(space, queries, torch.from_numpy(np.arange(b).repeat(m)), points, flat).numpy().reshape(b, m)
    found[none] = np.inf
    each, order = np.arange(b)[:, None], np.lexsort((places, found, none))  # last even beside infinity and NaN
    return places[each, order], found[each, order]
