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
        # The images of class c are _members[_starts[c] : _starts[c] + _sizes[c]].
        self._members = np.argsort(labels, kind="stable")
        present, self._starts, self._sizes = np.unique(labels[self._members], return_index=True, return_counts=True)
        if classes < 2 or images < 2:
            raise InputError(
                f"A batch of {classes} classes × {images} images; expected at least 2 of each: without a second "
                f"image there is no positive, without a second class no negative."
            )
        if len(present) < 2:
            raise InputError(
                "The training images are all of one class, so there are no negatives: train on two classes or more."
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
        self.short_classes = int((self._sizes < images).sum())
        self._order = -1, self._sizes  # an epoch and its order of classes

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
        if self._order[0] != epoch:
            self._order = epoch, np.random.default_rng([self.seed, epoch, 0]).permutation(len(self._sizes))
        drawn = self._order[1][place * self.classes :][: self.classes]
        members = _draw(self._sizes[drawn], self.images, np.random.default_rng([self.seed, step, 1]))
        # Every rank draws the whole batch, so that the number of ranks changes nothing.
        return self._members[self._starts[drawn, None] + members].ravel()[self.offset :][: self.batch_size]

    def iterate(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, np.ndarray]]:
        """(step, batch) from `start` up to, not including, `stop`; without end if None."""
        step = start
        while stop is None or step < stop:
            yield step, self.batch(step)
            step += 1


def _draw(sizes: np.ndarray, d: int, rng: np.random.Generator) -> np.ndarray:
    """(N, d): for each class d of its members 0 … size − 1 in random order, all different where it has that many.

    Floyd's algorithm for all classes at once: the k-th draw is among the first size − d + k + 1 members, and a member that
    was drawn before gives way to the last of those, which cannot have been.
    """
    enough = sizes >= d
    last = np.where(enough[:, None], sizes[:, None] - d + np.arange(d), sizes[:, None] - 1)
    drawn = rng.integers(last, endpoint=True)
    for k in range(1, d):
        again = enough & (drawn[:, :k] == drawn[:, k, None]).any(1)
        drawn[again, k] = last[again, k]
    return rng.permuted(drawn, axis=1)
