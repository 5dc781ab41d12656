"""Approximate search on a Milvus server: a graph in a collection of its own, and the recall that it was measured to have.

Milvus makes the graph (HNSW) over the same flat coordinates as the embedded index does. It gives candidates, which are
ranked by the space's own distance, and recall is measured with items that are not yet in the graph (`promise`).
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from torch import Tensor
from tqdm import tqdm

from ..errors import InputError
from ..spaces import Space
from .approximate import FEWEST
from .coordinates import Coordinates
from .measuring import milliseconds
from .milvus_exact import search
from .milvus_table import Row, Table, points_of
from .milvus_where import among
from .promise import Recall, smallest_effort

#: The largest k that is measured, with room for what a query names; for a larger one all items are compared.
K = 20
_SAMPLE = 500
_EFFORTS = [16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512]
_OPTIONS = {"M": 32, "efConstruction": 200}


@dataclass(frozen=True)
class ServerGraph:
    """What a build found. All items up to the number `last` are in the graph, `table`, but for those removed since; without
    a table, comparing all items is what keeps the promise."""

    coordinates: Coordinates
    recall: Recall
    table: Table | None

    @property
    def last(self) -> int:
        return self.recall.last

    @property
    def notes(self) -> dict[str, Any]:
        """JSON-able, for `noted`."""
        return {"scales": list(self.coordinates.scales), "recall": asdict(self.recall)}

    @classmethod
    def noted(cls, table: Table, space: Space, notes: dict[str, Any] | None) -> "ServerGraph | None":
        """What the notes of an index tell of."""
        if notes is None:
            return None
        recall = Recall(**notes["recall"])
        graph = None if recall.effort is None else table.beside("graph").load()
        return cls(Coordinates(space, tuple(notes["scales"])), recall, graph)

    def near(self, queries: Tensor) -> list[list[Row]]:
        """The candidates for queries (b, p)."""
        assert self.table is not None and self.recall.effort is not None
        return candidates(self.table, self.coordinates(queries), self.recall.effort)

    def without(self, ids: list[str]) -> None:
        """Remove items from the graph."""
        if self.table is not None:
            self.table.delete(ids)

    def drop(self) -> None:
        if self.table is not None:
            self.table.drop()


def candidates(table: Table, vectors: Tensor, effort: int, *, points: bool = True) -> list[list[Row]]:
    return table.nearest(vectors, effort, "L2", options={"ef": effort}, points=points)


def build(table: Table, space: Space, promise: float, dim: int, last: int, progress: bool) -> ServerGraph | None:
    """A graph of the items in `table`, whose largest number is `last`; None where they are few, or the promise is 1."""
    beside = table.beside("graph")
    if beside.exists():
        if beside.about() is None:
            raise InputError(
                f"{beside.name!r} at {table.server.uri} was not made by horosphere; drop it, its name is needed for a graph"
            )
        beside.drop()
    ids = sorted((row["number"], row["id"]) for rows in table.stream(["id", "number"]) for row in rows)
    if promise == 1 or len(ids) < FEWEST:
        return None
    drawn = np.random.default_rng(0).choice(len(ids), min(_SAMPLE, len(ids) // 10), replace=False)
    sample = [ids[place][1] for place in drawn]
    rows = table.rows(sample, ["number", "point"])
    queries = points_of([rows[id] for id in sample], dim)
    # Among the items that will be in the graph when it is measured.
    nearest = search(table, space, queries, K, f"not ({among(sample)})").ids
    neighbours = table.rows(sorted({row[0] for row in nearest}), ["point"])
    coordinates = Coordinates.fit(space, queries, points_of([neighbours[row[0]] for row in nearest], dim))
    beside.create(coordinates(queries[:1]).shape[1], "HNSW", "L2", _OPTIONS, {})
    outside = set(sample)
    with tqdm(total=len(ids), unit=" items", desc="graph", disable=not progress, leave=False) as bar:
        for some in table.stream(["id", "number", "point"], dim=2 * dim):
            _write(beside, coordinates, [row for row in some if row["id"] not in outside], dim)
            bar.update(len(some))
        beside.flush()
    beside.load()
    beside.wait_for_index(progress)
    numbers = {id: number for number, id in ids}

    def found(effort: int) -> np.ndarray:
        answers = candidates(beside, coordinates(queries), effort, points=False)
        # As long as the longest, and 0 is no item's number.
        return np.array([[numbers[row["id"]] for row in rows] + [0] * (effort - len(rows)) for rows in answers])

    truth = np.array([[numbers[id] for id in row] for row in nearest])
    best = smallest_effort(found, truth, _EFFORTS, promise)[-1]
    took = milliseconds(lambda query: candidates(beside, coordinates(query), best.effort), queries)
    exactly = milliseconds(lambda query: search(table, space, query, K), queries)
    finds = (
        f"of the {K} nearest it finds {best.recall:.2%} in {took:.2g} ms (measured with {len(sample):,} items outside it; "
        f"above {best.bound:.2%} with 95 % confidence; promised: {promise:.2%})"
    )
    common = {"k": K, "sample": len(sample), "items": len(ids), "last": last}
    if best.bound < promise or took >= exactly:
        beside.drop()
        sentence = f"The server compares all items, which takes {exactly:.2g} ms; a graph was no better: {finds}."
        recall = Recall(value=1.0, bound=1.0, effort=None, milliseconds={"exact": exactly}, sentence=sentence, **common)
        return ServerGraph(coordinates, recall, None)
    _write(beside, coordinates, [rows[id] for id in sample], dim)
    beside.flush()
    sentence = f"The server searches a graph: {finds}; comparing all items takes {exactly:.2g} ms."
    recall = Recall(
        value=best.recall,
        bound=best.bound,
        effort=best.effort,
        milliseconds={"exact": exactly, "graph": took},
        sentence=sentence,
        **common,
    )
    return ServerGraph(coordinates, recall, beside)


def _write(table: Table, coordinates: Coordinates, rows: list[Row], dim: int) -> None:
    if rows:
        points = points_of(rows, dim)
        numbers, ids = [row["number"] for row in rows], [row["id"] for row in rows]
        table.write(numbers, ids, points, [{}] * len(rows), coordinates(points))
