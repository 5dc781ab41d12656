"""The page's server under load: python -m benchmarks.serving [--items N].

`horosphere serve` in a process of its own on loopback, asked by threads of this one, each on a connection of its own; both
share the machine's cores. k = 10. Measured:

* searches: of an index of 60,500 × 128 hyperbolic points (c = 0.1, clip 2.3), the realistic set of `benchmarks.search`, by
  an item's id and by a held-out point, with 1, 8 and 32 clients. The floor is `Index.search` itself, one query at a time,
  in this process, in turns with one client's requests; an answer adds HTTP, JSON, and the hits' metadata and parts;
* uploads: a JPEG of 500 × 375 pixels to its point, with 1 and 8 clients, by the demo's encoder, untrained. The floor is the
  same image through `Collection.embed`.

Times are p50 and p99 of a request. Every request is counted: answered, refused with 429, or lost, which none may be. Memory
is the server's, after 1,000 and after 10,000 searches.
"""

import argparse
import base64
import contextlib
import http.client
import io
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import torch
from PIL import Image

from horosphere import build as objects
from horosphere import recipes
from horosphere.collection import Collection, Thumbnails, build
from horosphere.collection.folder import MODEL, About, fingerprint
from horosphere.config import IndexConfig
from horosphere.index import Index
from horosphere.models import Embedder
from horosphere.runs import Run
from horosphere.spaces import Hyperbolic

from .search import DIM, search_set

ITEMS, K = 60_500, 10
CLIENTS = (1, 8, 32)
#: Requests of a row, and seconds after which it ends with fewer.
SEARCHES, UPLOADS, SECONDS = 1_000, 300, 30.0
#: Searches after which the server's memory is read.
EARLY, LATE = 1_000, 10_000

Request = tuple[str, dict[str, str], bytes]


class Load:
    """Clients that ask one after another until `count` requests are made or the time is over."""

    def __init__(self, address: str, requests: Callable[[int], Request], count: int, clients: int):
        self._host, self._requests = urlsplit(address).netloc, requests
        self.clients = clients
        self._left, self._lock = iter(range(count)), threading.Lock()
        self.took: list[float] = []
        self.outcomes: Counter[str] = Counter()
        self._end = time.perf_counter() + SECONDS
        started = time.perf_counter()
        threads = [threading.Thread(target=self._ask) for _ in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.seconds = time.perf_counter() - started

    def _ask(self) -> None:
        connection = http.client.HTTPConnection(self._host, timeout=60)
        while time.perf_counter() < self._end:
            with self._lock:
                number = next(self._left, None)
            if number is None:
                break
            path, headers, body = self._requests(number)
            started = time.perf_counter()
            try:
                connection.request("POST", path, body, headers)
                answer = connection.getresponse()
                answer.read()
                outcome = {200: "answered", 429: "refused"}.get(answer.status, "lost")
            except (OSError, http.client.HTTPException):
                connection.close()
                outcome = "lost"
            with self._lock:
                self.outcomes[outcome] += 1
                if outcome == "answered":
                    self.took.append(time.perf_counter() - started)
        connection.close()

    def __len__(self) -> int:
        return self.outcomes.total()


def row(name: str, loads: list[Load], floor: float) -> dict:
    """What loads of one kind took, as a row."""
    p50, p99 = np.quantile([seconds for load in loads for seconds in load.took], [0.5, 0.99])
    outcomes = sum((load.outcomes for load in loads), Counter())
    rate = outcomes["answered"] / sum(load.seconds for load in loads)
    return {"name": name, "seconds": p50, "p99": p99, "rate": rate, "ratio": p50 / floor, "outcomes": outcomes}


@contextlib.contextmanager
def served(folder: Path) -> Generator[tuple[str, subprocess.Popen]]:
    """`horosphere serve` over a collection: its address and its process."""
    command = [sys.executable, "-u", "-m", "horosphere", "serve", str(folder), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        address = next((line.strip() for line in process.stdout if line.startswith("http")), None)
        if address is None:
            raise RuntimeError(f"the server of {folder} did not start; its error is above")
        yield address, process
    finally:
        process.terminate()
        process.wait(20)


def resident(process: subprocess.Popen) -> float:
    """A process's memory in MB (Linux)."""
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text())[1]) / 1024


def points_collection(folder: Path, items: int) -> torch.Tensor:
    """A collection of cached features, built for search; returns held-out points."""
    space = Hyperbolic(curvature=0.1, clip=2.3)
    points, queries = search_set("realistic", items, 1_000)
    Embedder(None, space, DIM, width=DIM).save(folder / MODEL)
    About(name="realistic", run="none", takes_images=False, temperatures={"": 0.2}).write(folder)
    Thumbnails(folder, create=True).close()
    with Index.create(folder, space, model=fingerprint(folder / MODEL)) as index:
        index.add(points, [f"item{i:06}" for i in range(items)], [{"class": f"class {i % 50}"} for i in range(items)])
        index.build()
    return queries


def digits_collection(folder: Path) -> None:
    """The demo's test images under its encoder, untrained."""
    run, config = Run(folder / "run"), recipes.get("demo").config()
    run.begin(config)
    torch.manual_seed(0)
    objects.embedder(config, objects.data(config.data)).save(run.model_path)
    build(IndexConfig(run.folder, output=folder / "digits"), progress=False)


def photograph() -> bytes:
    """500 × 375 pixels with a photograph's kind of detail, as a JPEG."""
    noise = np.random.default_rng(0).integers(0, 255, (24, 32, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise).resize((500, 375), Image.Resampling.BICUBIC).save(out, "JPEG", quality=90)
    return out.getvalue()


def median(call: Callable[[int], object], count: int) -> float:
    took = []
    for i in range(count):
        started = time.perf_counter()
        call(i)
        took.append(time.perf_counter() - started)
    return float(np.median(took))


def searches(folder: Path, items: int) -> list[dict]:
    """The rows of searches, and of the server's memory."""
    queries = points_collection(folder, items)
    ids = np.random.default_rng(0).permutation(items)
    texts = [base64.b64encode(point.numpy().astype("<f4").tobytes()).decode() for point in queries]

    def by_id(number: int) -> Request:
        return _json({"query": {"id": f"item{ids[number % items]:06}"}, "k": K})

    def by_point(number: int) -> Request:
        return _json({"query": {"point": texts[number % len(texts)]}, "k": K})

    kinds = {"by id": by_id, "by point": by_point}
    with served(folder) as (address, process), Index.load(folder) as index:
        loads = [Load(address, by_id, EARLY, 8)]
        early, floors, alone = resident(process), [], {name: [] for name in kinds}
        for _ in range(5):  # in turns, so that a busy spell of the machine falls on all
            floors.append(median(lambda i: index.search(queries[i], K), SEARCHES // 5))
            for name, kind in kinds.items():
                alone[name].append(Load(address, kind, SEARCHES // 5, 1))
        floor = float(np.median(floors))
        rows = [{"name": "Index.search (floor)", "seconds": floor, "ratio": 1.0}]
        for name, kind in kinds.items():
            several = [Load(address, kind, SEARCHES, clients) for clients in CLIENTS[1:]]
            rows.append(row(f"search {name}, 1 client", alone[name], floor))
            rows += [row(f"search {name}, {load.clients} clients", [load], floor) for load in several]
            loads += [*alone[name], *several]
        loads.append(Load(address, by_id, LATE - sum(map(len, loads)), 8))
        asked, lost = sum(map(len, loads)), sum(load.outcomes["lost"] for load in loads)
        note = f"{early:.0f} MB after {EARLY:,} searches, {resident(process):.0f} MB after {asked:,}; {lost} lost"
    return [*rows, {"name": "the server's memory", "note": note}]


def uploads(folder: Path) -> list[dict]:
    """The rows of uploads."""
    digits_collection(folder)
    image = photograph()

    def upload(_: int) -> Request:
        return "/api/queries", {"Content-Type": "image/jpeg"}, image

    with served(folder / "digits") as (address, _), Collection.open(folder / "digits") as collection:
        Load(address, upload, 20, 1)
        floor = median(lambda _: collection.embed([image]), 100)
        one = Load(address, upload, UPLOADS, 1)
        floor = min(floor, median(lambda _: collection.embed([image]), 100))
        rows = [{"name": "Collection.embed of one image (floor)", "seconds": floor, "ratio": 1.0}]
        rows.append(row("upload, 1 client", [one], floor))
        rows.append(row("upload, 8 clients", [Load(address, upload, UPLOADS, 8)], floor))
    return rows


def _json(body: dict) -> Request:
    return "/api/search", {"Content-Type": "application/json"}, json.dumps(body).encode()


def run(items: int = ITEMS) -> list[dict]:
    """A row a measurement: `name`, `seconds` (p50), `p99`, `rate` a second, `ratio` to the floor, `outcomes`; or a note."""
    with tempfile.TemporaryDirectory() as points, tempfile.TemporaryDirectory() as digits:
        return searches(Path(points), items) + uploads(Path(digits))


def table(rows: list[dict]) -> str:
    """Rows as Markdown."""
    lines = [
        "| what | p50 | p99 | × floor | a second | answered, refused, lost |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        if "note" in row:
            lines.append(f"| {row['name']} | {row['note']} | | | | |")
            continue
        served = ["", "", ""]
        if "outcomes" in row:
            counts = ", ".join(f"{row['outcomes'][name]:,}" for name in ("answered", "refused", "lost"))
            served = [f"{1e3 * row['p99']:.1f} ms", f"{row['rate']:,.0f}", counts]
        p99, rate, counts = served
        lines.append(f"| {row['name']} | {1e3 * row['seconds']:.2f} ms | {p99} | {row['ratio']:,.2f} | {rate} | {counts} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=ITEMS)
    print(table(run(**vars(parser.parse_args()))))


if __name__ == "__main__":
    main()
