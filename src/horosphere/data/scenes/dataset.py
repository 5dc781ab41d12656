"""A set of scenes: images, the boxes in them, and who is in which split."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...errors import InputError
from ..sources import ImageSource

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class SceneData:
    """n images with boxes.

    images: a source of n images.
    boxes: for each image float32 (m, 4): left, top, right, bottom in pixels of the upright image, inside it, of an area
    above 0. m may be 0.
    labels: for each image int64 (m,), positions in `classes`; -1 for proposals, which have no class.
    masks: for each image, for each box, COCO's polygons or run lengths as read, or None; None where no box has one.
    classes: the class names.
    superclasses: one for each class, or None.
    sizes: int64 (n, 2), width and height that the boxes refer to.
    split: str (n,), each "train", "validation" or "test".
    ids: str (n,), the images' paths.
    dropped: what was wrong with the boxes and files that were read, counted; see `describe_dropped`.

    Raises InputError where shapes, ranges or names disagree.
    """

    name: str
    images: ImageSource
    boxes: tuple[np.ndarray, ...]
    labels: tuple[np.ndarray, ...]
    masks: tuple[tuple, ...] | None
    classes: tuple[str, ...]
    superclasses: tuple[str, ...] | None
    sizes: np.ndarray
    split: np.ndarray
    ids: np.ndarray
    dropped: dict[str, int]

    def __post_init__(self):
        def fix(field, value):
            object.__setattr__(self, field, value)  # the class is frozen for its users only

        n = len(self.images)
        fix("boxes", tuple(np.asarray(boxes, np.float32).reshape(-1, 4) for boxes in self.boxes))
        fix("labels", tuple(np.asarray(labels, np.int64) for labels in self.labels))
        fix("sizes", np.asarray(self.sizes, np.int64).reshape(-1, 2))
        fix("split", np.asarray(self.split, np.str_))
        fix("ids", np.asarray(self.ids, np.str_))
        for field in ("boxes", "labels", "sizes", "split", "ids", *(["masks"] if self.masks is not None else [])):
            if len(getattr(self, field)) != n:
                raise InputError(f"{self.name}: {field} for {len(getattr(self, field))} images; expected {n}, one an image.")
        unknown = sorted(set(self.split.tolist()) - set(SPLITS))
        if unknown:
            raise InputError(f"{self.name}: unknown split {unknown}; expected {', '.join(SPLITS)}.")
        if self.superclasses is not None and len(self.superclasses) != len(self.classes):
            raise InputError(
                f"{self.name}: {len(self.superclasses)} superclasses of {len(self.classes)} classes; expected one a class."
            )
        counts = np.array([len(boxes) for boxes in self.boxes], np.int64)
        given = [len(labels) for labels in self.labels]
        masked = [len(masks) for masks in self.masks] if self.masks is not None else given
        different = np.flatnonzero((counts != given) | (counts != masked))
        if len(different):
            raise InputError(
                f"{self.ids[different[0]]}: {counts[different[0]]} boxes, {given[different[0]]} labels, "
                f"{masked[different[0]]} masks; expected one label and mask a box."
            )
        if not counts.sum():
            return
        boxes, labels = np.concatenate(self.boxes), np.concatenate(self.labels)
        sizes = np.repeat(self.sizes, counts, 0)
        inside = (boxes[:, :2] >= 0).all(1) & (boxes[:, 2:] <= sizes).all(1) & (boxes[:, 2:] > boxes[:, :2]).all(1)
        if not inside.all():
            wrong = int(np.flatnonzero(~inside)[0])
            raise InputError(
                f"{np.repeat(self.ids, counts)[wrong]}: box {boxes[wrong].tolist()} in an image of "
                f"{' × '.join(map(str, sizes[wrong]))}; expected left, top, right, bottom inside the image, area above 0."
            )
        if labels.min() < -1 or labels.max() >= len(self.classes):
            raise InputError(
                f"{self.name}: labels from {labels.min()} to {labels.max()}; expected -1 (no class) to "
                f"{len(self.classes) - 1}, positions in the {len(self.classes)} class names."
            )

    def __len__(self) -> int:
        return len(self.images)

    def take(self, indices: Sequence[int] | np.ndarray) -> "SceneData":
        """The images at these positions (integers or a boolean mask); labels keep their numbering."""
        indices = np.asarray(indices)
        indices = np.flatnonzero(indices) if indices.dtype == bool else indices.astype(np.int64)
        return replace(
            self,
            images=self.images.take(indices.tolist()),
            boxes=tuple(self.boxes[i] for i in indices),
            labels=tuple(self.labels[i] for i in indices),
            masks=None if self.masks is None else tuple(self.masks[i] for i in indices),
            sizes=self.sizes[indices],
            split=self.split[indices],
            ids=self.ids[indices],
        )

    def select(self, *splits: str) -> "SceneData":
        """The images of these splits, in order. Raises InputError where one of them has no image."""
        present = sorted(set(self.split.tolist()))
        absent = [split for split in splits if split not in present]
        if absent or not splits:
            raise InputError(f"{self.name} has no split {absent}; it has {', '.join(present) or 'no images at all'}.")
        return self.take(np.isin(self.split, splits))

    def with_boxes(self, least: float, count: int = 2) -> "SceneData":
        """Boxes of at least `least` pixels on both sides only; images with fewer than `count` of them left out.

        Raises InputError where no image is left.
        """
        large = [((boxes[:, 2:] - boxes[:, :2]) >= least).all(1) for boxes in self.boxes]
        enough = np.array([mask.sum() >= count for mask in large], bool)
        if not enough.any():
            raise InputError(
                f"{self.name}: none of {len(self)} images has {count} boxes of at least {least:g} × {least:g} pixels. "
                "Lower the least side, or make boxes with with_proposals."
            )
        kept = replace(
            self,
            boxes=tuple(boxes[mask] for boxes, mask in zip(self.boxes, large, strict=True)),
            labels=tuple(labels[mask] for labels, mask in zip(self.labels, large, strict=True)),
            masks=None
            if self.masks is None
            else tuple(
                tuple(mask for mask, keep in zip(masks, chosen, strict=True) if keep)
                for masks, chosen in zip(self.masks, large, strict=True)
            ),
        )
        return kept.take(enough)

    def describe_dropped(self) -> str:
        """What was wrong with what was read, in words; "" where nothing was."""
        return ", ".join(f"{count:,} {what}" for what, count in sorted(self.dropped.items()))
