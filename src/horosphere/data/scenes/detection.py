"""Whole scenes with their boxes: what a detector learns from and is judged on."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import Dataset

from ...errors import InputError
from ..loading import Failures, first_readable, prepared
from .dataset import SceneData
from .masks import decode_mask
from .views import read_scene

# First words of the random streams here.
_ORDER, _FLIP, _REPLACEMENT = 11, 12, 13  # no other stream of the data has these


@dataclass(frozen=True)
class Scene:
    """A whole image, uint8 (C, H, W), with its boxes float32 (m, 4), labels int64 (m,) and masks uint8 (m, H, W) or None."""

    image: torch.Tensor
    boxes: torch.Tensor
    labels: torch.Tensor
    masks: torch.Tensor | None


def detection_batches(
    data: SceneData,
    channels: int = 3,
    *,
    batch_size: int,
    masks: bool = False,
    start: int = 0,
    stop: int | None = None,
    workers: int = 0,
    seed: int = 0,
) -> Iterator[tuple[int, list[Scene], Failures]]:
    """Yield (step, scenes, failures) of steps `start` to `stop` (without end if None); half of the scenes are mirrored.

    Images are drawn in a new order each epoch, without end: a batch may hold the last of one and the first of the next.
    Boxes without class, and with `masks` those without mask, are left out, and so are images that then have none. An image
    that cannot be read is replaced by another. A step is a function of (seed, step) alone. Raises InputError where no image
    is left, or none can be read.
    """
    usable = usable_images(data, masks)

    def tasks():
        step, epoch, order = start, -1, usable
        while stop is None or step < stop:
            batch = []
            for place in range(step * batch_size, (step + 1) * batch_size):
                now, position = divmod(place, len(usable))
                if now != epoch:
                    epoch, order = now, np.random.default_rng([_ORDER, seed, now]).permutation(usable)
                batch.append(int(order[position]))
            yield step, batch
            step += 1

    yield from prepared(_Scenes(data, channels, masks, seed, usable), tasks(), workers)


def usable_images(data: SceneData, masks: bool = False) -> np.ndarray:
    """Positions of the images with `usable_boxes`. Raises InputError where there are none."""
    found = np.flatnonzero([usable_boxes(data, i, masks).any() for i in range(len(data))])
    if not len(found):
        which = f"{data.name}: none of {len(data)} images of the split {data.split[0]}"
        raise InputError(f"{which} has a box with a class{' and a mask' if masks else ''}.")
    return found


def usable_boxes(data: SceneData, i: int, masks: bool = False) -> np.ndarray:
    """Which boxes of image `i` a detector learns from and is scored by, bool (m,): with a class, and for `masks` a mask."""
    usable = data.labels[i] >= 0
    if masks:
        given = [None] * len(usable) if data.masks is None else data.masks[i]
        usable &= np.array([mask is not None for mask in given], bool)
    return usable


def as_tensor(pixels: np.ndarray) -> torch.Tensor:
    """uint8 (H, W[, C]) as (C, H, W), a copy."""
    tensor = torch.from_numpy(np.array(pixels))
    return tensor[None] if tensor.ndim == 2 else tensor.permute(2, 0, 1).contiguous()


class _Scenes(Dataset):
    """Maps a task (step, its images) to (step, scenes, failures)."""

    def __init__(self, data, channels, masks, seed, usable):
        self.data, self.channels, self.masks, self.seed, self.usable = data, channels, masks, seed, usable

    def __getitem__(self, index):
        step, batch = index
        failures: Failures = []
        try:
            return step, [self._scene(step, batch, place, failures) for place in range(len(batch))], failures
        except InputError as error:
            return error  # raised by the parent: from a worker it would arrive wrapped in a traceback's text

    def _scene(self, step, batch, place, failures) -> Scene:
        def candidates():
            yield batch[place]
            yield from np.random.default_rng([_REPLACEMENT, self.seed, step, place]).permutation(self.usable).tolist()

        scene = first_readable(candidates(), lambda i: self._read(i, step, place), self.data.ids, failures)
        if scene is None:
            raise InputError(f"{self.data.name}: no image can be read, first {': '.join(failures[0])}. Repair the files.")
        return scene

    def _read(self, i, step, place) -> Scene:
        data, keep = self.data, usable_boxes(self.data, i, self.masks)
        image, boxes = as_tensor(read_scene(data, i, self.channels)), torch.from_numpy(data.boxes[i][keep])
        masks = None
        if self.masks:
            kept = [mask for mask, good in zip(data.masks[i], keep, strict=True) if good]
            masks = torch.from_numpy(np.stack([decode_mask(mask, data.sizes[i]) for mask in kept]))
        if np.random.default_rng([_FLIP, self.seed, step, place]).random() < 0.5:
            width = image.shape[-1]
            image, boxes = (
                image.flip(-1),
                torch.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], 1),
            )
            masks = None if masks is None else masks.flip(-1)
        return Scene(image, boxes, torch.from_numpy(data.labels[i][keep]), masks)
