"""Approximate search of an index: a graph, the recall it was measured to have, and when both are made again.

A search asks the graph for candidates, as many as the effort that was measured to keep the promise, and ranks them by the
space's own distance in float64. Items beside the graph, the sample and those added since, are compared one by one.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
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
from .measuring import KS, Exact, measured, others, with_sample
from .promise import Recall
from .rerank import rerank

#: Fewer items are always searched exactly.
FEWEST = 5000
#: Pairs of neighbours that the coordinates' scales are taken from.
_PAIRS = 500
#: The graph grows when more than this share of it lies beside it, and at least so many items.
_BESIDE, _FEW_BESIDE = 0.02, 500
#: A graph of which this share is gone is built anew, and one without this share of its sample.
_GONE, _SAMPLE_GONE = 0.2, 0.5


@dataclass(frozen=True)
class Approximate:
    """What is known of approximate search at one moment; nothing here changes. Without a level for some k, or with one
    whose effort is None, exact search is what keeps the promise.

    Attributes:
        space, promise, storage: the index's.
        graph: None where there is none.
        levels: what was measured, one for each of k = 10, 20 and 100.
        token: what the graph's file and the index's notes share; no other state has the same, but for the unfinished ones of
            one build: of those the file may hold a later one than the notes, with the same levels.
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

    def noted(self, notes: list[dict[str, Any]], path: Path | None, items: Items) -> "Approximate":
        """This state, or the one that was written to `path`, whichever the notes are of, with the items there are. Where a
        writing was not finished there are several notes: those of the graph in the file count, or else those of none.
        """
        if any(own["token"] == self.token for own in notes):
            return self.beside(items)
        bare = Approximate(self.space, self.promise, self.storage)
        for own in sorted(notes, key=lambda own: own["graph"], reverse=True):
            graph = Graph.read(path, own["token"], self.space) if path and own["graph"] else None
            if graph is not None or not own["graph"]:
                levels = tuple(Recall(**level) for level in own["levels"])
                return replace(bare, graph=graph, levels=levels, token=own["token"]).beside(items)
        return replace(bare, damaged=True)

    def level(self, k: int) -> Recall | None:
        """What was measured for searches of `k` neighbours."""
        return next((level for level in self.levels if k <= level.k), None)

    def search(self, items: Items, queries: Tensor, k: int) -> tuple[NDArray[np.int64], NDArray[np.float64]] | None:
        """Places of the nearest items (b, k), and their distances; None where all items must be compared."""
        level = self.level(k)
        if self.graph is None or level is None or level.effort is None or not len(queries):
            return None
        return _nearest(self.space, items, self.graph, queries, k, level.effort)

    @property
    def sentence(self) -> str:
        """How searches go, in words."""
        if self.promise == 1:
            return "All items are compared: searches are exact, as was asked."
        if level := self.level(KS[0]):
            return level.sentence
        if self.damaged:
            return "All items are compared: the graph's file is missing or damaged; building the index makes it again."
        return f"All items are compared: an index of {FEWEST:,} items or more can be built to search faster."

    def describe(self) -> dict[str, Any]:
        """As JSON-able values."""
        level = self.level(KS[0])
        return {
            "promise": self.promise,
            "exact": level is None or level.effort is None,
            "recall": 1.0 if level is None else level.value,
            "k": KS[0],
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
        """The graph with all items but its sample in it, and recall measured again where enough has changed; no graph where
        too few are left to have one, or to measure it with."""
        assert self.graph is not None
        if len(items) < FEWEST or _sample_gone(self.graph, items):
            return self._bare()
        *_, graph = self._linking(self.graph, items)
        return self._finished(graph, items, exact, measure=_changed(self.levels, items), progress=False)

    def building(self, items: Items, exact: Exact, *, progress: bool) -> Iterator["Approximate"]:
        """Make the graph, or extend it, and measure: unfinished states, any of which can be kept and gone on with, and at
        last the finished one. Where no graph was found to pay, and the items are much the same, there is nothing to do."""
        bare = self._bare()
        if self.levels and self.graph is None and not _changed(self.levels, items):
            yield self
            return
        if self.promise == 1 or len(items) < FEWEST:
            yield bare
            return
        worn = self.graph is None or _gone(self.graph, items) or _sample_gone(self.graph, items)
        state = bare if worn else self
        graph = state.graph or _empty(self.space, self.storage, items, exact)
        with tqdm(
            total=len(items), initial=len(graph.linked), unit=" items", desc="graph", disable=not progress, leave=False
        ) as bar:
            for more in self._linking(graph, items):
                graph = more
                bar.update(len(graph.linked) - bar.n)
                yield replace(state, graph=graph, token=bare.token)
        yield self._finished(graph, items, exact, measure=True, progress=progress)

    def _bare(self) -> "Approximate":
        return Approximate(self.space, self.promise, self.storage, token=uuid4().hex)

    @staticmethod
    def _linking(graph: Graph, items: Items) -> Iterator[Graph]:
        graph = with_sample(graph, items)
        yield graph
        rows = np.setdiff1d(items.rows, np.concatenate([graph.linked, graph.sample]))
        yield from graph.linking(rows, lambda some: _points(items, some))

    def _finished(self, graph: Graph, items: Items, exact: Exact, *, measure: bool, progress: bool) -> "Approximate":
        rows = np.setdiff1d(items.rows, graph.linked)
        graph = graph.with_beside(rows, _points(items, rows))
        levels = self.levels
        if measure:
            search = partial(_nearest, self.space, items)
            levels = tuple(measured(graph, items, self.promise, exact, search, progress=progress))
        used = any(level.effort is not None for level in levels)
        return replace(self, graph=graph if used else None, levels=levels, token=uuid4().hex, damaged=False)


def _nearest(
    space: Space, items: Items, graph: Graph, queries: Tensor, k: int, effort: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]] | None:
    """None where removed items have left too few candidates."""
    if len(items) < k:
        return None
    places = items.places(graph.near(queries, effort))
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
    nearest = others(exact(points, 2)[0], drawn)[:, 0]
    coordinates = Coordinates.fit(space, points, items.points[torch.from_numpy(nearest)])
    some = np.random.default_rng(1).choice(len(items), min(len(items), 20_000), replace=False)
    return Graph.empty(coordinates, storage, items.points[torch.from_numpy(some)])


def _gone(graph: Graph, items: Items) -> bool:
    """Whether too many of the graph's nodes were removed."""
    return np.isin(graph.linked, items.rows, invert=True).sum() > _GONE * len(graph.linked)


def _sample_gone(graph: Graph, items: Items) -> bool:
    """Whether too much of the graph's sample was removed."""
    return np.isin(graph.sample, items.rows, invert=True).sum() > _SAMPLE_GONE * len(graph.sample)


def _changed(levels: tuple[Recall, ...], items: Items) -> bool:
    """Whether too much has come or gone since recall was measured."""
    return levels[0].outdated(int((items.rows <= levels[0].last).sum()), len(items))
