"""Approximate search of an index: a graph, the recall it was measured to have, and when both are made again.

A search asks the graph for candidates, as many as the effort that was measured to keep the promise, and ranks them by the
space's own distance in float64. Items beside the graph, the sample and those added since, are compared one by one.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from ..spaces import Space
from .coordinates import Coordinates
from .graph import Graph, Rows, Storage
from .items import Items
from .promise import Recall, smallest_effort
from .rerank import rerank

#: Fewer items are always searched exactly.
FEWEST = 5000
#: Items that recall is measured with: this many, or a tenth of a small index.
_SAMPLE = 1000
#: The largest k of searches that are measured; for a larger one all items are compared.
_KS = (10, 100)
#: Efforts tried.
_EFFORTS = [16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 1024]
#: Pairs of neighbours that the coordinates' scales are taken from, and queries that are timed.
_PAIRS, _TIMED = 500, 30
#: Queries searched exactly at a time, between two steps of the bar.
_TOGETHER = 100
#: The graph grows when more than this share of it lies beside it, and at least so many items.
_BESIDE, _FEW_BESIDE = 0.02, 500
#: A graph of which this share is gone is built anew.
_GONE = 0.2

#: `exact(queries (b, p), k)`: places of the nearest items (b, k), and their distances.
Exact = Callable[[Tensor, int], tuple[NDArray[np.int64], NDArray[np.float64]]]


@dataclass(frozen=True)
class Approximate:
    """What is known of approximate search at one moment; nothing here changes. Without a level for some k, or with one
    whose effort is None, exact search is what keeps the promise.

    Attributes:
        space, promise, storage: the index's.
        graph: None where there is none.
        levels: what was measured, one for each of k = 10 and 100.
        token: what the graph's file and the index's notes share; no other state has the same.
        damaged: there should be a graph, but its file is missing, damaged or another index's.
    """

    space: Space
    promise: float
    storage: Storage
    graph: Graph | None = None
    levels: tuple[Recall, ...] = ()
    token: str = ""
    damaged: bool = False

    def write(self, path: Path) -> None:
        """Write the graph, if there is one, to `path`. The index notes `notes` down afterwards."""
        if self.graph is None:
            path.unlink(missing_ok=True)
        else:
            self.graph.write(path, self.token)

    @property
    def notes(self) -> dict[str, Any]:
        """What `noted` is told, as JSON-able values."""
        return {"token": self.token, "graph": self.graph is not None, "levels": [asdict(level) for level in self.levels]}

    def noted(self, notes: dict[str, Any], path: Path | None, items: Items) -> "Approximate":
        """This state, or the one that was written to `path`, whichever the notes are of, with the items there are."""
        if notes["token"] == self.token:
            return self.beside(items)
        bare = Approximate(self.space, self.promise, self.storage)
        graph = Graph.read(path, notes["token"], self.space) if path and notes["graph"] else None
        if notes["graph"] and graph is None:
            return replace(bare, damaged=True)
        levels = tuple(Recall(**level) for level in notes["levels"])
        return replace(bare, graph=graph, levels=levels, token=notes["token"]).beside(items)

    def level(self, k: int) -> Recall | None:
        """What was measured for searches of `k` neighbours."""
        return next((level for level in self.levels if k <= level.k), None)

    def search(self, items: Items, queries: Tensor, k: int) -> tuple[NDArray[np.int64], NDArray[np.float64]] | None:
        """Places of the nearest items (b, k), and their distances; None where all items must be compared."""
        level = self.level(k)
        if self.graph is None or level is None or level.effort is None or not len(queries):
            return None
        return _nearest(self.graph, self.space, items, queries, k, level.effort)

    @property
    def sentence(self) -> str:
        """How searches go, in words."""
        if self.promise == 1:
            return "All items are compared: searches are exact, as was asked."
        if level := self.level(_KS[0]):
            return level.sentence
        if self.damaged:
            return "All items are compared: the graph's file is missing or damaged; building the index makes it again."
        return f"All items are compared: an index of {FEWEST:,} items or more can be built to search faster."

    def describe(self) -> dict[str, Any]:
        """As JSON-able values."""
        level = self.level(_KS[0])
        return {
            "promise": self.promise,
            "exact": level is None or level.effort is None,
            "recall": 1.0 if level is None else level.value,
            "k": _KS[0],
            "sample": 0 if level is None else level.sample,
            "sentence": self.sentence,
            "levels": [asdict(level) for level in self.levels],
        }

    def beside(self, items: Items) -> "Approximate":
        """With all items beside the graph that are not in it."""
        if self.graph is None or not self.levels:
            return self
        rows = np.setdiff1d(items.rows, self.graph.linked)
        return replace(self, graph=self.graph.with_beside(rows, _points(items, rows)))

    def with_more(self, rows: Rows, points: Tensor) -> "Approximate":
        """With items added since."""
        return (
            self if self.graph is None or not self.levels else replace(self, graph=self.graph.with_more_beside(rows, points))
        )

    def due(self, items: Items) -> bool:
        """Whether so much has changed that the graph should grow, or recall be measured again."""
        if self.graph is None or not self.levels:
            return False
        few = max(_FEW_BESIDE, _BESIDE * len(self.graph.linked))
        return len(self.graph.beside) > len(self.graph.sample) + few or _changed(self.levels, items)

    def extended(self, items: Items, exact: Exact) -> "Approximate":
        """The graph with all items but its sample in it, and recall measured again where enough has changed."""
        assert self.graph is not None
        *_, graph = self._linking(self.graph, items)
        return self._finished(graph, items, exact, measure=_changed(self.levels, items), progress=False)

    def building(self, items: Items, exact: Exact, *, progress: bool) -> Iterator["Approximate"]:
        """Make the graph, or extend it, and measure: unfinished states, any of which can be kept and gone on with, and at
        last the finished one."""
        bare = Approximate(self.space, self.promise, self.storage, token=uuid4().hex)
        if self.promise == 1 or len(items) < FEWEST:
            yield bare
            return
        state = self if self.graph is not None and not _gone(self.graph, items) else bare
        graph = state.graph or _empty(self.space, self.storage, items, exact)
        with tqdm(
            total=len(items), initial=len(graph.linked), unit=" items", desc="graph", disable=not progress, leave=False
        ) as bar:
            for more in self._linking(graph, items):
                graph = more
                bar.update(len(graph.linked) - bar.n)
                yield replace(state, graph=graph, token=bare.token)
        yield self._finished(graph, items, exact, measure=True, progress=progress)

    @staticmethod
    def _linking(graph: Graph, items: Items) -> Iterator[Graph]:
        graph = _with_sample(graph, items)
        yield graph
        rows = np.setdiff1d(items.rows, np.concatenate([graph.linked, graph.sample]))
        yield from graph.linking(rows, lambda some: _points(items, some))

    def _finished(self, graph: Graph, items: Items, exact: Exact, *, measure: bool, progress: bool) -> "Approximate":
        rows = np.setdiff1d(items.rows, graph.linked)
        graph = graph.with_beside(rows, _points(items, rows))
        levels = tuple(_measure(graph, self, items, exact, progress)) if measure else self.levels
        used = any(level.effort is not None for level in levels)
        return replace(self, graph=graph if used else None, levels=levels, token=uuid4().hex, damaged=False)


def _nearest(
    graph: Graph, space: Space, items: Items, queries: Tensor, k: int, effort: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]] | None:
    """None where removed items have left too few candidates."""
    rows = graph.near(queries, effort)
    places = np.searchsorted(items.rows, rows)
    places[items.rows[np.minimum(places, len(items) - 1)] != rows] = -1
    if (places >= 0).sum(1).min() < k:
        return None
    places, distances = rerank(space, items.points, queries, places)
    return places[:, :k], distances[:, :k]


def _points(items: Items, rows: Rows) -> Tensor:
    return items.points[torch.from_numpy(items.places(rows))]


def _empty(space: Space, storage: Storage, items: Items, exact: Exact) -> Graph:
    """A graph without nodes, whose coordinates are fitted to neighbours among the items."""
    drawn = np.random.default_rng(0).choice(len(items), _PAIRS, replace=False)
    points = items.points[torch.from_numpy(drawn)]
    nearest = _others(exact(points, 2)[0], drawn)[:, 0]
    coordinates = Coordinates.fit(space, points, items.points[torch.from_numpy(nearest)])
    some = np.random.default_rng(1).choice(len(items), min(len(items), 20_000), replace=False)
    return Graph.empty(coordinates, storage, items.points[torch.from_numpy(some)])


def _others(places: NDArray[np.int64], own: NDArray[np.int64]) -> NDArray[np.int64]:
    """The nearest (n, k) without the query itself, whose place is in `own` (n,), or else without the last: (n, k − 1)."""
    itself = places == own[:, None]
    itself[~itself.any(1), -1] = True
    return places[~itself].reshape(len(places), -1)


def _with_sample(graph: Graph, items: Items) -> Graph:
    """The graph with a sample drawn alike from all items there are.

    Of a graph that grows, as many as a draw from all would take of the new items, and the rest of the old sample: nothing
    that is in the graph can come out of it.
    """
    rng = np.random.default_rng(int(items.rows[-1]))
    new, old = items.rows[items.rows > graph.last], np.intersect1d(graph.sample, items.rows)
    size = min(_SAMPLE, len(items) // 10)
    of_new = rng.hypergeometric(len(new), len(items) - len(new), size)
    of_old = min(size - of_new, len(old))
    sample = np.concatenate([rng.choice(new, of_new, replace=False), rng.choice(old, of_old, replace=False)])
    return replace(graph, sample=np.sort(sample), last=int(items.rows[-1]))


def _gone(graph: Graph, items: Items) -> bool:
    """Whether too many of the graph's nodes were removed."""
    return np.isin(graph.linked, items.rows, invert=True).sum() > _GONE * len(graph.linked)


def _changed(levels: tuple[Recall, ...], items: Items) -> bool:
    """Whether too much has come or gone since recall was measured."""
    return levels[0].outdated(int((items.rows <= levels[0].last).sum()), len(items))


def _measure(graph: Graph, state: Approximate, items: Items, exact: Exact, progress: bool) -> Iterator[Recall]:
    """A level for each k: the smallest effort that keeps the promise, of those that are quicker than exact search."""
    sample = items.places(graph.sample)
    queries = items.points[torch.from_numpy(sample)]
    with tqdm(unit=" searches", desc="recall", disable=not progress, leave=False) as bar:
        places = []
        for some in queries.split(_TOGETHER):
            places.append(exact(some, _KS[-1] + 1)[0])
            bar.update(len(some))
        nearest = items.rows[_others(np.concatenate(places), sample)]
        for k in _KS:
            exactly, took = _quicker(graph, state.space, items, exact, queries, k)

            def near(effort: int) -> Rows:
                bar.update(len(queries))
                return graph.near(queries, effort)

            trials = smallest_effort(near, nearest[:, :k], list(took), state.promise)
            common = {"k": k, "sample": len(sample), "items": len(items), "last": int(items.rows[-1])}
            best = trials[-1] if trials else None
            if best is None:
                finds = "no search of the graph was quicker"
            else:
                finds = (
                    f"of the {k} nearest, the graph finds {best.recall:.2%} in {took[best.effort]:,.2f} ms (measured with "
                    f"{len(sample):,} items outside it; above {best.bound:.2%} with 95 % confidence; promised: "
                    f"{state.promise:.2%})"
                )
            if best and best.bound >= state.promise:
                took = {"exact": exactly, "graph": took[best.effort]}
                sentence = f"A graph is searched: {finds}; comparing all items takes {exactly:,.2f} ms."
                yield Recall(
                    value=best.recall, bound=best.bound, effort=best.effort, milliseconds=took, sentence=sentence, **common
                )
            else:
                sentence = f"All items are compared, which takes {exactly:,.2f} ms: {finds}."
                yield Recall(value=1.0, bound=1.0, effort=None, milliseconds={"exact": exactly}, sentence=sentence, **common)


def _quicker(
    graph: Graph, space: Space, items: Items, exact: Exact, queries: Tensor, k: int
) -> tuple[float, dict[int, float]]:
    """Milliseconds of exact search, and of each effort that takes less."""
    exactly = milliseconds(lambda query: exact(query, k), queries)
    efforts = [effort for effort in _EFFORTS if k <= effort <= len(graph.linked)]
    took = {
        effort: milliseconds(lambda query, effort=effort: _nearest(graph, space, items, query, k, effort), queries)
        for effort in efforts
    }
    return exactly, {effort: own for effort, own in took.items() if own < exactly}


def milliseconds(search: Callable[[Tensor], object], queries: Tensor) -> float:
    """The median time of a single query."""
    took = []
    for query in queries[:_TIMED].split(1):
        start = time.perf_counter()
        search(query)
        took.append(time.perf_counter() - start)
    return 1e3 * float(np.median(took))
