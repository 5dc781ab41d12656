"""What a search found."""

from collections.abc import Set
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Hits:
    """The nearest items of b queries, nearest first; equal distances in the order of insertion.

    Attributes:
        ids: strings (b, m), m the smaller of k and how many items were searched; (1, m) for a single query.
        distances: (b, m), `space.distance` in float64; with other `weights`, of the mixture so weighted.
        exact: these are proven to be the nearest; else at least the promised share of them is.
    """

    ids: NDArray
    distances: NDArray[np.float64]
    exact: bool

    def without(self, ids: Set[str], k: int) -> "Hits":
        """Of a single query's hits the first `k` that are none of `ids`: of `k + len(ids)` hits, the `k` nearest others."""
        kept = [place for place, id in enumerate(self.ids[0]) if id not in ids][:k]
        return Hits(self.ids[:, kept], self.distances[:, kept], self.exact)
