"""The index on a Milvus server: it searches, and everything it answers is ranked again here, in float64."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Self

import torch
from torch import Tensor
from tqdm import tqdm

from ..errors import InputError
from ..spaces import Space, from_description
from .hits import Hits
from .interface import SearchIndex
from .lifted import keys
from .milvus_exact import Found, ask, hits, search
from .milvus_graph import K, ServerGraph, build
from .milvus_table import Row, Table, points_of
from .milvus_where import check_numbers, expression
from .promise import Recall
from .where import Condition, Field, Value, kinds_of

FORMAT = 1


class MilvusIndex(SearchIndex):
    """An index that a Milvus server keeps and searches: `create` makes one, `connect` opens it.

    An item's vector is its lifted point, and the server's own search is exhaustive (FLAT), so that searches are exact and
    proven (`horosphere.index.lifted`), whatever the filter and the weights; where a proof would take more than Milvus
    answers at once, all matching points are read and compared here. `build` adds a graph, for searches that keep a promise.

    When `add` or `remove` returns, what it did is in the server's storage. `add` sends batches, each of them whole or not
    there: after an error, add the same items again with duplicates="skip". One process at a time may write. A process that
    searches with a graph finds what was in the index when it connected, and what it added itself.
    """

    @classmethod
    def create(
        cls,
        uri: str,
        name: str,
        space: Space,
        dim: int,
        *,
        model: str = "",
        promise: float = 0.99,
        token: str = "",
        timeout: float = 30.0,
        progress: bool = False,
    ) -> Self:
        """A new, empty index of points of `dim` columns.

        Args:
            uri: the server's address, such as http://127.0.0.1:19530.
            name: of the collection on it; letters, digits and underscores.
            space, model, promise: see `SearchIndex`.
            token: "user:password" or an API key, where the server asks for one.
            timeout: seconds that a request may take.
            progress: show a progress bar while adding.

        Raises:
            InputError: where the server does not answer or refuses, or has a collection of this name.
        """
        index = cls._of(space, model, promise, progress)
        if not 0 < dim <= 12_000:
            raise InputError(f"dim={dim}; expected the columns of the points, 1 to 12,000")
        index._table = Table.at(uri, name, token=token, timeout=timeout)
        if index._table.exists():
            raise InputError(
                f"Milvus at {uri} has a collection {name!r} already; connect to it, drop it, or give another name"
            )
        index._about = {
            "format": FORMAT,
            "space": index.space.describe(),
            "model": model,
            "promise": index.promise,
            "dim": dim,
            "kinds": {},
            "last": 0,
            "graph": None,
        }
        columns = keys(index.space, torch.zeros(1, dim)).shape[1]
        index._table.create(columns, "FLAT", "IP", {}, index._about)
        index._table.load()
        return index

    @classmethod
    def connect(cls, uri: str, name: str, *, token: str = "", timeout: float = 30.0, progress: bool = False) -> Self:
        """The index that `create` made. Raises InputError where the server does not answer, or has no such index."""
        table = Table.at(uri, name, token=token, timeout=timeout)
        if not table.exists():
            raise InputError(f"Milvus at {uri} has no collection {name!r}; make it with MilvusIndex.create")
        about = table.about()
        if about is None:
            raise InputError(f"the collection {name!r} at {uri} was not made by horosphere; give the name of one that was")
        if about["format"] > FORMAT:
            raise InputError(f"the collection {name!r} was made by a newer horosphere; update horosphere")
        index = cls._of(from_description(about["space"]), about["model"], about["promise"], progress)
        index._about, index._table = about, table.load()
        index._graph = ServerGraph.noted(table, index.space, about["graph"])
        index._look()
        return index

    @classmethod
    def _of(cls, space: Space, model: str, promise: float, progress: bool) -> Self:
        index = cls.__new__(cls)
        SearchIndex.__init__(index, space, model=model, promise=promise)
        index.progress, index._graph, index._outdated = progress, None, False
        return index

    progress: bool
    _about: dict[str, Any]
    _table: Table
    _graph: ServerGraph | None
    #: Whether too much has come or gone since the last build measured recall.
    _outdated: bool

    def build(self, *, progress: bool = False) -> None:
        """Make searches fast: have the server make a graph of all items, and choose the effort that keeps the promise.

        The graph is a second collection, NAME_graph, of the same items: it takes about as much of the server's memory again.
        Where the promise is 1, items are few, or comparing all of them is as quick, there is none. Items added later are
        compared one by one. Once a tenth of the items has come or gone, the recall that was measured does not count any
        more: all items are compared, until the next `build` makes the graph anew and measures it. Before that `build` does
        nothing.
        """
        if self._graph is not None and not self._outdated:
            return
        # Searches are exact from here on; if this is stopped, they stay so.
        self._graph, self._outdated = None, False
        self._note(graph=None)
        graph = build(self._table, self.space, self.promise, self.dim, self._about["last"], progress)
        self._note(graph=None if graph is None else graph.notes)
        self._graph = graph

    def drop(self) -> None:
        """Remove the index and all its items from the server."""
        if self._graph is not None:
            self._graph.drop()
        self._table.drop()
        self.close()

    def close(self) -> None:
        self._table.server.close()

    @property
    def dim(self) -> int:
        return self._about["dim"]

    @property
    def recall(self) -> Recall | None:
        """What searches for up to 20 neighbours were measured to find; None where nothing was measured, or too much has come
        or gone since, and all are exact."""
        return None if self._graph is None or self._outdated else self._graph.recall

    @property
    def ids(self) -> list[str]:
        return [row["id"] for row in self._all("id")]

    def fields(self, most: int = 1000) -> dict[str, Field]:
        counts: dict[str, Counter] = {name: Counter() for name in self._kinds()}
        for rows in self._table.stream(["metadata"]):
            for row in rows:
                for name, value in row["metadata"].items():
                    counts[name][value] += 1
        return {name: _field(self._kinds()[name], count, most) for name, count in counts.items() if count}

    def describe(self) -> dict[str, Any]:
        own = {"engine": "milvus", "uri": self._table.server.uri, "name": self._table.name, "items": len(self)}
        search = {"promise": self.promise, "exact": True, "recall": 1.0, "k": K, "sample": 0, "levels": []}
        search["sentence"] = "The server compares all items, and what it finds is proven to be the nearest."
        if self._outdated:
            search["sentence"] += " A tenth of them has come or gone since recall was measured: build the index again."
        if recall := self.recall:
            search |= {"exact": recall.effort is None, "recall": recall.value, "k": recall.k, "sample": recall.sample}
            search |= {"levels": [asdict(recall)], "sentence": recall.sentence}
        return own | {name: self._about[name] for name in ("dim", "space", "model", "promise")} | {"search": search}

    def __len__(self) -> int:
        return self._table.count()

    def __contains__(self, id: object) -> bool:
        return isinstance(id, str) and bool(self._table.rows([id], []))

    def _kinds(self) -> Mapping[str, str]:
        return self._about["kinds"]

    def _note(self, **values: Any) -> None:
        about = self._about | values
        self._table.note(about)
        self._about = about

    def _add(self, points: Tensor, ids: list[str], metadata: list[Mapping[str, Value]], duplicates: str) -> int:
        known = self._table.rows(ids, []) if len(self) else {}
        points, ids, metadata = self._unknown(points, ids, metadata, known, duplicates)
        if not ids:
            return 0
        check_numbers(ids, metadata)
        vectors = keys(self.space, points)
        # Before the items, so that it holds whatever stops them: numbers may be left out, and never come twice.
        first = self._about["last"] + 1
        self._note(kinds=kinds_of(metadata, self._kinds()), last=first - 1 + len(ids))
        size = self._table.most(2 * self.dim)
        if known and duplicates == "replace" and self._graph is not None:
            self._graph.without(list(known))
        with tqdm(total=len(ids), unit=" items", desc="upload", disable=not self.progress, leave=False) as bar:
            for start in range(0, len(ids), size):
                some = slice(start, start + size)
                numbers = range(first + start, first + start + len(ids[some]))
                self._table.write(numbers, ids[some], points[some], metadata[some], vectors[some])
                bar.update(len(numbers))
            self._settle()
        return len(ids)

    def _remove(self, ids: list[str]) -> int:
        self._found(ids, [])
        if self._graph is not None:
            self._graph.without(ids)
        self._table.delete(ids)
        self._settle()
        return len(ids)

    def _settle(self) -> None:
        """Returns when what was written is stored, and seen by searches."""
        self._table.flush()
        self._look()

    def _look(self) -> None:
        """Searches see what was written before this, and know whether the recall that was measured still counts."""
        items, graph = self._table.count(), self._graph
        self._outdated = graph is not None and graph.recall.outdated(self._table.count(f"number <= {graph.last}"), items)

    def _search(self, queries: Tensor, k: int, where: list[Condition], space: Space | None) -> Hits:
        graph, recall = self._graph, self.recall
        fits = recall is not None and recall.effort is not None and k <= recall.k
        if graph is None or not fits or where or space is not None or not len(queries):
            return search(self._table, space or self.space, queries, k, expression(where))
        found = [Found(self.space, query, k) for query in queries]
        for own, rows in zip(found, graph.near(queries), strict=True):
            own.meet(rows, points_of(rows, self.dim))
        if self._about["last"] > graph.last:
            ask(self._table, found, self.space, queries, k, f"number > {graph.last}")
        # So many were removed that too few candidates are left.
        if min(len(own.rows) for own in found) < k:
            return search(self._table, self.space, queries, k)
        return hits(found, k, exact=False)

    def _read_points(self, ids: list[str] | None) -> Tensor:
        if ids is None:
            return points_of(self._all("point"), self.dim)
        found = self._found(ids, ["point"])
        return points_of([found[id] for id in ids], self.dim)

    def _read_metadata(self, ids: list[str] | None) -> list[dict[str, Value]]:
        if ids is None:
            return [row["metadata"] for row in self._all("metadata")]
        found = self._found(ids, ["metadata"])
        return [dict(found[id]["metadata"]) for id in ids]

    def _all(self, field: str) -> list[Row]:
        """A field of all rows, in order of insertion."""
        dim = self.dim if field == "point" else 0
        rows = [row for some in self._table.stream(["number", field], dim=dim) for row in some]
        return sorted(rows, key=lambda row: row["number"])

    def _found(self, ids: Sequence[str], fields: Sequence[str]) -> dict[str, Row]:
        found = self._table.rows(ids, fields)
        self._check_known(ids, found)
        return found


def _field(kind: str, counts: Counter, most: int) -> Field:
    values = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:most]
    return Field(kind, values, len(counts), *((min(counts), max(counts)) if kind == "number" else ()))
