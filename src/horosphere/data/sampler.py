"""Which images make up a training batch: N classes, d images each, as a pure function of seed and step."""

from collections.abc import Iterator

import numpy as np

from ..errors import InputError


class ClassBalancedSampler:
    """Batches of `classes` distinct classes × `images` images, split over ranks by class.

    `batch(step)` depends on (seed, step) only, so that a run may stop and resume anywhere. An epoch is one permutation
    of the C classes cut into floor(C / classes) batches (what is left over sits out until the next epoch). Within a
    batch a class's images are drawn without replacement; a class with fewer than `images` images is drawn with
    replacement, as in Hyp-ViT's published sampler, and counted in `short_classes`. Rank r of `world` gets the r-th run
    of classes / world classes: the ranks' batches one after another are the batch of world = 1. Raises InputError where
    the numbers do not fit.
    """

    def __init__(self, labels: np.ndarray, *, classes: int, images: int, seed: int = 0, rank: int = 0, world: int = 1):
        labels = np.asarray(labels)
        order = np.argsort(labels, kind="stable")
        present, starts = np.unique(labels[order], return_index=True)
        self._members = np.split(order, starts[1:]) if len(present) else []
        if classes < 2 or images < 2:
            raise InputError(
                f"A batch of {classes} classes × {images} images; expected at least 2 of each: without a second "
                f"image there is no positive, without a second class no negative."
            )
        if classes > len(present):
            raise InputError(
                f"A batch of {classes} classes from data with {len(present)} classes: lower the classes a batch to "
                f"{len(present)} or less, and raise the images a class if the batch should keep its size."
            )
        if not 0 <= rank < world:
            raise InputError(f"Rank {rank} of {world} processes; expected 0 to {world - 1}.")
        if classes % world:
            raise InputError(
                f"{classes} classes a batch do not divide over {world} processes: choose a multiple of {world}, such "
                f"as {max(classes // world, 1) * world}."
            )
        if seed < 0:
            raise InputError(f"Seed {seed}; expected 0 or more.")
        self.classes, self.images, self.seed, self.rank, self.world = classes, images, seed, rank, world
        self.steps_per_epoch = len(present) // classes
        self.short_classes = sum(len(members) < images for members in self._members)

    @property
    def batch_size(self) -> int:
        """Images in this rank's batch."""
        return self.classes // self.world * self.images

    @property
    def offset(self) -> int:
        """Position of this rank's first image in the batch of all ranks."""
        return self.rank * self.batch_size

    def batch(self, step: int) -> np.ndarray:
        """Indices of this rank at `step`, int64 (classes / world · images,), class after class."""
        epoch, place = divmod(step, self.steps_per_epoch)
        # The third word keeps the two streams apart: 0 orders the classes, 1 draws the images.
        order = np.random.default_rng([self.seed, epoch, 0]).permutation(len(self._members))
        mine = self.classes // self.world
        first = place * self.classes + self.rank * mine
        drawn = []
        for c in order[first : first + mine].tolist():
            members = self._members[c]
            rng = np.random.default_rng([self.seed, step, 1, c])
            drawn.append(rng.choice(members, self.images, replace=len(members) < self.images))
        return np.concatenate(drawn)

    def iterate(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, np.ndarray]]:
        """(step, batch) from `start` up to, not including, `stop`; without end if None."""
        step = start
        while stop is None or step < stop:
            yield step, self.batch(step)
            step += 1
