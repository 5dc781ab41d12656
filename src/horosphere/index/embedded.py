"""The embedded index: SQLite keeps the items, memory what searches read."""

import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import RLock
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..databases import without_logs
from ..errors import InputError
from ..files import replacing
from ..spaces import Space, from_description
from . import exact
from .approximate import Approximate
from .folder import DATABASE, GRAPH, locked
from .graph import Storage
from .hits import Hits
from .interface import SearchIndex
from .items import Items, mapped
from .measuring import Exact
from .promise import Recall
from .store import Store
from .where import Condition, Field, Value, kinds_of

#: Seconds of a build between two writings of the graph; more where one takes long, so many times what it took.
_WRITTEN, _SHARE = 60.0, 20.0


class Index(SearchIndex):
    """An index in this process: of a folder, or in memory until it is saved.

    An index of a folder (`create`, `load`) is durable: once `add` or `remove` has returned, what it did is on the disk,
    whatever becomes of the process. One process at a time may write to a folder, from its first write until it closes the
    index or ends; any number may read, each what was there when it loaded the index. Threads may share an index.

    In memory are 4 p bytes of points an item (in temporary files where `storage` is not "float32"), its id and its row, from
    the first exact search on 4 (p + 2 parts) more of keys, and the graph. Metadata stay in the database.

    Args:
        space, model, promise: see `SearchIndex`.
        storage: what the graph of an approximate search keeps of a point; exact distances always come from float32.
    """

    def __init__(self, space: Space, *, model: str = "", promise: float = 0.99, storage: Storage = "float32"):
        super().__init__(space, model=model, promise=promise)
        if storage not in ("float32", "float16", "int8"):
            raise InputError(f"storage={storage!r}; expected 'float32', 'float16' or 'int8'")
        self.storage, self.folder = storage, None
        self._store, self._lock, self._alone = Store(), None, RLock()
        with self._store.writing():
            self._store.note(**self._identity())
        self._take(Approximate(self.space, self.promise, storage), *self._store.read())

    @classmethod
    def create(
        cls, folder: str | Path, space: Space, *, model: str = "", promise: float = 0.99, storage: Storage = "float32"
    ) -> Self:
        """A new, empty index in `folder`, which may hold other files. Raises InputError where it holds an index."""
        with cls(space, model=model, promise=promise, storage=storage) as index:
            index.save(folder)
        return cls.load(folder)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """The index that `create` or `save` left in `folder`. Raises InputError where there is none that can be read."""
        path = Path(folder) / DATABASE
        if not path.is_file():
            raise InputError(f"{folder} holds no index: expected {DATABASE} in it, as Index.create and Index.save make")
        index, store = cls.__new__(cls), Store(path)
        try:
            about, *_ = read = store.read()
            SearchIndex.__init__(index, from_description(about["space"]), model=about["model"], promise=about["promise"])
            index.storage, index.folder = about["storage"], Path(folder)
            index._store, index._lock, index._alone = store, None, RLock()
            index._take(Approximate(index.space, index.promise, index.storage), *read)
        except (LookupError, TypeError, ValueError) as error:
            store.close()
            if isinstance(error, InputError):
                raise
            raise InputError(f"{path} is damaged ({error}); restore it, or build the index again") from None
        return index

    def _read(self) -> None:
        """Take into memory what the store holds."""
        self._take(self._approximate, *self._store.read())

    def _take(
        self,
        approximate: Approximate,
        about: dict[str, Any],
        rows: NDArray[np.int64],
        ids: list[str],
        points: NDArray[np.float32],
    ) -> None:
        self._dim, self._fields = about.get("dim"), about.get("kinds", {})
        # What is stored in less takes less memory: the float32 points, of which few are read at a time, stay on the disk.
        new = np.empty if self.storage == "float32" else mapped(self.folder)
        items = Items.of(self.space, rows, ids, points, new)
        self._notes = about.get("graphs") or [Approximate(self.space, self.promise, self.storage).notes]
        approximate = approximate.noted(self._notes, self.folder and self.folder / GRAPH, items)
        # What searches read, in one piece, so that both are of one moment.
        self._state = items, approximate

    def _identity(self) -> dict[str, Any]:
        names = ("model", "promise", "storage")
        return {"space": self.space.describe()} | {name: getattr(self, name) for name in names}

    def save(self, folder: str | Path) -> None:
        """Write a copy of the index into `folder`, all of it or nothing. Raises InputError where that holds an index."""
        path = Path(folder) / DATABASE
        if path.exists():
            raise InputError(f"{folder} holds an index already; remove it, or give another folder")
        try:
            with self._alone, replacing(path) as temporary:
                self._store.copy(temporary)
                without_logs(path)
                self._approximate.write(path.with_name(GRAPH))
        except OSError as error:
            raise InputError(f"cannot write to {folder}: {error.strerror}; give a folder that can be written") from None

    def close(self) -> None:
        self._store.close()
        if self._lock is not None:
            self._lock.release()

    @property
    def _items(self) -> Items:
        return self._state[0]

    @property
    def _approximate(self) -> Approximate:
        return self._state[1]

    @property
    def ids(self) -> list[str]:
        return self._items.ids.tolist()

    @property
    def dim(self) -> int | None:
        return self._dim if len(self) else None

    @property
    def recall(self) -> Recall | None:
        """What searches for up to 10 neighbours were measured to find; None where nothing was measured and all are exact."""
        return self._approximate.level(10)

    def build(self, *, progress: bool = False) -> None:
        """Make searches fast: make a graph of the items, or extend it, and choose the effort that keeps the promise.

        A search with the graph compares a query with few items. Without it, or where it does not keep the promise more
        quickly, searches compare all items: `recall` and `describe` tell. Once built, an index that grows extends its graph
        and measures it again by itself; where no graph was worth having, only `build` tries again, once a tenth of the items
        has come or gone. Ctrl-C leaves what is done so far, a kill what was done about a minute before, or the graph in use
        where that is made anew; the next `build` goes on from there.
        """
        with self._writing():
            items, latest = self._items, self._approximate
            due = time.monotonic() + _WRITTEN
            try:
                for state in latest.building(items, self._exactly(items), progress=progress):
                    latest = state
                    # What has levels is in use, and not given for what has none. Without room, the last writing will tell.
                    if (start := time.monotonic()) > due and (latest.levels or not self._approximate.levels):
                        with suppress(InputError):
                            self._write(latest)  # and not taken: what searches read may not grow under them
                        took = time.monotonic() - start
                        due = start + took + max(_WRITTEN, _SHARE * took)
            finally:
                self._keep(latest.beside(items))

    def claim(self) -> None:
        with self._writing():
            pass

    def fields(self, most: int = 1000) -> dict[str, Field]:
        return self._store.fields(self._fields, most)

    def describe(self) -> dict[str, Any]:
        about = {"engine": "embedded", "items": len(self), "dim": self.dim} | self._identity()
        return about | {"search": self._approximate.describe()}

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, id: object) -> bool:
        return isinstance(id, str) and bool(self._store.rows([id]))

    def _kinds(self) -> Mapping[str, str]:
        return self._fields

    def _exactly(self, items: Items) -> Exact:
        return lambda queries, k: exact.search(items, self.space, queries, k)

    def _keep(self, state: Approximate) -> None:
        """Take the state, and write it down."""
        self._state = self._items, state
        self._write(state)

    def _write(self, state: Approximate) -> None:
        """Where this fails or is killed, what was written last still holds: until the file is in its place, the store has
        the notes of both, and the file's token says of which it is."""
        if self.folder is not None:
            self._note([*self._notes, state.notes])
            try:
                state.write(self.folder / GRAPH)
            except OSError as error:
                raise InputError(
                    f"cannot write the graph to {self.folder}: {error.strerror}. All items are there; make room, and build "
                    "the index again"
                ) from None
        self._note([state.notes])

    def _note(self, notes: list[dict[str, Any]]) -> None:
        with self._store.writing():
            self._store.note(graphs=notes)
        self._notes = notes

    def _changed(self) -> None:
        """Extend the graph, or measure its recall again, where that is due."""
        if self._approximate.due(self._items):
            # The items are acknowledged: without room for the graph's file, the former one still holds.
            with suppress(InputError):
                self._keep(self._approximate.extended(self._items, self._exactly(self._items)))

    @contextmanager
    def _writing(self) -> Generator[None]:
        """Alone of all threads and processes; whatever stops it, memory holds what the disk does."""
        with self._alone:
            if self.folder is not None and self._lock is None:
                self._lock = locked(self.folder)
                if self._store.changed:
                    self._read()
            try:
                yield
            except InputError:
                raise
            except BaseException:
                self._read()
                raise

    def _add(self, points: Tensor, ids: list[str], metadata: list[Mapping[str, Value]], duplicates: str) -> int:
        with self._writing():
            with self._store.writing():
                self._check_width(points, "points")
                known = self._store.rows(ids)
                points, ids, metadata = self._unknown(points, ids, metadata, known, duplicates)
                gone = np.array(sorted(known.values()) if duplicates == "replace" else [], np.int64)
                self._store.delete(gone.tolist())
                kinds = kinds_of(metadata, {name: self._fields[name] for name in self._store.held(self._fields)})
                rows = self._store.insert(ids, points.numpy(), metadata)
                self._store.note(dim=points.shape[1], kinds=kinds)
                # Without memory for them the items are not stored either.
                items = self._items.without(gone) if len(gone) else self._items
                items = items.with_more(Items.of(self.space, rows, ids, points.numpy().copy()))
                approximate = self._approximate.with_more(rows, points)
            self._state, self._dim, self._fields = (items, approximate), points.shape[1], kinds
            self._changed()
        return len(ids)

    def _remove(self, ids: list[str]) -> int:
        with self._writing():
            with self._store.writing():
                rows = self._rows(ids)
                self._store.delete(rows.tolist())
                items = self._items.without(rows)
            self._state = items, self._approximate
            self._changed()
        return len(rows)

    def _search(self, queries: Tensor, k: int, where: list[Condition], space: Space | None) -> Hits:
        items, approximate = self._state
        if not where and space is None and (nearest := approximate.search(items, queries, k)):
            return Hits(items.ids[nearest[0]], nearest[1], False)
        places = items.matching(where, self._store.matching) if where else None
        found, distances = exact.search(items, space or self.space, queries, k, places)
        return Hits(items.ids[found], distances, True)

    def _read_points(self, ids: list[str] | None) -> Tensor:
        items = self._items
        if ids is None:
            return items.points.clone()
        places = items.places(self._rows(ids))
        if (places < 0).any():
            raise self._outdated()
        return items.points[torch.from_numpy(places)]

    def _read_metadata(self, ids: list[str] | None) -> list[dict[str, Value]]:
        rows = (self._items.rows if ids is None else self._rows(ids)).tolist()
        read = dict(self._store.metadata(None if ids is None else list(set(rows))))
        try:
            return [dict(read[row]) for row in rows]
        except KeyError:
            raise self._outdated() from None

    def _rows(self, ids: list[str]) -> NDArray[np.int64]:
        """The rows of items in the store."""
        found = self._store.rows(ids)
        self._check_known(ids, found)
        return np.array([found[id] for id in ids], np.int64)

    def _outdated(self) -> InputError:
        return InputError(f"another process has changed {self.folder} since it was loaded; load it again")
