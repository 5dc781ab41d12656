"""Search, exact and approximate, one query at a time: python -m benchmarks.search [--items N] [--million].

The 10 nearest of clipped hyperbolic points, c = 0.1, clip 2.3, 128 columns, and of a mixture of them with a sphere, weights
1 and 3, 256 columns; norms spread, one point in five at the clip. Two sets:

* realistic: classes of about fifty in 32 dimensions with a little noise;
* hard: classes of about five in all 128 dimensions, so that most of the ten nearest are strangers, at nearly one distance.

Measured in one process, all searches in turns of 20 queries, on one thread, whose processor time
counts: on an idle machine that is the time that passes, and on a busy one other work does not enter. Graphs are built by
all threads, by the clock:

* FAISS flat inner product: of lifted points, the physical floor of exact search in this space; of a mixture a product a
  part, with no distances from them;
* exact: `Index` before `build`; beside it is recall, which says that it agrees with itself;
* graph: `Index` after `build`, with its promise of 0.99; where no effort keeps it more quickly, that too is exact search;
* graph, float16 and int8: the same with compressed nodes;
* FAISS HNSW over lifted inner products: what the field would do; with as many edges, at effort 256; of a mixture the lifts
  side by side (at 60,500);
* cosine flat: what would be found in another geometry.

Recall is of 10, against exact search in float64. The queries are not in the index. Memory is what a process that loads the
index and searches adds, `anonymous` and shared pages alike, a point; build is the time of the graph.
"""

import argparse
import multiprocessing
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from horosphere.index import Index
from horosphere.spaces import Hyperbolic, Mixed, Space, Sphere

ITEMS, MILLION, QUERIES, DIM, CLIP = 60_500, 1_000_000, 200, 128, 2.3
#: Queries of one search before the next has its turn: what has read all items leaves no cache to the others.
TURN = 20
K = 10


def search_set(name: str, items: int, queries: int = QUERIES) -> tuple[Tensor, Tensor]:
    """Tangent vectors of the `realistic` or the `hard` set: items and queries, float32."""
    hard = name == "hard"
    rng, total = np.random.default_rng(0 if hard else 1), items + queries
    label = rng.integers(0, max(1, total // (5 if hard else 50)), total)
    mix = np.eye(DIM) if hard else rng.standard_normal((32, DIM)) / np.sqrt(32)
    centres = rng.standard_normal((label.max() + 1, len(mix))) @ mix * (2.0 / np.sqrt(DIM))
    points = np.empty((total, DIM), np.float32)
    for rows in np.array_split(np.arange(total), 1 + total // 50_000):
        v = centres[label[rows]] + rng.standard_normal((len(rows), len(mix))) @ mix * (1.1 / np.sqrt(DIM))
        if not hard:
            v += rng.standard_normal(v.shape) * (0.3 / np.sqrt(DIM))
        v *= rng.uniform(0.5, 1.15, (len(rows), 1))  # uncertain images lie nearer the origin
        points[rows] = v * np.minimum(1, CLIP / np.linalg.norm(v, axis=1, keepdims=True))
    return torch.from_numpy(points[:items]), torch.from_numpy(points[items:])


def spaces() -> dict[str, Space]:
    ball = Hyperbolic(curvature=0.1, clip=CLIP)
    return {"ball": ball, "mixture": Mixed([Sphere(), ball], weights=[1.0, 3.0])}


def placed(space: Space, v: Tensor) -> Tensor:
    """Points of the space from tangent vectors; in a mixture the sphere has their directions."""
    return v if isinstance(space, Hyperbolic) else torch.cat([Sphere()(v), v], 1)


class _Lifted:
    """Lifted inner products of each part, by FAISS; with `edges` a graph over them all, side by side."""

    def __init__(self, space: Space, points: Tensor, edges: int = 0):
        self.space, self.parts = space, list(space.parts) if isinstance(space, Mixed) else [space]
        keys = self._lift(points, 1)
        if edges:
            keys = [np.concatenate(keys, 1)]
        self.indexes = []
        for own in keys:
            inner = faiss.METRIC_INNER_PRODUCT
            index = faiss.IndexHNSWFlat(own.shape[1], edges, inner) if edges else faiss.IndexFlatIP(own.shape[1])
            if edges:
                index.hnsw.efConstruction, index.hnsw.efSearch = 40, 256
            index.add(own)
            self.indexes.append(index)

    def _lift(self, points: Tensor, side: int) -> list[NDArray[np.float32]]:
        split = self.space.split(points) if isinstance(self.space, Mixed) else [points]
        return [part.lift(own)[side].numpy() for part, own in zip(self.parts, split, strict=True)]

    def __call__(self, query: Tensor) -> NDArray[np.int64]:
        lifted = self._lift(query, 0)
        if len(self.indexes) < len(lifted):
            lifted = [np.concatenate(lifted, 1)]
        found = [index.search(own, K)[1] for index, own in zip(self.indexes, lifted, strict=True)]
        return found[0]


def _measured(set_name: str, space_name: str, items: int, storages: tuple[str, ...], folder: str) -> list[dict]:
    """All rows of one set in one space, but memory."""
    space = spaces()[space_name]
    points, queries = (placed(space, v) for v in search_set(set_name, items))
    names = [str(number) for number in range(items)]
    searches: dict[str, Callable[[Tensor], NDArray]] = {}
    built: dict[str, float] = {}
    notes: dict[str, str] = {}

    def found(index: Index) -> Callable[[Tensor], NDArray]:
        return lambda query: index.search(query, K).ids.astype(np.int64)

    searches["FAISS flat inner product (floor)"] = _Lifted(space, points)
    exact = Index(space, promise=1.0)
    exact.add(points, names)
    searches["exact"] = found(exact)
    for storage in storages:
        name = "graph" if storage == "float32" else f"graph, {storage}"
        with Index(space, storage=storage) as index:  # ty: ignore[invalid-argument-type]
            index.add(points, names)
            start = time.perf_counter()
            index.build(progress=True)
            built[name] = time.perf_counter() - start
            index.save(Path(folder) / storage)
        index = Index.load(Path(folder) / storage)
        searches[name], notes[name] = found(index), index.describe()["search"]["sentence"]
    if items <= ITEMS:
        start = time.perf_counter()
        name = "FAISS HNSW, lifted inner product"
        searches[name] = _Lifted(space, points, edges=32)
        built[name] = time.perf_counter() - start
    if space_name == "ball":
        cosine, directions = Sphere(), Sphere()(points)
        flat = _Lifted(cosine, directions)
        searches["cosine flat"] = lambda query: flat(cosine(query))
    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)
    took, answers = {name: [] for name in searches}, {name: [] for name in searches}
    for some in [queries[:1], *queries.split(TURN)]:  # the first again: what is made when first asked for
        for name, search in searches.items():
            for query in some.split(1):
                start = time.thread_time()
                answer = search(query)
                took[name].append(time.thread_time() - start)
                answers[name].append(answer[0])
    truth = answers["exact"][1:]
    p50 = {name: float(np.median(times[1:])) for name, times in took.items()}
    rows = []
    for name in searches:
        recall = np.mean([len(set(a) & set(b)) / K for a, b in zip(answers[name][1:], truth, strict=True)])
        row = {
            "name": f"{set_name} {space_name}, {items:,}: {name}",
            "seconds": p50[name],
            "ratio": p50[name] / p50["exact"],
        }
        if not (space_name == "mixture" and "floor" in name):
            row["recall"] = float(recall)
        rows.append(row | ({"built": built[name]} if name in built else {}) | {"note": notes.get(name)})
    return rows


def _memory(set_name: str, space_name: str, folder: str) -> tuple[float, float]:
    """Bytes an item that loading and searching add to this process: all, and those that no file backs."""
    space = spaces()[space_name]
    _, queries = search_set(set_name, 1000)
    Index(space).add(placed(space, queries), [str(number) for number in range(len(queries))])
    before = _resident()
    with Index.load(folder) as index:
        for query in placed(space, queries).split(1):
            index.search(query, K)
        after, items = _resident(), len(index)
    return tuple((b - a) / items for a, b in zip(before, after, strict=True))


def _resident() -> tuple[int, int]:
    """Resident bytes, and the anonymous ones of them (Linux)."""
    status = Path("/proc/self/status").read_text()
    return tuple(1024 * int(re.search(rf"{name}:\s+(\d+)", status)[1]) for name in ("VmRSS", "RssAnon"))


def _apart(function: Callable, *arguments: object) -> object:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def measured(name: str, space_name: str, items: int, storages: tuple[str, ...] = ("float32",)) -> list[dict]:
    """The rows of one set in one space."""
    with tempfile.TemporaryDirectory() as folder:
        rows = _apart(_measured, name, space_name, items, storages, folder)
        for storage in storages:
            row = next(row for row in rows if row["name"].endswith("graph" if storage == "float32" else storage))
            row["bytes"] = _apart(_memory, name, space_name, str(Path(folder) / storage))
    return rows


def run(items: int = ITEMS, million: bool = True) -> list[dict]:
    """One row a search: `name`, `seconds` (p50 of a query), `ratio` to exact search, `recall` at 10, `built` (seconds),
    `bytes` an item, all and anonymous, and a `note` of the index's own."""
    rows = []
    for name in ("realistic", "hard"):
        for space in spaces():
            rows += measured(name, space, items, ("float32", "float16", "int8") if name == "realistic" else ("float32",))
    return rows + (measured("realistic", "ball", MILLION) if million else [])


def table(rows: list[dict]) -> str:
    """Rows as Markdown."""
    head = "| what | p50 | × exact | recall@10 | build | bytes an item (anonymous) |"
    lines = [head, "| --- | ---: | ---: | ---: | ---: | ---: |"]
    for row in rows:
        recall = f"{row['recall']:.4f}" if "recall" in row else ""
        built = f"{row['built']:.1f} s" if "built" in row else ""
        memory = "{:,.0f} ({:,.0f})".format(*row["bytes"]) if "bytes" in row else ""
        lines.append(
            f"| {row['name']} | {1e3 * row['seconds']:.2f} ms | {row['ratio']:.3f} | {recall} | {built} | {memory} |"
        )
    notes = [f"* {row['name']}: {row['note']}" for row in rows if row["note"]]
    return "\n".join([*lines, "", "What the indexes say of themselves:", "", *notes])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=ITEMS)
    parser.add_argument("--million", action="store_true", help="the realistic set with a million items too")
    options = parser.parse_args()
    print(table(run(options.items, options.million)))


if __name__ == "__main__":
    main()
