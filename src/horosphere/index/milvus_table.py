"""A collection on a Milvus server as a table of items: every request has a timeout, and every failure says what to do."""

import base64
import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..errors import InputError
from .milvus_connection import Connection
from .milvus_where import among

#: What Milvus answers in one list, and a share of the 64 MB that its messages may have.
MOST_ROWS, _MOST_BYTES = 16_384, 2**24
#: UTF-8 bytes of an id, and characters of a point in base64 that a text field holds.
_ID_BYTES, _TEXT = 40_000, 65_535
_ABOUT = "horosphere"
#: Ids in one filter.
_IDS = 1000
Row = dict[str, Any]


class Table:
    """Rows of id, number (the order of insertion), point (float32, exactly), metadata, and the vector that is searched.

    Args:
        server: where the collection is.
        name: of the collection, letters, digits and underscores.
    """

    def __init__(self, server: Connection, name: str):
        self.server, self.name, self._client = server, name, server.client

    @classmethod
    def at(cls, uri: str, name: str, *, token: str, timeout: float) -> Self:
        """The table on the server at `uri`, see `Connection`."""
        if not re.fullmatch(r"[A-Za-z_]\w{0,200}", name, re.ASCII):
            raise InputError(f"name={name!r}; expected letters, digits and underscores, not beginning with a digit")
        return cls(Connection(uri, token=token, timeout=timeout), name)

    def _ask(self, task: str, request: Callable[..., Any], *given: Any, **options: Any) -> Any:
        """The answer to a request about this collection."""
        return self.server.ask(f"{task} {self.name!r}", partial(request, self.name, *given, **options))

    def beside(self, name: str) -> "Table":
        """The table `name` of this one's own."""
        return Table(self.server, f"{self.name}_{name}")

    def exists(self) -> bool:
        return self._ask("look for", self._client.has_collection)

    def create(self, columns: int, index: str, metric: str, options: dict[str, Any], about: dict[str, Any]) -> None:
        """A new collection, whose vectors of `columns` have an `index`, and which remembers `about`."""
        from pymilvus import DataType, MilvusClient  # ty: ignore[import-not-found]

        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=_ID_BYTES)
        schema.add_field("number", DataType.INT64)
        schema.add_field("point", DataType.VARCHAR, max_length=_TEXT)
        schema.add_field("metadata", DataType.JSON)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=columns)
        indices = MilvusClient.prepare_index_params()
        indices.add_index("vector", index_type=index, metric_type=metric, params=options)
        self._ask(
            "create",
            self._client.create_collection,
            schema=schema,
            index_params=indices,
            consistency_level="Session",
            properties={_ABOUT: json.dumps(about)},
        )

    def about(self) -> dict[str, Any] | None:
        """What `create` or `note` wrote down; None for a collection that horosphere did not make."""
        properties = self._ask("read", self._client.describe_collection).get("properties", {})
        return json.loads(properties[_ABOUT]) if _ABOUT in properties else None

    def note(self, about: dict[str, Any]) -> None:
        self._ask("describe", self._client.alter_collection_properties, {_ABOUT: json.dumps(about)})

    def load(self) -> Self:
        """Have the server read the collection into memory, so that it can be searched."""
        self._ask("load", self._client.load_collection)
        return self

    def wait_for_index(self, progress: bool) -> None:
        """Returns when all that was flushed is in the vectors' index, which the server makes in the background."""
        with tqdm(unit=" s", desc="index", disable=not progress, leave=False) as bar:
            while self._ask("index", self._client.describe_index, "vector").get("pending_index_rows", 0):
                time.sleep(1)
                bar.update()
        # What was searched without an index until now is loaded with it.
        self._ask("load", self._client.refresh_load)

    def drop(self) -> None:
        self._ask("drop", self._client.drop_collection)

    def write(self, numbers: Sequence[int], ids: Sequence[str], points: Tensor, metadata: Sequence, vectors: Tensor) -> None:
        """Rows, in place of those of the same id. A request that is sent twice does nothing the second time."""
        rows = [
            {"id": id, "number": number, "point": _text(point), "metadata": dict(item), "vector": vector}
            for number, id, point, item, vector in zip(numbers, ids, points.numpy(), metadata, vectors.numpy(), strict=True)
        ]
        self._ask("write to", self._client.upsert, rows)

    def delete(self, ids: Sequence[str]) -> None:
        for chunk in chunks(ids, _IDS):
            self._ask("remove from", self._client.delete, filter=among(chunk))

    def flush(self) -> None:
        """Returns when all that was written is in the server's storage."""
        self._ask("store", self._client.flush)

    def count(self, filter: str = "") -> int:
        """How many rows match. What was written before this was called is seen by every search after it."""
        answer = self._ask(
            "count", self._client.query, filter=filter, output_fields=["count(*)"], consistency_level="Strong"
        )
        return answer[0]["count(*)"]

    def rows(self, ids: Sequence[str], fields: Sequence[str]) -> dict[str, Row]:
        """Those of `ids` that are there."""
        found = {}
        options = {"output_fields": ["id", *fields], "consistency_level": "Strong"}
        for chunk in chunks(ids, _IDS):
            answer = self._ask("read", self._client.query, filter=among(chunk), **options)
            found |= {row["id"]: row for row in answer}
        return found

    def stream(self, fields: Sequence[str], filter: str = "", *, dim: int = 0) -> Iterator[list[Row]]:
        """All rows that match, in runs, in the order of ids; points have `dim` columns."""
        iterator = self._ask(
            "read",
            self._client.query_iterator,
            batch_size=self.most(dim),
            filter=filter,
            output_fields=list(fields),
            consistency_level="Strong",
        )
        try:
            while rows := self.server.again(f"read {self.name!r}", iterator.next):
                yield list(rows)
        finally:
            iterator.close()

    def nearest(
        self,
        vectors: Tensor,
        count: int,
        metric: str,
        *,
        options: dict[str, Any] | None = None,
        filter: str = "",
        points: bool = True,
    ) -> list[list[Row]]:
        """For each vector (b, q) the rows nearest to it, nearest first, with id, number, point (if `points`) and `score`."""
        if not len(vectors):
            return []
        found = []
        for some in vectors.split(max(1, MOST_ROWS // count)):
            answer = self._ask(
                "search",
                self._client.search,
                some.numpy(),
                limit=count,
                filter=filter,
                output_fields=["id", "number", "point"] if points else ["id"],
                search_params={"metric_type": metric, "params": options or {}},
                anns_field="vector",
            )
            found += [[dict(hit["entity"]) | {"score": hit["distance"]} for hit in hits] for hits in answer]
        return found

    @staticmethod
    def most(dim: int) -> int:
        """Rows with points of `dim` columns that fit into one answer or request."""
        return max(1, min(MOST_ROWS, _MOST_BYTES // (12 * dim + 1000)))


def points_of(rows: Sequence[Row], dim: int) -> Tensor:
    """The points (n, dim) that rows hold, float32."""
    data = b"".join(base64.b64decode(row["point"]) for row in rows)
    return torch.from_numpy(np.frombuffer(bytearray(data), "<f4").astype(np.float32, copy=False)).view(len(rows), dim)


def _text(point: np.ndarray) -> str:
    return base64.b64encode(point.astype("<f4").tobytes()).decode()


def chunks(values: Sequence, size: int) -> Iterator[Sequence]:
    return (values[start : start + size] for start in range(0, len(values), size))
