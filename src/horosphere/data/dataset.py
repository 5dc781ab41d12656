"""A retrieval data set: images or cached features, their classes, their ancestors, and who is in which split."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import InputError
from .sources import ImageSource

SPLITS = ("train", "validation", "test", "query", "gallery")


@dataclass(frozen=True, eq=False)
class RetrievalData:
    """n labelled images, or their features, with a split.

    images: a source of n images, or None where features are given.
    features: float32 (n, d), or None.
    labels: int64 (n,), positions in `classes`; a subset keeps the numbering.
    classes: the C class names.
    superclasses: for each class its ancestors' names, coarse to fine, or None.
    split: str (n,), each "train", "validation", "test", "query" or "gallery"; never test beside
    query and gallery.
    ids: str (n,), a relative path or row number each; filled in when left out, kept by subsets.

    Raises InputError where shapes, ranges or names disagree.
    """

    name: str
    images: ImageSource | None
    features: np.ndarray | None
    labels: np.ndarray
    classes: tuple[str, ...]
    superclasses: tuple[tuple[str, ...], ...] | None
    split: np.ndarray
    ids: Any = None  # an array always, once made

    def __post_init__(self):
        def fix(field, value):
            object.__setattr__(self, field, value)  # the class is frozen for its users only

        if (self.images is None) == (self.features is None):
            raise InputError(f"{self.name}: give either images or features, exactly one of the two.")
        fix("labels", np.asarray(self.labels, dtype=np.int64))
        fix("classes", tuple(str(c) for c in self.classes))
        fix("split", np.asarray(self.split, dtype=np.str_))
        if self.features is not None:
            fix("features", np.asarray(self.features, dtype=np.float32))
            if self.features.ndim != 2:
                raise InputError(f"{self.name}: features of shape {self.features.shape}; expected (n, d).")
        n = len(self.features) if self.images is None else len(self.images)  # ty: ignore[invalid-argument-type]  # one is given
        if self.ids is None:
            names = map(str, range(n)) if self.images is None else (self.images.name(i) for i in range(n))
            fix("ids", np.array(list(names), dtype=np.str_))
        fix("ids", np.asarray(self.ids, dtype=np.str_))
        for field in ("labels", "split", "ids"):
            if getattr(self, field).shape != (n,):
                raise InputError(
                    f"{self.name}: {field} of shape {getattr(self, field).shape}; expected ({n},), one an item."
                )
        if n and not (self.labels.min() >= 0 and self.labels.max() < len(self.classes)):
            raise InputError(
                f"{self.name}: labels from {self.labels.min()} to {self.labels.max()}; expected 0 to "
                f"{len(self.classes) - 1}, positions in the {len(self.classes)} class names."
            )
        if self.superclasses is not None:
            fix("superclasses", tuple(tuple(str(a) for a in ancestors) for ancestors in self.superclasses))
            if len(self.superclasses) != len(self.classes):
                raise InputError(
                    f"{self.name}: superclasses for {len(self.superclasses)} classes; expected one tuple for each of "
                    f"the {len(self.classes)} classes."
                )
        present = set(np.unique(self.split).tolist())
        if present - set(SPLITS):
            raise InputError(f"{self.name}: unknown split {sorted(present - set(SPLITS))}; expected {', '.join(SPLITS)}.")
        if "test" in present and present & {"query", "gallery"}:
            raise InputError(f"{self.name}: both a test split and query/gallery; a set has either the one or the other two.")

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: Sequence[int] | np.ndarray) -> "RetrievalData":
        """The items at these positions (integers or a boolean mask); labels keep their numbering."""
        indices = np.asarray(indices)
        indices = np.flatnonzero(indices) if indices.dtype == bool else indices.astype(np.int64)
        return replace(
            self,
            images=None if self.images is None else self.images.take(indices.tolist()),
            features=None if self.features is None else self.features[indices],
            labels=self.labels[indices],
            split=self.split[indices],
            ids=np.asarray(self.ids)[indices],
        )

    def select(self, *splits: str) -> "RetrievalData":
        """The items of these splits, in order. Raises InputError where one of them has no item."""
        present = sorted(set(self.split.tolist()))
        absent = [s for s in splits if s not in present]
        if absent or not splits:
            raise InputError(f"{self.name} has no split {absent}; it has {', '.join(present) or 'no items at all'}.")
        return self.take(np.isin(self.split, splits))

    def hold_out(self, fraction: float = 0.25, seed: int = 0) -> tuple["RetrievalData", "RetrievalData"]:
        """Cut the training images by class into (train, validation), on which every choice is made.

        `fraction` of the training classes, rounded to the nearest whole number (halves up) but at least 2, drawn by
        `seed`, becomes validation; their split says "validation". Both parts keep at least 2 classes. Also for sets
        with query and gallery the validation part is one set, to be searched leave-one-out.
        """
        train = self.select("train")
        present = np.unique(train.labels)
        count = max(2, int(np.floor(fraction * len(present) + 0.5)))
        if not 0 < fraction < 1 or len(present) - count < 2:
            raise InputError(
                f"{self.name}: cannot hold out {fraction} of {len(present)} training classes; expected a fraction "
                f"between 0 and 1 that leaves at least 2 classes on each side."
            )
        drawn = np.random.default_rng(seed).permutation(present)[:count]
        held = np.isin(train.labels, drawn)
        validation = train.take(held)
        return train.take(~held), replace(validation, split=np.full(len(validation), "validation"))
