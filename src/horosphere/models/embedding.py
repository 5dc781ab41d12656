"""A whole data set through a model."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..config import Precision
from ..data import Failures, RetrievalData, embedding_batches
from ..errors import InputError
from ..processes import collect, share
from .embedder import Embedder, evaluating

#: By the names of `config.Precision`.
DTYPES = {"32-true": torch.float32, "bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


@dataclass(frozen=True)
class Embedded:
    """Points and encodings of a data set, float32 on the CPU.

    Attributes:
        data: what was embedded, without the images that could not be read.
        points: (n, `space.dim(dim)`).
        encodings: the encoder's own output (n, width).
        failures: (id, reason) of each image left out.
    """

    data: RetrievalData
    points: Tensor
    encodings: Tensor
    failures: Failures = field(default_factory=list)


@dataclass(frozen=True)
class EmbeddedBatch:
    """Some items in order, float32 on the model's device; b may be 0.

    Attributes:
        indices: positions in the data, int64 (b,), on the CPU.
        images: what the model saw: uint8 (b, C, size, size), or features float32 (b, d), on the CPU.
        points: (b, `space.dim(dim)`).
        encodings: the encoder's own output (b, width).
        failures: (id, reason) of each image left out.
    """

    indices: Tensor
    images: Tensor
    points: Tensor
    encodings: Tensor
    failures: Failures


def embedded_batches(
    model: Embedder,
    data: RetrievalData,
    *,
    batch_size: int = 64,
    workers: int = 0,
    precision: Precision = "32-true",
    progress: str | None = None,
) -> Iterator[EmbeddedBatch]:
    """Embed every image (evaluation views) or every row of features, in order, a batch at a time.

    Runs in eval mode without gradient, then restores every module's mode. Unreadable images are left out and listed.
    `precision` is the encoder's and the heads', as in training; 16-mixed needs a GPU. `progress` names a bar with rate and
    time left; None for no bar.

    Raises:
        InputError: for a precision that the device has not.
    """
    device = model.device
    if precision not in DTYPES or (precision == "16-mixed" and device.type == "cpu"):
        raise InputError(f"precision={precision!r} on {device.type}: expected 32-true, bf16-mixed, or on a GPU 16-mixed")
    bar = tqdm(total=len(data), desc=progress, unit="img", disable=progress is None, leave=False)
    with evaluating(model), bar:
        for batch in embedding_batches(data, model.preprocessing, batch_size=batch_size, workers=workers):
            # Not around the loop: while this waits to go on, the mode would be its reader's.
            with torch.inference_mode(), torch.autocast(device.type, DTYPES[precision], enabled=precision != "32-true"):
                if len(batch.indices):
                    inputs = batch.images.to(device, non_blocking=True)
                    encodings, points = model.embed(inputs if model.encoder is None else model.normalise(inputs))
                else:
                    encodings, points = (torch.empty(0, n) for n in (model.width, model.space.dim(model.dim)))
                embedded = EmbeddedBatch(batch.indices, batch.images, points.float(), encodings.float(), batch.failures)
            yield embedded
            bar.update(len(batch.indices) + len(batch.failures))


def embed_data(
    model: Embedder,
    data: RetrievalData,
    *,
    batch_size: int = 64,
    workers: int = 0,
    precision: Precision = "32-true",
    progress: str | None = None,
    distributed: bool = False,
) -> Embedded:
    """Embed every image or row of features, in order, as `embedded_batches` does; unreadable images are left out and listed.

    With `distributed` each process of `torch.distributed`'s default group embeds its share; all of them call this with the
    same arguments, and get the whole.

    Raises:
        InputError: where no image can be read, and for a precision that the device has not.
    """
    own = share(len(data)) if distributed else slice(0, len(data))
    mine = data.take(np.arange(own.start, own.stop))
    kept, points, encodings, failures = [], [], [], []
    for batch in embedded_batches(
        model, mine, batch_size=batch_size, workers=workers, precision=precision, progress=progress
    ):
        failures += batch.failures
        if len(batch.indices):
            kept.append(batch.indices + own.start)
            # A GPU is not waited for until the end; these are then page-locked.
            points.append(batch.points.to("cpu", non_blocking=True))
            encodings.append(batch.encodings.to("cpu", non_blocking=True))
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)
    if distributed:
        kept, points, encodings, failures = (
            [piece for pieces in shares for piece in pieces]
            for shares in zip(*collect((kept, points, encodings, failures)), strict=True)
        )
    if not kept:
        reason = f"; the first, {failures[0][0]}: {failures[0][1]}" if failures else ""
        raise InputError(f"none of the {len(data)} images of {data.name} could be read{reason}")
    # Joined outside inference mode: its own tensors could not enter a graph, a linear probe's say.
    return Embedded(data.take(torch.cat(kept).numpy()), torch.cat(points), torch.cat(encodings), failures)
