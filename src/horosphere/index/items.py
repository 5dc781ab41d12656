"""What an index keeps in memory of its items: a picture of one moment, which searches read while the next one is made."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Items:
    """n items in order of insertion. Nothing here is written to again: `with_more` and `without` give another picture.

    Attributes:
        rows: their rows in the store (n,), increasing.
        ids: strings (n,).
        points: float32 (n, p).
    """

    rows: NDArray[np.int64]
    ids: NDArray[np.object_]
    points: Tensor

    @classmethod
    def of(cls, rows: NDArray[np.int64], ids: list[str], points: Tensor) -> "Items":
        names = np.empty(len(ids), object)
        names[:] = ids
        return cls(rows, names, points)

    def __len__(self) -> int:
        return len(self.rows)

    def with_more(self, more: "Items") -> "Items":
        """These and others that were added later."""
        rows, ids = np.concatenate([self.rows, more.rows]), np.concatenate([self.ids, more.ids])
        return Items(rows, ids, torch.cat([self.points, more.points]))

    def without(self, rows: NDArray[np.int64]) -> "Items":
        """These but for `rows`."""
        kept = ~np.isin(self.rows, rows)
        return Items(self.rows[kept], self.ids[kept], self.points[torch.from_numpy(kept)])

    def places(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where `rows` (…) stand among these items; rows that are not among them are left out of a vector."""
        places = np.searchsorted(self.rows, rows)
        known = places < len(self.rows)
        known[known] = self.rows[places[known]] == rows[known]
        return places[known]
