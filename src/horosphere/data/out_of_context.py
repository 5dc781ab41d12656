"""Scenes with an object that does not belong there: made by pasting, each with its control, or read with a flag a box."""

import csv
import io
import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import InputError
from .crops import open_scene, whole
from .scenes import SceneData
from .scenes.reading import Scenes, split_of
from .trees import first_few, open_tree

_PAIR = 7  # first word of the random streams here
_DRAWN = 32  # objects of other scenes, of which the one of the most similar shape is pasted
_THROUGH = 0.9  # both objects pass a size that is this share of the smaller one, so that both are resampled twice
CONTEXT = ("in context", "out of context")


@dataclass(frozen=True, eq=False)
class PastedScene:
    """A scene in which one object was replaced.

    pixels: uint8 (H, W, 3) or (H, W). box: where it was pasted, left, top, right, bottom in whole pixels. label: 1 for an
    object of another scene, 0 for the scene's own. scene, donor: ids of the images of the scene and of the object.
    """

    pixels: np.ndarray
    box: tuple[int, int, int, int]
    label: int
    scene: str
    donor: str


class OutOfContext:
    """Pairs of pasted scenes, one pair for each scene of `data` with a box of `least` pixels on both sides.

    `pairs[i]` is (own, other). In `other` an object of another scene, and of a class that the scene does not show, covers
    one of the scene's objects, at its place and in its size. In `own` the scene's own object is cut out and pasted back in
    the same manner: both are resampled through the same smaller size and fade in over the same rim, so that neither blur
    nor seam tells which is which. What they are is a function of (data, seed, i).

    rim: width of the fade, as a share of the box's shorter side. Raises InputError where there are fewer than two scenes,
    and UnreadableImage, from an index, where an image cannot be read.
    """

    def __init__(self, data: SceneData, *, least: float = 56.0, rim: float = 0.1, seed: int = 0, channels: int = 3):
        if not 0 <= rim <= 0.5:
            raise InputError(f"rim {rim}; expected a share of the box's shorter side from 0 to 0.5.")
        self.data = data.with_boxes(least, 1)
        if len(self.data) < 2:
            raise InputError(f"{data.name}: one scene with a box of {least:g} × {least:g} pixels; expected two or more.")
        self.rim, self.seed, self.channels = rim, seed, channels
        counts = [len(boxes) for boxes in self.data.boxes]
        self._image = np.repeat(np.arange(len(counts)), counts)
        self._boxes, self._labels = np.concatenate(self.data.boxes), np.concatenate(self.data.labels)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, i: int) -> tuple[PastedScene, PastedScene]:
        if not 0 <= i < len(self):
            raise IndexError(f"pair {i} of {len(self)}")
        rng = np.random.default_rng([_PAIR, self.seed, i])
        box = whole(self.data.boxes[i][rng.integers(len(self.data.boxes[i]))])
        donor = self._donor(i, box, rng)
        source = int(self._image[donor])
        pixels, own = self._open(i), self._cut(i, box)
        other = self._cut(source, whole(self._boxes[donor]))
        through = [max(1, round(_THROUGH * min(sides))) for sides in zip(own.size, other.size, strict=True)]
        ids = [str(self.data.ids[i]), str(self.data.ids[source])]

        def pasted(thing: Image.Image, label: int) -> PastedScene:
            return PastedScene(_pasted(pixels, thing, box, through, self.rim), box, label, ids[0], ids[label])

        return pasted(own, 0), pasted(other, 1)

    def _donor(self, i: int, box, rng: np.random.Generator) -> int:
        """The object to paste: of another scene and, where there are such, of a class that this scene does not show."""
        others = self._image != i
        foreign = others & ~np.isin(self._labels, self.data.labels[i][self.data.labels[i] >= 0])
        drawn = rng.permutation(np.flatnonzero(foreign if foreign.any() else others))[:_DRAWN]
        sides = self._boxes[drawn, 2:] - self._boxes[drawn, :2]
        difference = np.abs(np.log(sides / [box[2] - box[0], box[3] - box[1]])).sum(1)
        return int(drawn[difference.argmin()])

    def _open(self, i: int) -> np.ndarray:
        data = self.data
        return open_scene(data.images.read(i), data.sizes[i], self.channels, name=str(data.ids[i])).pixels(self.channels)

    def _cut(self, i: int, box) -> Image.Image:
        return Image.fromarray(self._open(i)[box[1] : box[3], box[0] : box[2]])


def _pasted(pixels: np.ndarray, thing: Image.Image, box, through, rim: float) -> np.ndarray:
    """`pixels` with `thing` in `box`, which it fades into over `rim` of the box's shorter side."""
    width, height = box[2] - box[0], box[3] - box[1]
    shown = np.asarray(
        thing.resize(through, Image.Resampling.BICUBIC).resize((width, height), Image.Resampling.BICUBIC), np.float64
    )
    fade = max(1.0, rim * min(width, height))
    # A pixel's distance to the box's edge; an edge that is the image's own does not fade.
    size = pixels.shape[1], pixels.shape[0]
    weights = []
    for axis, side in enumerate((width, height)):
        at = np.arange(side) + 0.5
        low = at if box[axis] > 0 else np.full(side, np.inf)
        high = side - at if box[axis + 2] < size[axis] else np.full(side, np.inf)
        weights.append((np.minimum(low, high) / fade).clip(0, 1))
    weight = np.minimum(weights[1][:, None], weights[0][None]).reshape(height, width, *[1] * (pixels.ndim - 2))
    result = pixels.copy()
    below = pixels[box[1] : box[3], box[0] : box[2]]
    result[box[1] : box[3], box[0] : box[2]] = np.rint(weight * shown + (1 - weight) * below)
    return result


def load_out_of_context(root: str | Path) -> SceneData:
    """Images whose boxes say which objects are out of context, as SUN09's: classes "in context" and "out of context".

    root: a folder or zip with images and one table: a CSV with columns image, left, top, right, bottom (pixels) and
    out_of_context (0 or 1), or a JSON list of objects with these keys. All images are of the split test unless their
    folder says otherwise. Boxes that cannot be used are left out and counted. Raises InputError.
    """
    tree = open_tree(root)
    tables = [name for name in tree.files() if name.lower().endswith((".csv", ".json"))]
    if len(tables) != 1:
        raise InputError(f"{tree}: {len(tables)} tables ({first_few(tables)}); expected one CSV or JSON file of boxes.")
    try:
        text = tree.read(tables[0]).decode("utf-8-sig")
        rows = (
            json.loads(text) if tables[0].lower().endswith(".json") else list(csv.DictReader(io.StringIO(text, newline="")))
        )
    except ValueError as error:
        raise InputError(f"{tree}: {tables[0]} cannot be read: {error}.") from error
    edges = ("left", "top", "right", "bottom")
    needed = {"image", *edges, "out_of_context"}
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) and needed <= set(row) for row in rows):
        raise InputError(f"{tree}: {tables[0]} needs rows with {', '.join(sorted(needed))}.")
    scenes = Scenes(tree, tree.name)
    by_image = defaultdict(list)
    for row in rows:
        by_image[str(row["image"]).strip()].append(row)
    for image, each in by_image.items():
        path = scenes.find(image)
        if path is None:
            scenes.dropped["missing images"] += 1
            continue
        boxes, labels = [], []
        for row in each:
            try:
                box, flag = [float(row[edge]) for edge in edges], int(row["out_of_context"])
                if flag not in (0, 1):
                    raise ValueError("a flag is 0 or 1")
            except (TypeError, ValueError):
                scenes.dropped["malformed boxes"] += 1
                continue
            boxes.append(box)
            labels.append(flag)
        split = split_of(str(Path(path).parent)) or "test"
        scenes.add(path, None, split, boxes, labels, source=tables[0])
    return scenes.data(CONTEXT)
