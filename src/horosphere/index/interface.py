"""What every engine promises, and the checks that engines share."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError
from ..evaluation.retrieval import as_tensor, checked
from ..spaces import Mixed, Space, from_description
from .hits import Hits
from .where import Condition, Field, Value, conditions, encodes, kinds_of

Duplicates = Literal["refuse", "replace", "skip"]
Points = Tensor | NDArray

#: Characters of an id.
LONGEST_ID = 10_000


class SearchIndex(ABC):
    """Points with ids and metadata, and a search for the nearest in a space's own distance.

    Args:
        space: where the points live. What it has learned is settled: the index keeps the values of now.
        model: what made the points, a fingerprint; recorded, and checked by whoever opens the index with a model.
        promise: the recall at k that searches keep, above 0 and at most 1; with 1 every search is exact.
    """

    def __init__(self, space: Space, *, model: str = "", promise: float = 0.99):
        try:
            self.space = from_description(space.describe(settled=True)).requires_grad_(False)
        except (ValueError, AttributeError) as error:
            raise InputError(
                f"an index needs a space of this package, such as Hyperbolic(); given: {space!r} ({error})"
            ) from None
        if not isinstance(promise, int | float) or not 0 < promise <= 1:
            raise InputError(f"promise={promise!r}; expected the recall to keep, above 0 and at most 1")
        self.model, self.promise = model, float(promise)
        self._weighted = lru_cache(maxsize=64)(self._with_weights)

    def add(
        self,
        points: Points,
        ids: Sequence[str],
        metadata: Sequence[Mapping[str, Value]] | None = None,
        *,
        duplicates: Duplicates = "refuse",
    ) -> int:
        """Add items, all of them or none: how many were added or replaced.

        Args:
            points: (n, p), as `space(features)` gives them; kept in float32.
            ids: n different strings of 1 to 10,000 characters.
            metadata: a dictionary an item, of names and text, numbers, true or false.
            duplicates: what happens where an id is in the index already: "refuse" all, "replace" the item (which is then
                the last in order), or "skip" it.

        Raises:
            InputError: for points that are not of this space, ids that repeat or are refused, metadata that does not fit.
        """
        if duplicates not in ("refuse", "replace", "skip"):
            raise InputError(f"duplicates={duplicates!r}; expected 'refuse', 'replace' or 'skip'")
        points, ids = self._points(points), self._ids(ids)
        items: list[Mapping[str, Value]] = [{}] * len(ids) if metadata is None else list(metadata)
        if not len(points) == len(ids) == len(items):
            counts = f"{len(points)} points, {len(ids)} ids and {len(items)} dictionaries of metadata"
            raise InputError(f"{counts}; expected one of each an item")
        kinds_of(items, {})
        return self._add(points, ids, items, duplicates) if ids else 0

    def remove(self, ids: Sequence[str]) -> int:
        """Remove items, all of them or none: how many. Raises InputError for an id that is not in the index."""
        ids = self._ids(ids)
        return self._remove(ids) if ids else 0

    def search(
        self,
        queries: Points,
        k: int = 10,
        *,
        where: Mapping[str, Any] | None = None,
        weights: Sequence[float] | None = None,
    ) -> Hits:
        """The `k` items nearest to each query.

        The order is that of the distance in float64; of equal distances the item that was added first comes first. The
        reference, for one query::

            d = space.distance(query.double(), points.double())
            np.lexsort((np.arange(n), d))[:k]

        Args:
            queries: points (b, p), or one (p,).
            where: only items whose metadata match, see `horosphere.index.where`; searched exactly.
            weights: other weights of a mixture's parts, such as (1, 0) for its first part alone; searched exactly.

        Raises:
            InputError: for queries that are not points of this space, k below 1, and what does not fit of the rest.
        """
        if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
            raise InputError(f"k={k!r}; expected how many neighbours to find, a whole number of at least 1")
        queries = self._points(queries, "queries")
        space = None if weights is None else self._weighted(self._checked_weights(weights))
        return self._search(queries, int(k), conditions(where, self._kinds()), space)

    def points(self, ids: Sequence[str] | None = None) -> Tensor:
        """The points of `ids`, in their order, or of all items in order of insertion: float32 (n, p)."""
        return self._read_points(None if ids is None else self._ids(ids, different=False))

    def metadata(self, ids: Sequence[str] | None = None) -> list[dict[str, Value]]:
        """The metadata of `ids`, in their order, or of all items in order of insertion."""
        return self._read_metadata(None if ids is None else self._ids(ids, different=False))

    def claim(self) -> None:
        """Become the one process that may write, before the first write does so, until `close`.

        Nothing to do where writers are in order on a server. Raises InputError where another process is the one.
        """
        return

    @abstractmethod
    def build(self, *, progress: bool = False) -> None:
        """Make searches fast, as far as the promised recall is kept; until then all items are compared."""

    @property
    @abstractmethod
    def ids(self) -> list[str]:
        """All ids, in order of insertion."""

    @abstractmethod
    def fields(self, most: int = 1000) -> dict[str, Field]:
        """What items can be filtered by, each with at most `most` values."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """What the index is and holds, as JSON-able values."""

    @abstractmethod
    def close(self) -> None:
        """Let go of files and connections; the index cannot be used any more."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __contains__(self, id: object) -> bool: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # What an engine does, once the input is known to be right.

    @property
    @abstractmethod
    def dim(self) -> int | None:
        """Columns of the points; None where any number will do, as the index holds none."""

    @abstractmethod
    def _kinds(self) -> Mapping[str, str]:
        """The kind of each field known: "text", "number" or "boolean"."""

    @abstractmethod
    def _add(self, points: Tensor, ids: list[str], metadata: list[Mapping[str, Value]], duplicates: str) -> int:
        """`points` are float32, `ids` at least one; whether the metadata are of the kinds known is left to check."""

    @abstractmethod
    def _remove(self, ids: list[str]) -> int: ...

    @abstractmethod
    def _search(self, queries: Tensor, k: int, where: list[Condition], space: Space | None) -> Hits:
        """`queries` (b, p) are float32 or float64; `space` is the mixture with other weights, where they were given."""

    @abstractmethod
    def _read_points(self, ids: list[str] | None) -> Tensor: ...

    @abstractmethod
    def _read_metadata(self, ids: list[str] | None) -> list[dict[str, Value]]: ...

    # Checks.

    def _points(self, points: Points, name: str = "points") -> Tensor:
        """Points (n, p) of this space on the CPU: float32 to keep, and queries in float64 where they came so."""
        try:
            points = as_tensor(points)
        except (TypeError, ValueError, RuntimeError) as error:
            raise InputError(f"{name} are no matrix of numbers ({error}); expected points = space(features)") from None
        if points.ndim == 1 and name == "queries":
            points = points[None]
        points = checked(points, self.space).cpu()
        self._check_width(points, name)
        if name == "queries" and points.dtype == torch.float64:
            return points.contiguous()
        rounded = points.float()
        if rounded is not points and not torch.isfinite(rounded).all():
            raise InputError(f"{name} hold numbers beyond float32; expected points = space(features)")
        return rounded.contiguous()

    def _check_width(self, points: Tensor, name: str) -> None:
        if not points.shape[1] or (self.dim is not None and points.shape[1] != self.dim):
            expected = "at least 1" if self.dim is None else f"{self.dim}, as the points in the index have"
            raise InputError(f"{name} have {points.shape[1]} columns; expected {expected}")

    @staticmethod
    def _unknown(
        points: Tensor,
        ids: list[str],
        metadata: list[Mapping[str, Value]],
        known: Collection[str],
        duplicates: str,
    ) -> tuple[Tensor, list[str], list[Mapping[str, Value]]]:
        """The items that are to be written, of those given; `known` are their ids that are in the index already."""
        if known and duplicates == "refuse":
            raise InputError(
                f"{len(known)} of {len(ids)} ids are in the index already, such as {next(iter(known))!r}; give "
                "duplicates='replace' or duplicates='skip'"
            )
        if not known or duplicates == "replace":
            return points, ids, metadata
        kept = [place for place, id in enumerate(ids) if id not in known]
        return points[kept], [ids[place] for place in kept], [metadata[place] for place in kept]

    @staticmethod
    def _check_known(ids: Sequence[str], known: Collection[str]) -> None:
        if missing := [id for id in ids if id not in known]:
            raise InputError(f"{len(missing)} of {len(ids)} ids are not in the index, such as {missing[0]!r}")

    @staticmethod
    def _ids(ids: Sequence[str], *, different: bool = True) -> list[str]:
        if isinstance(ids, str):
            raise InputError(f"ids={ids!r}; expected a list of strings: [{ids!r}]")
        ids = [str(id) if isinstance(id, np.str_) else id for id in ids]
        for id in ids:
            if not isinstance(id, str) or not 0 < len(id) <= LONGEST_ID or not encodes(id):
                shown = repr(id) if len(repr(id)) < 80 else f"{repr(id)[:80]}…"
                raise InputError(f"{shown} cannot be an id; expected a string of 1 to {LONGEST_ID:,} characters")
        if different and len(set(ids)) < len(ids):
            id, times = Counter(ids).most_common(1)[0]
            raise InputError(f"the id {id!r} is given {times} times; give each item an id of its own")
        return ids

    def _checked_weights(self, weights: Sequence[float]) -> tuple[float, ...]:
        if not isinstance(self.space, Mixed):
            raise InputError(f"weights={weights!r}, but this space has a single part; leave weights out")
        try:
            return tuple(float(weight) for weight in weights)
        except (TypeError, ValueError):
            raise InputError(f"weights={weights!r}; expected {len(self.space.parts)} numbers, one a part") from None

    def _with_weights(self, weights: tuple[float, ...]) -> Space:
        """The mixture with other weights; made once."""
        try:
            return from_description(self.space.describe() | {"weights": list(weights)}).requires_grad_(False)
        except ValueError as error:
            raise InputError(str(error)) from None
