"""A graph of neighbours over flat coordinates (FAISS's HNSW), the rows beside it, and the file that holds both.

HNSW: Malkov, Yashunin, Efficient and Robust Approximate Nearest Neighbor Search Using Hierarchical Navigable Small World
Graphs, TPAMI 2020. A `Graph` never changes: one that has grown is another, so that searches go on meanwhile.
"""

import hashlib
import json
import signal
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Literal

import faiss as _faiss
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..files import replacing
from ..spaces import Space
from .coordinates import Coordinates

Storage = Literal["float32", "float16", "int8"]
Rows = NDArray[np.int64]

#: Edges of a node (twice as many in the lowest layer), and candidates for them while building. Half the edges do as well on
#: easy sets alone.
_EDGES, _CANDIDATES = 32, 40
#: Rows linked at a time; Ctrl-C waits for them.
_CHUNK = 5000
#: Its published types are wrong here and there.
faiss: Any = _faiss
_MAGIC = b"horosphere graph 1\n"
_NONE = np.empty(0, np.int64)


@dataclass(frozen=True)
class Graph:
    """A graph and what lies beside it.

    Attributes:
        coordinates: from points to what the graph is built over.
        storage: what a node keeps of its coordinates.
        nodes: FAISS's index.
        linked: the rows of its nodes, in their order.
        sample: rows up to `last` that stay outside the graph, drawn alike from all: recall is measured with them.
        beside: rows that are searched without the graph, by comparing their coordinates, `places` (t, q), one by one.
    """

    coordinates: Coordinates
    storage: Storage
    nodes: Any
    linked: Rows
    sample: Rows
    last: int
    beside: Rows
    places: NDArray[np.float32]

    @classmethod
    def empty(cls, coordinates: Coordinates, storage: Storage, points: Tensor) -> "Graph":
        """A graph without nodes. From the `points` (n, p) int8 takes each column's range; the others, how many there are."""
        places = coordinates(points).numpy()
        if storage == "float32":
            nodes = faiss.IndexHNSWFlat(places.shape[1], _EDGES)
        else:
            kind = faiss.ScalarQuantizer.QT_fp16 if storage == "float16" else faiss.ScalarQuantizer.QT_8bit
            nodes = faiss.IndexHNSWSQ(places.shape[1], kind, _EDGES)
            nodes.train(places)
        nodes.hnsw.efConstruction = _CANDIDATES
        return cls(coordinates, storage, nodes, _NONE, _NONE, 0, _NONE, places[:0])

    def near(self, queries: Tensor, effort: int) -> Rows:
        """Rows that may be among the nearest to queries (b, p): (b, effort), −1 where there are fewer.

        So many nearest in coordinates the walk through the graph keeps in sight; what lies beside it is added.
        """
        placed = self.coordinates(queries).numpy()
        far, found = self.nodes.search(placed, effort, params=faiss.SearchParametersHNSW(efSearch=effort))
        rows = np.where(found < 0, -1, self.linked[found])
        if not len(self.beside):
            return rows
        further = np.empty((len(placed), len(self.beside)), np.float32)
        for out, query in zip(further, placed, strict=True):  # on this thread: to wait for others takes longer
            faiss.fvec_L2sqr_ny(*map(faiss.swig_ptr, (out, query, self.places)), self.places.shape[1], len(self.places))
        rows = np.concatenate([rows, np.broadcast_to(self.beside, further.shape)], 1)
        nearest = np.concatenate([far, further], 1).argpartition(effort - 1, 1)[:, :effort]
        return np.take_along_axis(rows, nearest, 1)

    def with_beside(self, rows: Rows, points: Tensor) -> "Graph":
        """The graph with these rows beside it, and no others."""
        return replace(self, beside=rows, places=self.coordinates(points).numpy())

    def with_more_beside(self, rows: Rows, points: Tensor) -> "Graph":
        """The graph with more rows beside it."""
        places = self.coordinates(points).numpy()
        return replace(self, beside=np.concatenate([self.beside, rows]), places=np.concatenate([self.places, places]))

    def linking(self, rows: Rows, points: Callable[[Rows], Tensor]) -> Iterator["Graph"]:
        """Link `rows`, some at a time, to a copy of the graph: after each time the copy, which then is whole. Ctrl-C waits
        until it has been taken. One copy takes the place of the other, so only the last may be used."""
        nodes, linked = faiss.clone_index(self.nodes), self.linked
        with _held() as pressed:
            for chunk in np.split(rows, range(_CHUNK, len(rows), _CHUNK)):
                nodes.add(self.coordinates(points(chunk)).numpy())
                linked = np.concatenate([linked, chunk])
                yield replace(self, nodes=nodes, linked=linked, beside=_NONE, places=self.places[:0])
                if pressed:
                    raise KeyboardInterrupt

    def write(self, path: Path, token: str) -> None:
        """Write the graph and its sample, all of it or nothing. What is beside is known from the rows there are."""
        about = {
            "token": token, "storage": self.storage, "scales": self.coordinates.scales, "last": self.last,
            "linked": len(self.linked), "sample": len(self.sample),
        }  # fmt: skip
        with replacing(path) as temporary, open(temporary, "wb") as file:
            digest = hashlib.blake2b()

            def put(data: bytes | memoryview) -> int:
                digest.update(data)
                return file.write(data)

            put(_MAGIC)
            put(json.dumps(about).encode() + b"\n")
            put(self.linked.tobytes() + self.sample.tobytes())
            faiss.write_index(self.nodes, faiss.PyCallbackIOWriter(put))
            file.write(digest.digest())

    @classmethod
    def read(cls, path: Path, token: str, space: Space) -> "Graph | None":
        """The graph that was written with `token`; None where the file is missing, damaged, or another's."""
        try:
            with open(path, "rb") as file:
                if file.readline(100) != _MAGIC:
                    return None
                about = json.loads(file.readline(100_000))
                if about["token"] != token or not _sound(file, path.stat().st_size):
                    return None
                linked, sample = (
                    np.frombuffer(file.read(8 * about[name]), np.int64) for name in ("linked", "sample")
                )  # fmt: skip
                nodes = faiss.read_index(faiss.PyCallbackIOReader(file.read))
        except (OSError, ValueError, KeyError):
            return None
        places = np.empty((0, nodes.d), np.float32)
        coordinates = Coordinates(space, tuple(about["scales"]))
        return cls(coordinates, about["storage"], nodes, linked, sample, about["last"], _NONE, places)


def _sound(file: IO[bytes], size: int) -> bool:
    """Whether the file ends with the digest of all before it; it is left where it was."""
    place, digest = file.tell(), hashlib.blake2b()
    file.seek(0)
    left = size - digest.digest_size
    while left > 0 and (data := file.read(min(left, 2**20))):
        digest.update(data)
        left -= len(data)
    sound = file.read() == digest.digest()
    file.seek(place)
    return sound


@contextmanager
def _held() -> Generator[list[bool]]:
    """Ctrl-C only makes the list true: in the middle of its work FAISS would leave nodes that nothing leads to."""
    pressed: list[bool] = []
    if threading.current_thread() is not threading.main_thread():
        yield pressed
        return
    before = signal.signal(signal.SIGINT, lambda *_: pressed.append(True))
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)
