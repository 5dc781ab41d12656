"""What the model saw of each item, small, as JPEGs in one SQLite database; and where each item came from."""

import io
import sqlite3
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from ..databases import connected
from ..errors import InputError

NAME = "thumbnails.sqlite"
#: Longest side of a thumbnail, pixels.
SIDE = 160
#: Written into the file's header, so that another program's database is told from one of these.
_APPLICATION, _VERSION = 0x48547362, 1
_TABLES = """
CREATE TABLE sources (number INTEGER PRIMARY KEY, place TEXT UNIQUE NOT NULL);
CREATE TABLE items (id TEXT PRIMARY KEY, source INTEGER NOT NULL REFERENCES sources, jpeg BLOB) WITHOUT ROWID;
"""


class Thumbnails:
    """Items by id: where each came from, and its JPEG, None where it is no image. Safe to read from several threads.

    When `add` or `remove` returns, it is on the disk.

    Raises:
        InputError: where the file is another program's, damaged, or there is none and `create` is False.
    """

    def __init__(self, folder: Path, *, create: bool = False):
        path = folder / NAME
        if not create and not path.is_file():
            raise InputError(f"{folder} has no {NAME}: make the collection anew with `horosphere index`")
        self._lock = threading.Lock()
        try:
            if create and not path.exists():
                path.touch()  # an empty file is an empty database
            self._database = connected(path)
            (found,) = self._database.execute("PRAGMA application_id").fetchone()
            (tables,) = self._database.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if not tables:
                self._database.execute("PRAGMA journal_mode = WAL")
                self._database.executescript(
                    f"BEGIN; {_TABLES} PRAGMA application_id = {_APPLICATION}; PRAGMA user_version = {_VERSION}; COMMIT;"
                )
            elif found != _APPLICATION:
                raise InputError(f"{path} is no file of thumbnails; expected one that `horosphere index` made")
            self._database.execute("PRAGMA synchronous = FULL")
        except (OSError, sqlite3.OperationalError) as error:
            raise InputError(f"{path} cannot be opened: {error}; copy the collection to where it can be") from error
        except sqlite3.DatabaseError as error:
            raise InputError(f"{path} is damaged ({error}); remove it and run `horosphere index` again") from error

    def close(self) -> None:
        """Leave the file."""
        self._database.close()

    def add(self, ids: Sequence[str], jpegs: Iterable[bytes | None], source: str) -> None:
        """Keep the JPEGs of items, all or none of them; those of items that are there are replaced."""
        with self._lock, self._database as database:
            database.execute("BEGIN IMMEDIATE")
            database.execute("INSERT OR IGNORE INTO sources (place) VALUES (?)", (source,))
            (number,) = database.execute("SELECT number FROM sources WHERE place = ?", (source,)).fetchone()
            rows = ((id, number, jpeg) for id, jpeg in zip(ids, jpegs, strict=True))
            database.executemany("INSERT OR REPLACE INTO items VALUES (?, ?, ?)", rows)

    def remove(self, ids: Sequence[str]) -> None:
        """Forget items; those that are not there are none."""
        with self._lock, self._database as database:
            database.execute("BEGIN IMMEDIATE")
            database.executemany("DELETE FROM items WHERE id = ?", ((id,) for id in ids))

    def get(self, id: str) -> bytes | None:
        """An item's JPEG; None where it has none, or is not there."""
        with self._lock:
            row = self._database.execute("SELECT jpeg FROM items WHERE id = ?", (id,)).fetchone()
        return None if row is None else row[0]

    def any(self) -> bool:
        """Whether any item has a JPEG."""
        with self._lock:
            return self._database.execute("SELECT 1 FROM items WHERE jpeg IS NOT NULL LIMIT 1").fetchone() is not None

    def sources(self) -> dict[str, str]:
        """id → where it came from, of every item."""
        with self._lock:
            return dict(self._database.execute("SELECT id, place FROM items JOIN sources ON source = number"))


def jpegs(views: Tensor) -> list[bytes]:
    """Views, uint8 (n, C, side, side), as JPEGs of at most `SIDE` pixels a side."""
    if views.shape[-1] > SIDE:
        views = interpolate(views, (SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False)
    return [jpeg(view) for view in views.permute(0, 2, 3, 1).numpy()]


def jpeg(pixels: np.ndarray) -> bytes:
    """Pixels, uint8 (H, W, 3) or (H, W, 1), as a JPEG."""
    image = Image.fromarray(np.ascontiguousarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()
