"""Which queries a geometry answers best and worst."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..evaluation import RetrievalReport, nearest
from ..evaluation.truth import Truth
from ..spaces import Space


@dataclass(frozen=True, eq=False)
class Answers:
    """How clearly one geometry answers some queries.

    Attributes:
        queries: (q,) positions of those judged, whose class has another image in the gallery.
        labels: (q,) their classes.
        rank: (q,) images of other classes strictly closer than the nearest of the query's own, as in `evaluate_retrieval`.
        margin: (q,) distance to the nearest image of another class less that to the nearest of the query's own: negative
            where the rank is above 0, and only there.
    """

    queries: NDArray[np.int64]
    labels: NDArray[np.int64]
    rank: NDArray[np.int64]
    margin: NDArray[np.float64]

    def best(self, count: int) -> NDArray[np.int64]:
        """Positions of the queries of largest margin, one a class."""
        return self._first_of_class(np.argsort(-self.margin, kind="stable"), count)

    def worst(self, count: int) -> NDArray[np.int64]:
        """Positions of the wrongly answered queries of largest rank, of equals that of least margin; one a class."""
        order = np.lexsort((self.margin, -self.rank))
        return self._first_of_class(order[self.rank[order] > 0], count)

    def _first_of_class(self, order: NDArray, count: int) -> NDArray[np.int64]:
        _, first = np.unique(self.labels[order], return_index=True)
        return self.queries[order[np.sort(first)[:count]]]


@torch.no_grad()
def answers(
    report: RetrievalReport,
    space: Space,
    points: Tensor,
    labels: NDArray,
    gallery: NDArray | None = None,
    *,
    progress: bool = False,
) -> Answers:
    """The margins of what `evaluate_retrieval` found for the same points (n, p), labels (n,) and gallery.

    Distances are those of `space.distance` in float64, so that copies of an image are exactly as far away.

    Raises:
        InputError: where the gallery holds no image of another class.
    """
    found = report.per_query
    queries, rank, labels = found["index"], found["rank"], np.asarray(labels)
    searched = np.arange(len(points)) if gallery is None else np.asarray(gallery)

    def found_first(asked: NDArray, labels: NDArray | None) -> NDArray:
        first = np.empty(len(points), np.int64)
        if len(asked):
            for some, near in nearest(points, space, 1, labels=labels, queries=asked, gallery=searched, progress=progress):
                first[some] = near[:, 0]
        return first[asked]

    truth = Truth(space, points)

    def apart(query: NDArray, item: NDArray) -> NDArray:
        return truth.distance(torch.from_numpy(query), torch.from_numpy(item)).numpy()

    wrong, right = apart(queries, found_first(queries, labels)), np.empty(len(queries))
    # Where the answer is right, the nearest of its class is as near as the nearest of all.
    answered = queries[rank == 0]
    right[rank == 0] = apart(answered, found_first(answered, None))
    members = {label: searched[labels[searched] == label] for label in np.unique(labels[queries[rank > 0]])}
    for place in np.flatnonzero(rank > 0):
        own = members[labels[queries[place]]]
        own = own[own != queries[place]]
        right[place] = apart(np.full_like(own, queries[place]), own).min()
    return Answers(queries, found["label"], rank, wrong - right)
