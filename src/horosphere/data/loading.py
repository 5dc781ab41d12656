"""What training and embedding iterate over: batches of views, decoded by worker processes, in order.

A view's randomness depends on (seed, step, position in the batch of all ranks) only, so the number of workers and of
ranks changes nothing, and a run resumed at a step sees what it would have seen. A batch is cut into small tasks:
workers answer soon, and shared memory holds tasks instead of whole batches.
"""

import signal
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, default_collate

from ..errors import InputError
from .dataset import RetrievalData
from .decoding import UnreadableImage
from .sampler import ClassBalancedSampler
from .transforms import Augmentation, Preprocessing, evaluation_view, training_view

Failures = list[tuple[str, str]]
_TASK = 64  # images a worker prepares at a time
# First words of the random streams here; a view and a search for a replacement never share a stream.
_VIEW, _REPLACEMENT = 2, 3


@dataclass(frozen=True)
class Batch:
    """One training step: images uint8 (K, C, size, size) or features float32 (K, d), labels int64 (K,).

    `failures` holds (id, reason) of each image that could not be read and was replaced.
    """

    step: int
    images: torch.Tensor
    labels: torch.Tensor
    failures: Failures


@dataclass(frozen=True)
class EmbeddingBatch:
    """Some items in order: positions in the data int64 (b,), images uint8 (b, C, size, size) or features float32 (b,
    d).

    Unreadable images are left out and listed in `failures` as (id, reason); b may be 0.
    """

    indices: torch.Tensor
    images: torch.Tensor
    failures: Failures


def training_batches(
    data: RetrievalData,
    sampler: ClassBalancedSampler,
    preprocessing: Preprocessing | None,
    augmentation: Augmentation | None,
    *,
    start: int = 0,
    stop: int | None = None,
    workers: int = 0,
    seed: int = 0,
) -> Iterator[Batch]:
    """Yield the batches of steps `start` to `stop` (without end if None).

    `sampler` must be made from `data.labels`. With `augmentation=None` the views are evaluation views. An unreadable
    image is replaced by another of its class, so that the batch keeps its structure; if a class has no readable image
    InputError names it. Data of features needs neither preprocessing nor workers. The batch's tensors are page-locked
    where there is CUDA.
    """
    if data.features is not None:
        features, labels = torch.from_numpy(data.features), torch.from_numpy(data.labels)
        for step, indices in sampler.iterate(start, stop):
            chosen = torch.from_numpy(indices)
            yield Batch(step, features[chosen], labels[chosen], [])
        return
    require_preprocessing(preprocessing)

    def tasks():
        for step, indices in sampler.iterate(start, stop):
            for first in range(0, len(indices), _TASK):
                yield step, indices, first, sampler.offset

    views, labels, failures = [], [], []
    for step, part, part_labels, failed in prepared(
        _TrainingViews(data, preprocessing, augmentation, seed), tasks(), workers
    ):
        views.append(part)
        labels.append(part_labels)
        failures += failed
        if sum(map(len, views)) == sampler.batch_size:
            yield Batch(step, joined(views), torch.from_numpy(np.concatenate(labels)), failures)
            views, labels, failures = [], [], []


def embedding_batches(
    data: RetrievalData, preprocessing: Preprocessing | None, *, batch_size: int = 256, workers: int = 0
) -> Iterator[EmbeddingBatch]:
    """Yield every item once, in order, as evaluation views (decoded in full) or features, `batch_size` at a time."""
    starts = range(0, len(data), batch_size)
    if data.features is not None:
        features = torch.from_numpy(data.features)
        for first in starts:
            chosen = torch.arange(first, min(first + batch_size, len(data)))
            yield EmbeddingBatch(chosen, features[chosen], [])
        return
    require_preprocessing(preprocessing)
    tasks = (
        (first, min(first + _TASK, end))
        for start in starts
        for end in [min(start + batch_size, len(data))]
        for first in range(start, end, _TASK)
    )
    indices, views, failures = [], [], []
    for end, chosen, part, failed in prepared(_EvaluationViews(data, preprocessing), tasks, workers):
        indices += chosen
        views.append(part)
        failures += failed
        if end % batch_size == 0 or end == len(data):
            yield EmbeddingBatch(torch.tensor(indices, dtype=torch.int64), joined(views), failures)
            indices, views, failures = [], [], []


class _TrainingViews(Dataset):
    """Maps a task (step, the step's indices, first position, rank's offset) to (step, views, labels, failures)."""

    def __init__(self, data, preprocessing, augmentation, seed):
        self.data, self.preprocessing, self.augmentation, self.seed = data, preprocessing, augmentation, seed

    def __getitem__(self, index):
        step, indices, first, offset = index
        views, failures = [], []
        last = min(first + _TASK, len(indices))
        try:
            for position in range(first, last):
                views.append(self._view(step, indices, position, offset + position, failures))
        except InputError as error:
            return error  # raised by the parent: from a worker it would arrive wrapped in a traceback's text
        return step, default_collate(views), self.data.labels[indices[first:last]], failures

    def _view(self, step, indices, position, place, failures):
        """The view at `place` in the batch of all ranks: the image drawn for it, or the first readable of its class."""
        i = int(indices[position])

        def candidates():
            yield i
            others = np.flatnonzero(self.data.labels == self.data.labels[i])
            others = np.random.default_rng([_REPLACEMENT, self.seed, step, place]).permutation(others[others != i])
            # Images that the batch does not yet hold come first (False sorts before True).
            yield from sorted(others.tolist(), key=set(indices.tolist()).__contains__)

        tried = len(failures)
        view = first_readable(candidates(), lambda k: self._draw(k, step, place), self.data.ids, failures)
        if view is not None:
            return view
        name = self.data.classes[self.data.labels[i]]
        raise InputError(
            f"{self.data.name}: none of the {len(failures) - tried} images of class {name!r} can be read, first "
            f"{self.data.ids[i]}: {failures[tried][1]}. Repair the files or leave the class out."
        )

    def _draw(self, i, step, place):
        image, name = self.data.images.read(i), str(self.data.ids[i])
        if self.augmentation is None:
            return evaluation_view(image, self.preprocessing, name=name)
        rng = np.random.default_rng([_VIEW, self.seed, step, place])
        return training_view(image, self.preprocessing, self.augmentation, rng, name=name)


class _EvaluationViews(Dataset):
    """Maps a task (first, end) to (end, readable positions, their views, failures)."""

    def __init__(self, data, preprocessing):
        self.data, self.preprocessing = data, preprocessing

    def __getitem__(self, index):
        first, end = index
        indices, views, failures = [], [], []
        for i in range(first, end):
            name = str(self.data.ids[i])
            try:
                views.append(evaluation_view(self.data.images.read(i), self.preprocessing, name=name))
                indices.append(i)
            except UnreadableImage as error:
                failures.append((name, error.reason))
        side = self.preprocessing.size
        none = torch.zeros(0, self.preprocessing.channels, side, side, dtype=torch.uint8)
        return end, indices, default_collate(views) if views else none, failures


def first_readable(candidates: Iterable[int], draw: Callable, ids: np.ndarray, failures: Failures):
    """What `draw` makes of the first image it can read, None if of none; the others are added to `failures`."""
    for i in candidates:
        try:
            return draw(i)
        except UnreadableImage as error:
            failures.append((str(ids[i]), error.reason))
    return None


def prepared(dataset: Dataset, tasks, workers: int):
    """The tasks' answers in order, from `workers` processes or from this one."""
    if workers < 0:
        raise InputError(f"{workers} workers; expected 0 (decode in this process) or more.")
    loader = DataLoader(
        dataset,
        sampler=tasks,
        batch_size=None,
        num_workers=workers,
        collate_fn=_as_is,
        worker_init_fn=_leave_interrupts_to_parent,
        generator=torch.Generator(),  # without one, starting an epoch would advance torch's global generator
    )
    for answer in loader:
        if isinstance(answer, InputError):
            raise answer
        yield answer


def _as_is(answer):
    return answer


def _leave_interrupts_to_parent(worker: int) -> None:
    """Ctrl-C reaches every process of the terminal; the parent alone ends the workers, without their traces."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def joined(views: list[torch.Tensor]) -> torch.Tensor:
    """The parts of a batch as one tensor, page-locked where there is CUDA."""
    pinned = torch.cuda.is_available()
    if len(views) == 1 and not pinned:
        return views[0]  # on few cores the copy takes as long as a third of the decoding
    shape = (sum(map(len, views)), *views[0].shape[1:])
    return torch.cat(views, out=torch.empty(shape, dtype=torch.uint8, pin_memory=pinned))


def require_preprocessing(preprocessing: Preprocessing | None) -> Preprocessing:
    if preprocessing is None:
        raise InputError("Data of images needs a Preprocessing (size, resize, mean, std): take the encoder's own.")
    return preprocessing
