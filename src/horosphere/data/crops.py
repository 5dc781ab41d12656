"""What scene–object contrast sees of a scene: two views of one object, and the object beside the scene around it.

All chance comes from the generator that is passed in. docs/methods.md says where these crops mend the published ones.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageFilter
from torchvision.transforms.v2 import functional

from ..config import SceneCrops
from .decoding import Box, Picture, UnreadableImage
from .transforms import Preprocessing, crop, random_box

Pixels = tuple[int, int, int, int]


class SceneBoxes(NamedTuple):
    """Where the four views of an item are, left, top, right, bottom in whole pixels."""

    first: Pixels
    second: Pixels
    scene: Pixels
    object: Pixels


class SceneViews(NamedTuple):
    """One item of training, uint8 (C, size, size) each: two views of an object, the scene around it, the object."""

    first: torch.Tensor
    second: torch.Tensor
    scene: torch.Tensor | None = None
    object: torch.Tensor | None = None


def scene_views(
    image,
    size: Sequence[int] | np.ndarray,
    boxes: np.ndarray,
    preprocessing: Preprocessing,
    crops: SceneCrops,
    generator: np.random.Generator,
    *,
    name: str = "image",
    scenes: bool = True,
) -> SceneViews:
    """The views of `scene_boxes`, resized without keeping their shapes, each with colours of its own.

    Without `scenes` there are the same two views of the object, and neither the scene nor the object.
    `size` is the width and height that the boxes (m, 4) refer to: an image of another size raises UnreadableImage.
    """
    picture = open_scene(image, size, preprocessing.channels, name=name)
    drawn = scene_boxes(picture.size, boxes, crops, generator)
    return SceneViews(
        *(recoloured(crop(picture, box, preprocessing), crops, generator) for box in (drawn if scenes else drawn[:2]))
    )


def scene_boxes(
    size: Sequence[int] | np.ndarray, boxes: np.ndarray, crops: SceneCrops, generator: np.random.Generator
) -> SceneBoxes:
    """An object drawn among the boxes (m, 4) of an image, two random crops of windows around it, and a scene with it.

    `size` is width and height of the image. Where m is 1 the scene is the object.
    """
    chosen, size = int(generator.integers(len(boxes))), (int(size[0]), int(size[1]))
    views = []
    for _ in range(2):
        left, top, right, bottom = object_window(boxes[chosen], size, crops.window, generator)
        inner = random_box((right - left, bottom - top), crops, generator)
        views.append((left + inner[0], top + inner[1], left + inner[2], top + inner[3]))
    scene = whole(around(boxes, chosen, crops.others, generator))
    return SceneBoxes(*views, scene, whole(boxes[chosen]))


def open_scene(image, size: Sequence[int] | np.ndarray, channels: int = 3, *, name: str = "image") -> Picture:
    """The image, decoded once for all of its crops. Raises UnreadableImage where it has another size than `size`."""
    picture = Picture(image, name)
    width, height = map(int, size)
    if picture.size != (width, height):
        raise UnreadableImage(
            name, f"the image is {picture.size[0]} × {picture.size[1]}, but its boxes are for {width} × {height}"
        )
    return Picture(picture.pixels(channels), name)


def object_window(box, size: tuple[int, int], window: int, generator: np.random.Generator) -> Pixels:
    """`box` in whole pixels, or for one of less than window × window pixels a window around it, inside the image.

    The window is `window` pixels on each side, less where the image is smaller and more where the box is larger; its place
    is drawn uniformly among those that hold the box.
    """
    box = whole(box)
    if (box[2] - box[0]) * (box[3] - box[1]) >= window**2:
        return box
    edges = []
    for axis in range(2):
        low, high, end = box[axis], box[axis + 2], size[axis]
        side = max(high - low, min(window, end))
        start = int(generator.integers(max(0, high - side), min(low, end - side), endpoint=True))
        edges.append((start, start + side))
    return edges[0][0], edges[1][0], edges[0][1], edges[1][1]


def around(boxes: np.ndarray, chosen: int, others: tuple[int, int], generator: np.random.Generator) -> Box:
    """What holds box `chosen` and, drawn at random, from `others[0]` to `others[1]` of the other boxes, or all there are."""
    rest = np.delete(np.arange(len(boxes)), chosen)
    count = int(generator.integers(*others, endpoint=True))
    taken = boxes[[chosen, *generator.permutation(rest)[:count]]]
    return (*taken[:, :2].min(0).tolist(), *taken[:, 2:].max(0).tolist())


def whole(box) -> Pixels:
    """The whole pixels that a box touches."""
    left, top, right, bottom = np.asarray(box, np.float64).tolist()
    return int(np.floor(left)), int(np.floor(top)), int(np.ceil(right)), int(np.ceil(bottom))


def recoloured(view: torch.Tensor, crops: SceneCrops, rng: np.random.Generator) -> torch.Tensor:
    """The view (C, h, w) with colour jitter, grey, blur and flip, each by its chance."""
    # In Pillow, as published: torchvision's hue and blur of tensors make the whole take 1.6 times as long.
    # Its functions take images, though they are typed for tensors alone.
    image: Any = Image.fromarray((view[0] if len(view) == 1 else view.permute(1, 2, 0).contiguous()).numpy())
    if rng.random() < crops.jitter:
        # As torchvision's ColorJitter, whose own draws come from torch's global generator.
        changes = [
            (functional.adjust_brightness, _factor(crops.brightness, rng)),
            (functional.adjust_contrast, _factor(crops.contrast, rng)),
            (functional.adjust_saturation, _factor(crops.saturation, rng)),
            (functional.adjust_hue, float(rng.uniform(-crops.hue, crops.hue))),
        ]
        for i in rng.permutation(len(changes)):
            change, amount = changes[i]
            image = change(image, amount)
    if rng.random() < crops.grey:
        image = functional.rgb_to_grayscale(image, len(view))
    if rng.random() < crops.blur:
        image = image.filter(ImageFilter.GaussianBlur(float(rng.uniform(*crops.sigma))))
    if rng.random() < crops.flip:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    pixels = torch.from_numpy(np.array(image))
    return (pixels[None] if len(view) == 1 else pixels.permute(2, 0, 1)).contiguous()


def _factor(most: float, rng: np.random.Generator) -> float:
    return float(rng.uniform(max(0.0, 1 - most), 1 + most))
