"""Search on a Milvus server beside the embedded index: make bench-milvus, which has the server; make bench leaves it out.

20,000 clipped hyperbolic points of 128 columns, as those of the realistic set of `benchmarks.search`. A server of one
process, on the same cores as its client. Single queries, all searches in turns, query by query; the median, by the clock,
with one thread in the client. The rows' ratios are to FAISS's flat inner product in the client's own process.

* upload: `MilvusIndex.add`, with ids and a field, until the server has stored it;
* embedded, exact and graph: `Index` before and after `build`;
* server, exact: `MilvusIndex` before `build`, proven; also where a filter leaves a tenth of the items;
* server, graph: after `build`, with its promise of 0.99; beside it is the recall that was measured.
"""

import tempfile
import time
from pathlib import Path

import faiss
import numpy as np
import torch

from horosphere.evaluation.scores import lift
from horosphere.index import Index
from horosphere.index.milvus import MilvusIndex
from horosphere.spaces import Hyperbolic

from .search import CLIP, K, search_set

ITEMS, QUERIES = 20_000, 60


def run(items: int = ITEMS) -> list[dict]:
    """Rows for RESULTS.md: name, seconds a query, and ratio; or name and note."""
    from tests.milvus_server import Server

    space = Hyperbolic(0.1, CLIP)
    points, queries = search_set("realistic", items, QUERIES)
    ids, fields = [str(number) for number in range(items)], [{"tenth": number % 10} for number in range(items)]
    flat = faiss.IndexFlatIP(points.shape[1] + 2)
    flat.add(lift(space, points.double())[1].float().numpy())  # ty: ignore[missing-argument]
    asked = -lift(space, queries.double())[0].float().numpy()
    exact, graph = Index(space), Index(space)
    for index in (exact, graph):
        index.add(points, ids)
    graph.build()
    # More would wait for one another where other work has the cores.
    faiss.omp_set_num_threads(1)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder)) as server:
        create = MilvusIndex.create
        with create(server.uri, "bench", space, points.shape[1], token=server.token, timeout=120) as index:
            start = time.perf_counter()
            index.add(points, ids, fields)
            upload = items / (time.perf_counter() - start)
            before = {
                "FAISS flat inner product": lambda query: flat.search(asked[query : query + 1], K),
                "embedded, exact": lambda query: exact.search(queries[query], K),
                "embedded, graph": lambda query: graph.search(queries[query], K),
                "server, exact": lambda query: index.search(queries[query], K),
                "server, exact, a tenth of the items": lambda query: index.search(queries[query], K, where={"tenth": 3}),
            }
            first = _medians(before)
            assert (index.search(queries, K).ids == exact.search(queries, K).ids).all()
            start = time.perf_counter()
            index.build()
            took = time.perf_counter() - start
            after = _medians({name: before[name] for name in ("FAISS flat inner product", "server, exact")})
    rows = [{"name": f"upload of {items:,} items", "note": f"{upload:,.0f} items a second"}]
    floor = first["FAISS flat inner product"]
    rows += [{"name": name, "seconds": seconds, "ratio": seconds / floor} for name, seconds in first.items()]
    if index.recall is None or index.recall.effort is None:
        return [*rows, {"name": "server, graph", "note": f"none after {took:.0f} s: comparing all items was as quick"}]
    name = f"server, graph (built in {took:.0f} s; recall@{index.recall.k} {index.recall.value:.3f})"
    return [
        *rows,
        {
            "name": name,
            "seconds": after["server, exact"],
            "ratio": after["server, exact"] / after["FAISS flat inner product"],
        },
    ]


def _medians(searches: dict) -> dict[str, float]:
    """Seconds of each, in turns; the first two queries only warm up."""
    took = {name: [] for name in searches}
    for query in range(QUERIES):
        for name, search in searches.items():
            start = time.perf_counter()
            search(query)
            took[name].append(time.perf_counter() - start)
    return {name: float(np.median(some[2:])) for name, some in took.items()}
