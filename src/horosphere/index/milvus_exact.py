"""Exact searches on a Milvus server: it proposes, and what it proposes is proven here, in float64 (`lifted`)."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..evaluation.truth import distances
from ..spaces import Space
from .hits import Hits
from .lifted import questions
from .milvus_table import Row, Table, chunks, points_of

#: A float64 distance is this close to exact, relatively.
_ROUNDING = 1e-9
#: And absolutely, where points coincide.
_TINY = 1e-12


class Found:
    """The `k` rows nearest to one query (p,) among those met, nearest first; of equal distances the lower number."""

    def __init__(self, space: Space, query: Tensor, k: int):
        self.space, self.query, self.k = space, query, k
        self.rows: list[Row] = []
        self.distances: NDArray[np.float64] = np.empty(0)

    @property
    def reach(self) -> float:
        """The k-th distance; infinite until k are met."""
        return float(self.distances[-1]) if len(self.rows) == self.k else np.inf

    def meet(self, rows: list[Row], points: Tensor) -> None:
        """Rows with their points (n, p); what was met before may come again."""
        known = {row["id"] for row in self.rows}
        new = torch.tensor([place for place, row in enumerate(rows) if row["id"] not in known])
        if not len(new):
            return
        own = distances(self.space, self.query[None], torch.zeros_like(new), points, new)
        every = np.concatenate([self.distances, own.numpy()])
        rows = self.rows + [rows[place] for place in new.tolist()]
        order = np.lexsort(([row["number"] for row in rows], every))[: self.k]
        self.rows, self.distances = [rows[place] for place in order], every[order]


def hits(found: Sequence[Found], k: int, *, exact: bool) -> Hits:
    """What was found for each query; `k` is how many it would be, were there a query."""
    length = len(found[0].rows) if found else k
    ids, every = np.empty((len(found), length), object), np.empty((len(found), length))
    for place, own in enumerate(found):
        ids[place], every[place] = [row["id"] for row in own.rows], own.distances
    return Hits(ids, every, exact)


def search(table: Table, space: Space, queries: Tensor, k: int, filter: str = "") -> Hits:
    """The `k` rows that match and are nearest to queries (b, p)."""
    found = [Found(space, query, k) for query in queries]
    if not found:
        k = min(k, table.count(filter))
    elif left := ask(table, found, space, queries, k, filter):
        dim = queries.shape[1]
        for rows in table.stream(["id", "number", "point"], filter, dim=dim):
            points = points_of(rows, dim)
            for query in left:
                found[query].meet(rows, points)
    return hits(found, k, exact=True)


def ask(table: Table, found: Sequence[Found], space: Space, queries: Tensor, k: int, filter: str) -> list[int]:
    """Meet the rows that each part has near each query, ever more of them; the queries left without a proof."""
    asked, dim = questions(space, queries), queries.shape[1]
    most = table.most(dim)
    width, left = min(2 * k + 32, most), list(range(len(queries)))
    while left and width >= k:
        floor, seen = torch.zeros(len(queries), dtype=torch.float64), set()
        vectors = torch.cat([question.vectors[left] for question in asked])
        answers = table.nearest(vectors, width, "IP", filter=filter)
        for question, own in zip(asked, chunks(answers, len(left)), strict=True):
            last = torch.zeros(len(queries))
            for query, rows in zip(left, own, strict=True):
                found[query].meet(rows, points_of(rows, dim))
                if len(rows) < width:
                    seen.add(query)
                else:
                    last[query] = -rows[-1]["score"]
            floor += question.floor(last)
        left = [
            query
            for query in left
            if query not in seen and not found[query].reach < float(floor[query]) * (1 - _ROUNDING) - _TINY
        ]
        if width == most:
            break
        width = min(4 * width, most)
    return left
