"""Which queries a geometry answers best and worst."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from ..errors import InputError
from ..evaluation.truth import Truth
from ..spaces import Space
from .blocks import distance_blocks


@dataclass(frozen=True, eq=False)
class Answers:
    """How one geometry answers some queries.

    Attributes:
        queries: (q,) positions of those whose class has another image in the gallery.
        nearest: (q,) position of the nearest image.
        margin: (q,) distance to the nearest image of another class less that to the nearest of the query's own.
        rank: (q,) images of other classes strictly closer than the nearest of the query's own.
    """

    queries: NDArray[np.int64]
    nearest: NDArray[np.int64]
    margin: NDArray[np.float64]
    rank: NDArray[np.int64]

    def best(self, labels: NDArray, count: int) -> NDArray[np.int64]:
        """Positions of the queries of largest margin, one a class."""
        return self._first_of_class(np.argsort(-self.margin, kind="stable"), labels, count)

    def worst(self, labels: NDArray, count: int) -> NDArray[np.int64]:
        """Positions of the wrongly answered queries of largest rank, of equals that of least margin; one a class."""
        order = np.lexsort((self.margin, -self.rank))
        return self._first_of_class(order[self.rank[order] > 0], labels, count)

    def _first_of_class(self, order: NDArray, labels: NDArray, count: int) -> NDArray[np.int64]:
        queries = self.queries[order]
        _, first = np.unique(labels[queries], return_index=True)
        return queries[np.sort(first)[:count]]


@torch.no_grad()
def answers(
    space: Space,
    points: Tensor,
    labels: NDArray,
    queries: NDArray,
    gallery: NDArray | None = None,
    *,
    progress: bool = False,
) -> Answers:
    """Compare `queries` (q,) with `gallery` (m,), positions among points (n, p); a query is never its own neighbour.

    The gallery is all points by default. Distances are made from inner products in float64.

    Raises:
        InputError: where no query has another image of its class, or none of another.
    """
    gallery = np.arange(len(points)) if gallery is None else np.asarray(gallery)
    queries = np.asarray(queries)
    truth, searched, known = Truth(space, points), torch.from_numpy(gallery), torch.from_numpy(np.asarray(labels))
    parts: list[Sequence[Tensor]] = []
    with tqdm(total=len(queries), unit=" queries", desc="neighbours", disable=not progress, leave=False) as bar:
        for rows, apart in distance_blocks(truth.space, truth.points, torch.from_numpy(queries), searched):
            asked = torch.from_numpy(queries[rows])
            same = known[asked, None] == known[searched]
            apart.masked_fill_(asked[:, None] == searched, torch.inf)
            right, wrong = apart.where(same, torch.inf).amin(1), apart.masked_fill(same, torch.inf).amin(1)
            rank = ((apart < right[:, None]) & ~same).sum(1)
            parts.append((asked, searched[apart.argmin(1)], wrong - right, rank))
            bar.update(len(asked))
    asked, nearest, margin, rank = (torch.cat(column).numpy() for column in zip(*parts, strict=True))
    some = np.isfinite(margin)
    if not some.any():
        raise InputError(
            f"none of {len(queries)} queries has another image of its class, and one of another class, among "
            f"{len(gallery)} gallery items; check the labels"
        )
    return Answers(asked[some], nearest[some], margin[some], rank[some])
