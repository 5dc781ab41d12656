"""The items of an index in one SQLite database, in a file or in memory.

A row's number is never used again, so it stands for one point for ever: what replaces an item gets a new row. Besides each
item's metadata as JSON, every value has a line in `fields`, sorted by name and value, which filters read.
"""

import json
import sqlite3
import threading
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..databases import connected, unfinished, without_logs, writable
from ..errors import InputError
from .where import Condition, Field, Value

#: "Horo"; what the file is, to SQLite and to `file`.
APPLICATION = 0x486F726F
VERSION = 1
#: Ids in one query.
_CHUNK = 1000
_SCHEMA = f"""
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {VERSION};
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE items (
    row INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, point BLOB NOT NULL, metadata TEXT NOT NULL
);
CREATE TABLE fields (name TEXT, value, row INTEGER, PRIMARY KEY (name, value, row)) WITHOUT ROWID;
"""


class Store:
    """A database of items: of a file that `copy` made, or a new one in memory. Threads may share it: each call has it alone.

    Raises InputError, here and in every method, where the file cannot be read or written; then nothing was changed.
    """

    def __init__(self, path: Path | None = None):
        self.path, self._lock, self._version = path, threading.RLock(), 0
        self._connection = connected(path)
        try:
            with self._told():
                if path is None:
                    self._connection.executescript(f"BEGIN; {_SCHEMA} COMMIT;")
                    return
                self._check(path)
                if writable(path):
                    self._connection.execute("PRAGMA journal_mode = WAL")
                    # A commit is on the disk before it is acknowledged.
                    self._connection.execute("PRAGMA synchronous = FULL")
        except BaseException:
            self._connection.close()
            raise

    def _check(self, path: Path) -> None:
        names = ("application_id", "user_version", "page_count", "page_size")
        application, version, pages, size = (self._connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names)
        if path.stat().st_size < pages * size and not unfinished(path):
            raise InputError(f"{path} is damaged: it is cut short; restore it, or build the index again")
        if application != APPLICATION:
            raise InputError(f"{path} is no index of horosphere; expected a file that Index.create or Index.save made")
        if version > VERSION:
            raise InputError(
                f"{path} was made by a newer horosphere (format {version}, known: {VERSION}); update horosphere"
            )

    @contextmanager
    def _told(self) -> Generator[sqlite3.Connection]:
        """The connection, to one thread alone; what goes wrong with the file becomes an InputError."""
        with self._lock:
            try:
                yield self._connection
            except sqlite3.ProgrammingError:
                raise InputError("this index is closed; load it again") from None
            except sqlite3.OperationalError as error:
                raise InputError(
                    f"{self.path or 'the index in memory'}: {error}. Nothing was changed; make room where the disk is full, "
                    "and copy the index where its folder is read-only"
                ) from None
            except sqlite3.DatabaseError as error:
                raise InputError(f"{self.path} is damaged or no index ({error}); restore it, or build it again") from None

    @contextmanager
    def writing(self) -> Generator[None]:
        """A transaction: on leaving it is on the disk; after an error nothing has changed."""
        with self._told() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def note(self, **values: Any) -> None:
        """Write down JSON-able values by their names, in a transaction."""
        self._connection.executemany(
            "INSERT OR REPLACE INTO about VALUES (?, ?)", [(name, json.dumps(value)) for name, value in values.items()]
        )

    def read(self) -> tuple[dict[str, Any], NDArray[np.int64], list[str], NDArray[np.float32]]:
        """Everything at one moment: what was noted, and in order of insertion rows (n,), ids and points (n, p)."""
        with self._told() as connection:
            self._version = self._data_version()
            connection.execute("BEGIN")
            try:
                about = {name: json.loads(value) for name, value in connection.execute("SELECT name, value FROM about")}
                (count,) = connection.execute("SELECT count(*) FROM items").fetchone()
                rows, ids, points = np.empty(count, np.int64), [], np.empty((count, about.get("dim") or 0), np.float32)
                cursor = connection.execute("SELECT row, id, point FROM items ORDER BY row")
                while chunk := cursor.fetchmany(_CHUNK):
                    own = slice(len(ids), len(ids) + len(chunk))
                    rows[own], names, floats = zip(*chunk, strict=True)
                    points[own] = np.frombuffer(b"".join(floats), np.float32).reshape(len(chunk), -1)
                    ids += names
                if len(ids) < count:
                    raise ValueError(f"{count} items, of which {len(ids)} can be read")
            finally:
                connection.execute("ROLLBACK")
        return about, rows, ids, points

    @property
    def changed(self) -> bool:
        """Whether another process has written since `read`."""
        with self._told():
            return self._data_version() != self._version

    def _data_version(self) -> int:
        return self._connection.execute("PRAGMA data_version").fetchone()[0]

    def rows(self, ids: Sequence[str]) -> dict[str, int]:
        """The rows of those of `ids` that are there."""
        found: dict[str, int] = {}
        with self._told() as connection:
            for chunk in _chunks(ids):
                found |= connection.execute(f"SELECT id, row FROM items WHERE id IN ({_marks(chunk)})", chunk)
        return found

    def metadata(self, rows: Sequence[int] | None) -> Iterator[tuple[int, dict[str, Value]]]:
        """Row and metadata of those of `rows` that are there, or of all, in order of insertion."""
        with self._told() as connection:
            if rows is None:
                found = connection.execute("SELECT row, metadata FROM items ORDER BY row").fetchall()
            else:
                query = "SELECT row, metadata FROM items WHERE row IN ({}) ORDER BY row"
                found = [
                    line
                    for chunk in _chunks(sorted(rows))
                    for line in connection.execute(query.format(_marks(chunk)), chunk)
                ]
        return ((row, json.loads(metadata)) for row, metadata in found)

    def insert(
        self, ids: Sequence[str], points: NDArray[np.float32], metadata: Sequence[Mapping[str, Value]]
    ) -> NDArray[np.int64]:
        """Add items, in a transaction; their rows (n,)."""
        (last,) = self._connection.execute(
            "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'items'"
        ).fetchone()
        rows = range(last + 1, last + 1 + len(ids))
        self._connection.executemany(
            "INSERT INTO items VALUES (?, ?, ?, ?)",
            (
                (row, id, memoryview(point), json.dumps(dict(item), ensure_ascii=False))
                for row, id, point, item in zip(rows, ids, points, metadata, strict=True)
            ),
        )
        self._connection.executemany("INSERT INTO fields VALUES (?, ?, ?)", _lines(zip(rows, metadata, strict=True)))
        return np.array(rows, np.int64)

    def delete(self, rows: Sequence[int]) -> None:
        """Remove items, in a transaction."""
        self._connection.executemany(
            "DELETE FROM fields WHERE name = ? AND value = ? AND row = ?", _lines(self.metadata(rows))
        )
        self._connection.executemany("DELETE FROM items WHERE row = ?", ((row,) for row in rows))

    def matching(self, condition: Condition) -> NDArray[np.int64]:
        """The rows whose field is what the condition says, negated or not. Whatever was asked is a parameter."""
        query = "SELECT row FROM fields WHERE name = ?"
        values: list[Value] = [condition.name]
        if condition.values is not None:
            query += f" AND value IN ({_marks(condition.values)})"
            values += condition.values
        for sign, bound in ((">=", condition.low), ("<=", condition.high)):
            if bound is not None:
                query += f" AND value {sign} ?"
                values.append(bound)
        with self._told() as connection:
            rows = connection.execute(query, values).fetchall()
        return np.fromiter((row for (row,) in rows), np.int64, len(rows))

    def fields(self, kinds: Mapping[str, str], most: int) -> dict[str, Field]:
        """What each field of `kinds` holds; fields that no item has any more are left out."""
        out = {}
        for name, kind in kinds.items():
            with self._told() as connection:
                distinct, low, high = connection.execute(
                    "SELECT count(DISTINCT value), min(value), max(value) FROM fields WHERE name = ?", (name,)
                ).fetchone()
                values = connection.execute(
                    "SELECT value, count(*) AS n FROM fields WHERE name = ? GROUP BY value ORDER BY n DESC, value LIMIT ?",
                    (name, most),
                ).fetchall()
            # SQLite knows no booleans.
            counts = [(bool(value) if kind == "boolean" else value, count) for value, count in values]
            if distinct:
                out[name] = Field(kind, counts, distinct, *((low, high) if kind == "number" else ()))
        return out

    def held(self, names: Iterable[str]) -> list[str]:
        """Those of the fields `names` that some item has."""
        query = "SELECT EXISTS (SELECT 1 FROM fields WHERE name = ?)"
        with self._told() as connection:
            return [name for name in names if connection.execute(query, (name,)).fetchone()[0]]

    def copy(self, path: Path) -> None:
        """Copy the whole database into the new file `path`."""
        # A process of the same number may have been stopped while it copied.
        without_logs(path).unlink(missing_ok=True)
        with self._told() as connection, closing(sqlite3.connect(path)) as other:
            connection.backup(other)
            other.execute("PRAGMA journal_mode = DELETE")

    def close(self) -> None:
        with self._lock:
            self._connection.close()


def _lines(items: Iterable[tuple[int, Mapping[str, Value]]]) -> Iterator[tuple[str, Value, int]]:
    """The lines of `fields` of rows with their metadata."""
    return ((name, value, row) for row, metadata in items for name, value in metadata.items())


def _chunks(values: Iterable) -> Iterator[list]:
    values = iter(values)
    while chunk := list(islice(values, _CHUNK)):
        yield chunk


def _marks(values: Sequence) -> str:
    return ", ".join("?" * len(values))
