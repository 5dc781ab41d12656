"""Measuring the recall of a graph: the sample that it is measured with, the efforts tried, and what they take.

The sample's items stay outside the graph, see `promise`. An effort that is no quicker than exact search is not tried.
"""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from .graph import Graph, Rows
from .items import Items
from .promise import Recall, smallest_effort

#: Items that recall is measured with: this many, or a tenth of a small index.
_SAMPLE = 1000
#: The k that recall is measured at: of a search, at the next one up. Who looks for what is like an item asks for one more
#: than is shown. For a larger k all items are compared.
KS = (10, 20, 100)
#: Efforts tried.
_EFFORTS = [16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 1024]
#: Queries that are timed.
_TIMED = 30
#: Queries searched exactly at a time, between two steps of the bar.
_TOGETHER = 100
#: This thread's processor time, so that what else the machine does decides nothing; Windows tells it in ticks of 16 ms.
_clock = time.perf_counter if sys.platform == "win32" else time.thread_time

#: `exact(queries (b, p), k)`: places of the nearest items (b, k), and their distances.
Exact = Callable[[Tensor, int], tuple[NDArray[np.int64], NDArray[np.float64]]]
#: `search(graph, queries (b, p), k, effort)`: the same through the graph, or None.
Search = Callable[[Graph, Tensor, int, int], object]


def with_sample(graph: Graph, items: Items) -> Graph:
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


def others(places: NDArray[np.int64], own: NDArray[np.int64]) -> NDArray[np.int64]:
    """The nearest (n, k) without the query itself, whose place is in `own` (n,), or else without the last: (n, k − 1)."""
    itself = places == own[:, None]
    itself[~itself.any(1), -1] = True
    return places[~itself].reshape(len(places), -1)


def measured(
    graph: Graph, items: Items, promise: float, exact: Exact, search: Search, *, progress: bool
) -> Iterator[Recall]:
    """A level for each k: the smallest effort that keeps the promise, of those that are quicker than exact search."""
    sample = items.places(np.intersect1d(graph.sample, items.rows))
    queries = items.points[torch.from_numpy(sample)]
    with tqdm(unit=" searches", desc="recall", disable=not progress, leave=False) as bar:
        places = []
        for some in queries.split(_TOGETHER):
            places.append(exact(some, KS[-1] + 1)[0])
            bar.update(len(some))
        nearest = items.rows[others(np.concatenate(places), sample)]
        for k in KS:
            exactly, took = _quicker(graph, exact, search, queries, k)

            def near(effort: int) -> Rows:
                bar.update(len(queries))
                return graph.near(queries, effort)

            trials = smallest_effort(near, nearest[:, :k], list(took), promise)
            common = {"k": k, "sample": len(sample), "items": len(items), "last": int(items.rows[-1])}
            best = trials[-1] if trials else None
            if best is None:
                finds = "no search of the graph was quicker"
            else:
                finds = (
                    f"of the {k} nearest, the graph finds {best.recall:.2%} in {took[best.effort]:,.2f} ms (measured with "
                    f"{len(sample):,} items outside it; above {best.bound:.2%} with 95 % confidence; promised: "
                    f"{promise:.2%})"
                )
            if best and best.bound >= promise:
                took = {"exact": exactly, "graph": took[best.effort]}
                sentence = f"A graph is searched: {finds}; comparing all items takes {exactly:,.2f} ms."
                yield Recall(
                    value=best.recall, bound=best.bound, effort=best.effort, milliseconds=took, sentence=sentence, **common
                )
            else:
                sentence = f"All items are compared, which takes {exactly:,.2f} ms: {finds}."
                yield Recall(value=1.0, bound=1.0, effort=None, milliseconds={"exact": exactly}, sentence=sentence, **common)


def _quicker(graph: Graph, exact: Exact, search: Search, queries: Tensor, k: int) -> tuple[float, dict[int, float]]:
    """Milliseconds of exact search, and of each effort that takes less."""
    exactly = milliseconds(lambda query: exact(query, k), queries, _clock)
    efforts = [effort for effort in _EFFORTS if k <= effort <= len(graph.linked)]
    took = {
        effort: milliseconds(lambda query, effort=effort: search(graph, query, k, effort), queries, _clock)
        for effort in efforts
    }
    return exactly, {effort: own for effort, own in took.items() if own < exactly}


def milliseconds(
    search: Callable[[Tensor], object], queries: Tensor, clock: Callable[[], float] = time.perf_counter
) -> float:
    """The median time of a single query, whose seconds `clock` tells."""
    took = []
    for query in queries[:_TIMED].split(1):
        start = clock()
        search(query)
        took.append(clock() - start)
    return 1e3 * float(np.median(took))
