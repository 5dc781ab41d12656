"""The collection's disk: laid out once, in a thread of its own, however many pages wait for it."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

from torch import Tensor

from ..collection import Collection
from ..collection.disk import CollectionDisk, collection_disk
from ..errors import InputError
from .about import codes
from .search import without_folder

#: Seconds between looks at how far the layout got, and between lines that say nothing new.
_LOOK, _SAY = 0.2, 5.0
#: The share that must be done before the time that is left is guessed from it.
_SURE = 0.02


class Stopped(Exception):
    """Raised inside the layout when the server stops."""


class SharedDisk:
    """Starts the layout when first asked; tells everyone who asks how far it got."""

    def __init__(self, collection: Collection):
        self._collection = collection
        self._thread: threading.Thread | None = None
        self._progress: dict[str, Any] = {"progress": 0.0, "left": None, "step": "starting"}
        self._error: str | None = None
        self._stopping = threading.Event()
        self.made: CollectionDisk | None = None
        #: The answer of GET /api/disk/items.
        self.items = b""

    async def lines(self) -> AsyncIterator[bytes]:
        """A line of JSON whenever the layout got further, and a last one when it is made or cannot be."""
        if self._thread is None or not (self._thread.is_alive() or self.made or self._stopping.is_set()):
            # Nobody has asked before, or what stopped it then may be over.
            self._error = None
            self._thread = threading.Thread(target=self._make, name="disk", daemon=True)
            self._thread.start()
        said, silence = None, 0.0
        while self._thread.is_alive() and not self._stopping.is_set():
            if self._progress is not said or silence >= _SAY:
                said, silence = self._progress, 0.0
                yield _line(said)
            await asyncio.sleep(_LOOK)
            silence += _LOOK
        yield _line(self._last())

    def _last(self) -> dict[str, Any]:
        if self.made is None:
            return {"ready": False, "error": self._error or "the server is stopping"}
        return {"ready": True, "items": len(self.made.ids), "part": self.made.part, "sentence": self.made.sentence}

    def _make(self) -> None:
        try:
            self._started = time.monotonic()
            made = collection_disk(self._collection.index, self._collection.folder, tell=self._tell)
            self.items = _items(self._collection, made)
            self.made = made
        except Stopped:
            pass
        except InputError as error:
            self._error = without_folder(self._collection, error)
        except Exception as error:
            self._error = "the layout failed; the server's own output says why"
            threading.excepthook(threading.ExceptHookArgs((type(error), error, error.__traceback__, self._thread)))

    def _tell(self, share: float, step: str) -> None:
        if self._stopping.is_set():
            raise Stopped
        left = (time.monotonic() - self._started) * (1 / share - 1) if share > _SURE else None
        self._progress = {"progress": share, "left": left, "step": step}

    def place(self, point: Tensor) -> list[float] | None:
        """Where a point (p,) lies in the disk; None before that is laid out."""
        return None if self.made is None else self.made.place(point[None])[0].tolist()

    def stop(self) -> None:
        """End the layout at its next word of progress, and every answer that waits for it."""
        self._stopping.set()

    def close(self, seconds: float) -> bool:
        """Stop, and wait for the layout to end: whether it has."""
        self.stop()
        if self._thread is not None:
            self._thread.join(seconds)
        return self._thread is None or not self._thread.is_alive()


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode() + b"\n"


def _items(collection: Collection, made: CollectionDisk) -> bytes:
    return json.dumps({"ids": made.ids, "fields": codes(collection, made.ids)}).encode()
