"""A collection on a Milvus server as a table of items: every request has a timeout, and every failure says what to do."""

import base64
import json
import logging
import re
import socket
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self
from urllib.parse import urlsplit

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..errors import InputError
from .where import Condition, Value

#: What Milvus answers in one list, and a share of the 64 MB that its messages may have.
MOST_ROWS, _MOST_BYTES = 16_384, 2**24
#: UTF-8 bytes of an id, and characters of a point in base64 that a text field holds.
_ID_BYTES, _TEXT = 40_000, 65_535
_ABOUT = "horosphere"
#: Ids in one filter.
_IDS = 1000
#: Milvus compares numbers as float64, so whole numbers beyond this are not told apart.
LARGEST = 2**53

Row = dict[str, Any]


class Table:
    """Rows of id, number (the order of insertion), point (float32, exactly), metadata, and the vector that is searched.

    Args:
        uri, token: of the server; `timeout` is in seconds, for each request.
        name: of the collection, letters, digits and underscores.
    """

    def __init__(self, uri: str, name: str, *, token: str = "", timeout: float = 30.0):
        if not re.fullmatch(r"[A-Za-z_]\w{0,200}", name, re.ASCII):
            raise InputError(f"name={name!r}; expected letters, digits and underscores, not beginning with a digit")
        if not re.match(r"https?://\S|tcp://\S", uri):
            raise InputError(f"uri={uri!r}; expected the server's address, such as http://127.0.0.1:19530")
        try:
            from pymilvus import MilvusClient  # ty: ignore[import-not-found]
        except ImportError:
            raise InputError("the Milvus engine needs pymilvus: pip install 'horosphere[milvus]'") from None
        # What it would print is in the errors raised here.
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
        self.uri, self.name, self.timeout, self._token = uri, name, timeout, token
        with self._told("connect to"):
            if not _listens(uri, timeout):
                raise ConnectionError("nothing listens at this address")
            self._client = MilvusClient(uri, token=token, timeout=timeout)

    @contextmanager
    def _told(self, task: str) -> Generator[None]:
        """What goes wrong between here and the server becomes an InputError."""
        import grpc
        from pymilvus.exceptions import MilvusException  # ty: ignore[import-not-found]

        try:
            yield
        except (MilvusException, grpc.RpcError, OSError) as error:
            text = getattr(error, "message", "") or str(error)
            # To a wrong token a client says no more than that its parameters are illegal, and to a dead server the same.
            if _listens(self.uri, 1) and re.search("auth|illegal connection|token|password|permission", text, re.IGNORECASE):
                advice = (
                    "it does not answer as Milvus does to this token; give token='user:password' or an API key, if it asks"
                )
            elif re.search(
                "unavailable|connect|deadline|timeout|timed out|retry|closed|not ready|not loaded", text, re.IGNORECASE
            ):
                advice = (
                    f"no usable answer within {self.timeout:g} s; see that the server runs at this address and is healthy "
                    "(a restarted one takes up to a minute), then try again"
                )
            else:
                advice = "the server's log may say more"
            raise InputError(
                f"Milvus at {self.uri} could not {task} {self.name!r}: {advice} ({text.strip()[:300]})"
            ) from None

    def beside(self, name: str) -> "Table":
        """The table `name` of this one's own."""
        return Table(self.uri, f"{self.name}_{name}", token=self._token, timeout=self.timeout)

    def exists(self) -> bool:
        with self._told("look for"):
            return self._client.has_collection(self.name, timeout=self.timeout)

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
        with self._told("create"):
            self._client.create_collection(
                self.name,
                schema=schema,
                index_params=indices,
                consistency_level="Session",
                properties={_ABOUT: json.dumps(about)},
                timeout=self.timeout,
            )

    def about(self) -> dict[str, Any] | None:
        """What `create` or `note` wrote down; None for a collection that horosphere did not make."""
        with self._told("read"):
            properties = self._client.describe_collection(self.name, timeout=self.timeout).get("properties", {})
        return json.loads(properties[_ABOUT]) if _ABOUT in properties else None

    def note(self, about: dict[str, Any]) -> None:
        with self._told("describe"):
            self._client.alter_collection_properties(self.name, {_ABOUT: json.dumps(about)}, timeout=self.timeout)

    def load(self) -> Self:
        """Have the server read the collection into memory, so that it can be searched."""
        with self._told("load"):
            self._client.load_collection(self.name, timeout=self.timeout)
        return self

    def wait_for_index(self, progress: bool) -> None:
        """Returns when all that was flushed is in the vectors' index, which the server makes in the background."""
        with self._told("index"), tqdm(unit=" s", desc="index", disable=not progress, leave=False) as bar:
            while self._client.describe_index(self.name, "vector", timeout=self.timeout).get("pending_index_rows", 0):
                time.sleep(1)
                bar.update()
            # What was searched without an index until now is loaded with it.
            self._client.refresh_load(self.name, timeout=self.timeout)

    def drop(self) -> None:
        with self._told("drop"):
            self._client.drop_collection(self.name, timeout=self.timeout)

    def close(self) -> None:
        self._client.close()

    def write(self, numbers: Sequence[int], ids: Sequence[str], points: Tensor, metadata: Sequence, vectors: Tensor) -> None:
        """Rows, in place of those of the same id. A request that is sent twice does nothing the second time."""
        rows = [
            {"id": id, "number": number, "point": _text(point), "metadata": dict(item), "vector": vector}
            for number, id, point, item, vector in zip(numbers, ids, points.numpy(), metadata, vectors.numpy(), strict=True)
        ]
        with self._told("write to"):
            self._client.upsert(self.name, rows, timeout=self.timeout)

    def delete(self, ids: Sequence[str]) -> None:
        with self._told("remove from"):
            for chunk in chunks(ids, _IDS):
                self._client.delete(self.name, filter=among(chunk), timeout=self.timeout)

    def flush(self) -> None:
        """Returns when all that was written is in the server's storage."""
        with self._told("store"):
            self._client.flush(self.name, timeout=self.timeout)

    def count(self, filter: str = "") -> int:
        """How many rows match. What was written before this was called is seen by every search after it."""
        with self._told("count"):
            answer = self._client.query(
                self.name, filter=filter, output_fields=["count(*)"], consistency_level="Strong", timeout=self.timeout
            )
        return answer[0]["count(*)"]

    def rows(self, ids: Sequence[str], fields: Sequence[str]) -> dict[str, Row]:
        """Those of `ids` that are there."""
        found = {}
        with self._told("read"):
            for chunk in chunks(ids, _IDS):
                answer = self._client.query(
                    self.name,
                    filter=among(chunk),
                    output_fields=["id", *fields],
                    consistency_level="Strong",
                    timeout=self.timeout,
                )
                found |= {row["id"]: row for row in answer}
        return found

    def stream(self, fields: Sequence[str], filter: str = "", *, dim: int = 0) -> Iterator[list[Row]]:
        """All rows that match, in runs, in the order of ids; points have `dim` columns."""
        with self._told("read"):
            iterator = self._client.query_iterator(
                self.name,
                batch_size=self.most(dim),
                filter=filter,
                output_fields=list(fields),
                consistency_level="Strong",
                timeout=self.timeout,
            )
            try:
                while rows := iterator.next():
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
        with self._told("search"):
            for some in vectors.split(max(1, MOST_ROWS // count)):
                answer = self._client.search(
                    self.name,
                    some.numpy(),
                    limit=count,
                    filter=filter,
                    output_fields=["id", "number", "point"] if points else ["id"],
                    search_params={"metric_type": metric, "params": options or {}},
                    anns_field="vector",
                    timeout=self.timeout,
                )
                found += [[dict(hit["entity"]) | {"score": hit["distance"]} for hit in hits] for hits in answer]
        return found

    @staticmethod
    def most(dim: int) -> int:
        """Rows with points of `dim` columns that fit into one answer or request."""
        return max(1, min(MOST_ROWS, _MOST_BYTES // (12 * dim + 1000)))


def _listens(uri: str, timeout: float) -> bool:
    address = urlsplit(uri)
    try:
        port = address.port or (443 if address.scheme == "https" else 19530)
        socket.create_connection((address.hostname or "", port), timeout).close()
    except (OSError, ValueError):
        return False
    return True


def points_of(rows: Sequence[Row], dim: int) -> Tensor:
    """The points (n, dim) that rows hold, float32."""
    data = b"".join(base64.b64decode(row["point"]) for row in rows)
    return torch.from_numpy(np.frombuffer(bytearray(data), "<f4").astype(np.float32, copy=False)).view(len(rows), dim)


def _text(point: np.ndarray) -> str:
    return base64.b64encode(point.astype("<f4").tobytes()).decode()


def chunks(values: Sequence, size: int) -> Iterator[Sequence]:
    return (values[start : start + size] for start in range(0, len(values), size))


def among(ids: Sequence[str]) -> str:
    """A filter for rows with one of these ids."""
    return f"id in [{', '.join(map(_literal, ids))}]"


def expression(where: Sequence[Condition]) -> str:
    """Conditions in Milvus's language for filters; every name and value is a literal of it."""
    return " and ".join(f"({clause})" for condition in where for clause in _clauses(condition))


def _clauses(condition: Condition) -> Iterator[str]:
    field = f"metadata[{_literal(condition.name)}]"
    if condition.values is not None:
        clause = " or ".join(f"{field} in [{', '.join(map(_literal, some))}]" for some in _alike(condition.values))
        yield f"not ({clause})" if condition.negated else clause
    for sign, bound in ((">=", condition.low), ("<=", condition.high)):
        if bound is not None:
            yield f"{field} {sign} {_literal(bound)}"


def _alike(values: Sequence[Value]) -> list[Sequence[Value]]:
    """The values in lists of one type each, as Milvus asks; a number in both of its types, where it has both."""
    numbers = [value for value in values if not isinstance(value, str | bool)]
    if not numbers:
        return [values]
    whole = [int(value) for value in numbers if value == int(value) and abs(value) <= LARGEST]
    return [some for some in (whole, list(map(float, numbers))) if some]


def _literal(value: str | float) -> str:
    """Milvus reads literals as JSON does."""
    return json.dumps(value, ensure_ascii=False)
