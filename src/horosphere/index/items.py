"""What an index keeps in memory of its items: a picture of one moment, which searches read while the next one is made."""

import math
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError
from ..evaluation.scores import lift, slices
from ..spaces import Mixed, Space
from .where import Condition

#: Points lifted at a time, in float64, and so in cache.
_CHUNK = 512
#: Conditions whose matches are remembered, a byte an item.
_FILTERS = 32

#: Memory for an array of some shape and type.
New = Callable[[tuple[int, ...], Any], NDArray]


def mapped(folder: Path | None) -> New:
    """Memory in files without a name in `folder`, or where temporary files go: the system takes it back when it needs it."""
    place = folder if folder and os.access(folder, os.W_OK) else None

    def new(shape: tuple[int, ...], dtype: Any) -> NDArray:
        if 0 in shape:
            return np.empty(shape, dtype)
        with tempfile.TemporaryFile(dir=place) as file:
            size = math.prod(shape) * np.dtype(dtype).itemsize
            try:
                # In a file with holes, a disk that is full would end the process when they are written. Not all systems can.
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), 0, size)
            except OSError as error:
                raise InputError(
                    f"no room for {size:,} bytes of points in {place or tempfile.gettempdir()} ({error.strerror}); make "
                    "room, or give storage='float32', which keeps them in memory"
                ) from None
            return np.asarray(np.memmap(file, dtype, "r+", shape=shape))

    return new


class Column:
    """An array (n, …) that can grow. What is added is written behind it, so that the array itself stays as it is."""

    def __init__(self, memory: NDArray, size: int, used: list[int], new: New):
        self._memory, self._used, self._new = memory, used, new
        self.array = memory[:size]

    @classmethod
    def of(cls, array: NDArray, new: New = np.empty) -> "Column":
        """A column of this array, which grows in memory from `new`."""
        return cls(array, len(array), [len(array)], new)

    def with_more(self, values: NDArray) -> "Column":
        """These and more, in the same memory where there is room, or else in twice as much."""
        size, total = len(self.array), len(self.array) + len(values)
        memory, used = self._memory, self._used
        if used[0] != size or total > len(memory):
            memory, used = self._new((max(total, 2 * size), *memory.shape[1:]), memory.dtype), [0]
            memory[:size] = self.array
        memory[size:total] = values
        used[0] = total
        return Column(memory, total, used, self._new)

    def where(self, kept: NDArray[np.bool_]) -> "Column":
        places = np.flatnonzero(kept)
        memory = self._new((len(places), *self.array.shape[1:]), self.array.dtype)
        np.take(self.array, places, 0, memory, mode="clip")  # which writes into the memory itself
        return Column.of(memory, self._new)


@dataclass(frozen=True)
class Keys:
    """One part's lift of the points, float32 (n, p_m + 2), see `evaluation.scores`; no number in it is beyond `largest`."""

    column: Column
    largest: float

    @property
    def matrix(self) -> Tensor:
        return torch.from_numpy(self.column.array)

    def with_more(self, more: "Keys") -> "Keys":
        return Keys(self.column.with_more(more.column.array), max(self.largest, more.largest))

    def where(self, kept: NDArray[np.bool_]) -> "Keys":
        return Keys(self.column.where(kept), self.largest)


class Items:
    """n items in order of insertion. Nothing that can be read here ever changes: `with_more` and `without` give another
    picture, which shares its memory where it can.

    An item takes 4 p bytes of points and, once something was searched exactly, 4 (p + 2 parts) more of keys; and its id.
    """

    def __init__(self, space: Space, rows: Column, ids: Column, points: Column, keys: list[Keys] | None, new: New):
        self.space, self._columns, self._keys, self._lock, self._new = space, (rows, ids, points), keys, Lock(), new
        #: Their rows in the store (n,), increasing.
        self.rows: NDArray[np.int64] = rows.array
        #: Strings (n,).
        self.ids: NDArray[np.object_] = ids.array
        #: float32 (n, p).
        self.points: Tensor = torch.from_numpy(points.array)
        #: Which items match a filter's condition (n,), as far as was asked.
        self._matches: dict[Condition, NDArray[np.bool_]] = {}

    @classmethod
    def of(
        cls, space: Space, rows: NDArray[np.int64], ids: list[str], points: NDArray[np.float32], new: New = np.empty
    ) -> "Items":
        """`new` gives the memory of points and keys."""
        names = np.empty(len(ids), object)
        names[:] = ids
        if new is not np.empty:
            memory = new(points.shape, np.float32)
            memory[:] = points
            points = memory
        return cls(space, Column.of(rows), Column.of(names), Column.of(points, new), None, new)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def keys(self) -> list[Keys]:
        """Each part's keys; made when first asked for."""
        with self._lock:
            if self._keys is None:
                self._keys = _lifted(self.space, self.points, self._new)
            return self._keys

    def with_more(self, more: "Items") -> "Items":
        """These and others that were added later."""
        if not len(self):
            return Items.of(self.space, more.rows, more.ids.tolist(), more.points.numpy(), self._new)
        with self._lock:
            keys = self._keys
        if keys is not None:
            keys = [own.with_more(other) for own, other in zip(keys, more.keys, strict=True)]
        columns = (own.with_more(other.array) for own, other in zip(self._columns, more._columns, strict=True))
        return Items(self.space, *columns, keys=keys, new=self._new)

    def without(self, rows: NDArray[np.int64]) -> "Items":
        """These but for `rows`."""
        kept = ~np.isin(self.rows, rows)
        with self._lock:
            keys = None if self._keys is None else [keys.where(kept) for keys in self._keys]
        return Items(self.space, *(column.where(kept) for column in self._columns), keys=keys, new=self._new)

    def matching(self, conditions: list[Condition], read: Callable[[Condition], NDArray[np.int64]]) -> NDArray[np.int64]:
        """The places of the items for which all conditions hold, in order; `read` gives the rows of one, negated or not."""
        matches = np.ones(len(self), bool)
        for condition in conditions:
            found = self._matches.get(condition)
            if found is None:
                found = np.full(len(self), condition.negated)
                places = self.places(read(condition))
                found[places[places >= 0]] = not condition.negated
                if len(self._matches) >= _FILTERS:
                    self._matches.clear()
                # A page asks the same again and again.
                self._matches[condition] = found
            matches &= found
        return matches.nonzero()[0]

    def places(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where `rows` (…) stand among these items; −1 for those that do not."""
        size = len(self.rows)
        if not size:
            return np.full_like(rows, -1)
        if self.rows[-1] - self.rows[0] == size - 1:  # nothing was ever removed from among them
            places = rows - self.rows[0]
            return np.where((places >= 0) & (places < size), places, -1)
        places = np.searchsorted(self.rows, rows)
        return np.where(self.rows[np.minimum(places, size - 1)] == rows, places, -1)


def _lifted(space: Space, points: Tensor, new: New) -> list[Keys]:
    """Each part's keys of points (n, p), in memory from `new`. Weights do not enter."""
    out = [new((len(points), own.shape[1] + 2), np.float32) for _, own in _parts(space, points[:0])]
    for chunk in slices(0, len(points), _CHUNK):
        for keys, (part, own) in zip(out, _parts(space, points[chunk].double()), strict=True):
            with np.errstate(over="ignore"):
                keys[chunk] = lift(part, own)[1].numpy()
    largest = [float(np.abs(keys).max(initial=0)) for keys in out]
    # Far out, where float32 and at last float64 end, keys are infinite or NaN: no number at all is a bound.
    largest = [number if math.isfinite(number) else math.inf for number in largest]
    return [Keys(Column.of(keys, new), number) for keys, number in zip(out, largest, strict=True)]


def _parts(space: Space, points: Tensor) -> Iterator[tuple[Space, Tensor]]:
    """Each part and its columns of the points."""
    if isinstance(space, Mixed):
        return zip(cast(list[Space], space.parts), space.split(points), strict=True)
    return iter([(space, points)])
