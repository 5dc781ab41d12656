"""What the layouts of scenes share: images found by name, boxes checked, everything wrong counted and left out."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np

from ...errors import InputError
from ..decoding import Picture, UnreadableImage
from ..trees import Tree, is_image
from .dataset import SceneData

_SPLIT_NAMES = {"train": "train", "val": "validation", "valid": "validation", "test": "test"}
_ROUNDING = 1.0  # pixels by which a box may pass the image's edge before it counts as cut


class Scenes:
    """Collects the scenes of one tree. Boxes are in pixels, (left, top, right, bottom), unchecked.

    What cannot be used is left out and counted in `dropped`; a box that reaches out of its image is cut, and counted.
    """

    def __init__(self, tree: Tree, name: str):
        self.tree, self.name = tree, name
        self.dropped: Counter[str] = Counter()
        self.paths = [path for path in tree.files() if is_image(path)]
        self._known = frozenset(self.paths)
        self._by_name, self._by_stem = defaultdict(list), defaultdict(list)
        for path in self.paths:
            self._by_name[PurePosixPath(path).name].append(path)
            self._by_stem[PurePosixPath(path).stem].append(path)
        self._found: dict[str, str] = {}  # image → annotation file
        self._items: list[tuple[str, np.ndarray, np.ndarray, tuple, tuple[int, int], str]] = []

    def find(self, name: str, near: str = "") -> str | None:
        """The path of the image with this name, or this path from some folder; the one below folder `near` if several."""
        if name in self._known:
            return name
        pure = PurePosixPath(name.replace("\\", "/"))
        paths = self._by_name.get(pure.name) or self._by_stem.get(pure.name, [])
        fits = [path for path in paths if f"/{path}".endswith((f"/{pure}", f"/{pure}{PurePosixPath(path).suffix}"))]
        fits = fits or paths
        below = [path for path in fits if near and f"/{near}/" in f"/{path}"]
        if len(below) == 1 or len(fits) == 1:
            return (below or fits)[0]
        if fits:
            raise InputError(
                f"{self.tree}: {name} may be {fits[0]} or {fits[1]}; expected one image of that name. Give the folder of "
                "one set, or paths from the top."
            )
        return None

    def knows(self, stem: str) -> bool:
        """Whether there is an image of this name without its suffix."""
        return stem in self._by_stem

    def size(self, path: str) -> tuple[int, int] | None:
        """Width and height by the image's header; None, and counted, where it cannot be read."""
        try:
            return Picture(self.tree.images([path]).read(0), path).size
        except UnreadableImage:
            self.dropped["unreadable images"] += 1
            return None

    def add(
        self,
        path: str,
        size: tuple[int, int] | None,
        split: str,
        boxes: Sequence[Sequence[float]],
        labels: Sequence[int],
        masks: Sequence | None = None,
        source: str = "",
    ) -> None:
        """An image with its boxes. Its header gives the size, where that is None. `source` names the annotation file."""
        if path in self._found:
            raise InputError(
                f"{path} is in both {self._found[path]} and {source}; expected each image once. Name the files to read "
                "with annotations=."
            )
        self._found[path] = source
        size = size or self.size(path)
        if size is None:
            return
        checked, keep = self._checked(np.array(boxes, np.float64).reshape(-1, 4), size)
        masks = [None] * len(keep) if masks is None else masks
        kept = tuple(mask for mask, good in zip(masks, keep, strict=True) if good)
        self._items.append((path, checked, np.asarray(labels, np.int64)[keep], kept, size, split))

    def _checked(self, boxes: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Boxes float32 (k, 4) inside the image, and which of those given (m,) they are."""
        limits = np.array([*size, *size], np.float64)
        finite = np.isfinite(boxes).all(1)
        sides = boxes[:, 2:] - boxes[:, :2]
        inverted = finite & (sides < 0).any(1)
        flat = finite & ~inverted & (sides == 0).any(1)
        good = finite & ~inverted & ~flat
        cut = np.clip(boxes, 0, limits).astype(np.float32)
        there = (cut[:, 2:] > cut[:, :2]).all(1)
        self.dropped["malformed boxes"] += int((~finite).sum())
        self.dropped["inverted boxes"] += int(inverted.sum())
        self.dropped["boxes of zero area"] += int(flat.sum())
        self.dropped["boxes outside the image"] += int((good & ~there).sum())
        good &= there
        self.dropped["boxes cut to the image"] += int((good & (np.abs(cut - boxes) > _ROUNDING).any(1)).sum())
        return cut[good], good

    def data(self, classes: Sequence[str], superclasses: Sequence[str] | None = None, *, boxes: bool = True) -> SceneData:
        """All of it. Raises InputError where there is no image, or no box unless `boxes` says that none is expected."""
        dropped = {what: count for what, count in self.dropped.items() if count}
        paths, found, labels, masks, sizes, split = zip(*self._items, strict=True) if self._items else ((),) * 6
        if not paths or (boxes and not sum(map(len, found))):
            wrong = ", ".join(f"{count} {what}" for what, count in dropped.items())
            raise InputError(
                f"{self.tree}: {len(paths)} images and no box that can be used{f' ({wrong})' if wrong else ''}. Where the "
                "images have no boxes, load them with layout images and make boxes with with_proposals."
            )
        return SceneData(
            self.name,
            self.tree.images(paths),
            found,
            labels,
            masks if any(mask is not None for each in masks for mask in each) else None,
            tuple(classes),
            None if superclasses is None else tuple(superclasses),
            np.array(sizes),
            np.array(split),
            np.array(paths),
            dropped,
        )


def split_of(path: str) -> str | None:
    """The split that a file's name, or else the nearest folder above it, speaks of."""
    for part in reversed(PurePosixPath(path).parts):
        if found := re.search(r"train|valid|val|test", part.lower()):
            return _SPLIT_NAMES[found[0]]
    return None
