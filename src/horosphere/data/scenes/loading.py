"""Batches for scene–object contrast: four views an item, prepared by worker processes, in order.

An item depends on (seed, step, place in the batch of all ranks) only, as in `training_batches`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import Dataset

from ...config import SceneCrops
from ...errors import InputError
from ..crops import SceneViews, scene_views
from ..loading import Failures, first_readable, joined, prepared, require_preprocessing
from ..transforms import Preprocessing
from .dataset import SceneData

_TASK = 16  # images a worker prepares at a time, four views each
# First words of the random streams: the order of the images, an item's views, a search for a replacement.
_ORDER, _ITEM, _REPLACEMENT = 4, 5, 6


@dataclass(frozen=True)
class SceneBatch:
    """One step, uint8 (B, C, size, size) each: two views of an object, the scene around it, the object itself.

    `failures` holds (id, reason) of each image that could not be read and was replaced.
    """

    step: int
    first: torch.Tensor
    second: torch.Tensor
    scene: torch.Tensor
    object: torch.Tensor
    failures: Failures


def scene_batches(
    data: SceneData,
    preprocessing: Preprocessing | None,
    crops: SceneCrops,
    *,
    batch_size: int,
    start: int = 0,
    stop: int | None = None,
    workers: int = 0,
    seed: int = 0,
    rank: int = 0,
    world: int = 1,
) -> Iterator[SceneBatch]:
    """Yield the batches of steps `start` to `stop` (without end if None), `batch_size` items over all ranks.

    Of `data` those images take part that have two boxes of `crops.least` pixels or more. Each epoch is one permutation of
    them, cut into `steps_per_epoch` batches; what is left over sits out. Rank r gets the r-th run of a batch. An unreadable
    image, or one of another size than its boxes are for, is replaced by another. The tensors are page-locked where there is
    CUDA. Raises InputError where the numbers do not fit or no image can be read.
    """
    preprocessing = require_preprocessing(preprocessing)
    data = data.with_boxes(crops.least)
    steps = steps_per_epoch(len(data), batch_size, data.name)
    if not 0 <= rank < world or batch_size % world:
        raise InputError(
            f"rank {rank} of {world} processes, batches of {batch_size}; expected rank 0 to {world - 1} and a batch that "
            "divides over the processes."
        )
    own = batch_size // world
    offset = rank * own

    def tasks():
        step, epoch, order = start, -1, np.arange(0)
        while stop is None or step < stop:
            now, place = divmod(step, steps)
            if now != epoch:
                epoch, order = now, np.random.default_rng([_ORDER, seed, now]).permutation(len(data))
            batch = order[place * batch_size :][:batch_size]
            for first in range(offset, offset + own, _TASK):
                yield step, batch, first, min(first + _TASK, offset + own)
            step += 1

    views, failures = [], []
    for step, part, failed in prepared(_Items(data, preprocessing, crops, seed), tasks(), workers):
        views.append(part)
        failures += failed
        if sum(len(part.first) for part in views) == own:
            yield SceneBatch(step, *(joined(list(parts)) for parts in zip(*views, strict=True)), failures)
            views, failures = [], []


def steps_per_epoch(images: int, batch_size: int, name: str = "the data") -> int:
    """How many batches of `batch_size` an epoch of so many images has. Raises InputError where there is none."""
    if not 1 <= batch_size <= images:
        raise InputError(f"batches of {batch_size} from {images} images of {name}; expected 1 to {images} images a batch.")
    return images // batch_size


class _Items(Dataset):
    """Maps a task (step, the step's images, first place, end) to (step, SceneViews of (n, C, size, size), failures)."""

    def __init__(self, data, preprocessing, crops, seed):
        self.data, self.preprocessing, self.crops, self.seed = data, preprocessing, crops, seed

    def __getitem__(self, index):
        step, batch, first, end = index
        failures = []
        try:
            items = [self._item(step, batch, place, failures) for place in range(first, end)]
        except InputError as error:
            return error  # raised by the parent: from a worker it would arrive wrapped in a traceback's text
        return step, SceneViews(*(torch.stack(views) for views in zip(*items, strict=True))), failures

    def _item(self, step, batch, place, failures) -> SceneViews:
        def candidates():
            yield int(batch[place])
            others = np.random.default_rng([_REPLACEMENT, self.seed, step, place]).permutation(len(self.data))
            # Images that the batch does not yet hold come first (False sorts before True).
            yield from sorted(others[others != batch[place]].tolist(), key=set(batch.tolist()).__contains__)

        item = first_readable(candidates(), lambda i: self._draw(i, step, place), self.data.ids, failures)
        if item is None:
            raise InputError(
                f"{self.data.name}: none of the {len(self.data)} images can be read, first {': '.join(failures[0])}. "
                "Repair the files."
            )
        return item

    def _draw(self, i, step, place) -> SceneViews:
        return scene_views(
            self.data.images.read(i),
            self.data.sizes[i],
            self.data.boxes[i],
            self.preprocessing,
            self.crops,
            np.random.default_rng([_ITEM, self.seed, step, place]),
            name=str(self.data.ids[i]),
        )
