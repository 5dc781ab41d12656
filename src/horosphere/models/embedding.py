"""A whole data set through a model."""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..data import Failures, RetrievalData, embedding_batches
from ..errors import InputError
from ..processes import collect, share
from .embedder import Embedder, evaluating


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


def embed_data(
    model: Embedder,
    data: RetrievalData,
    *,
    batch_size: int = 64,
    workers: int = 0,
    progress: str | None = None,
    distributed: bool = False,
) -> Embedded:
    """Embed every image (evaluation views) or every row of features, in order.

    Runs in eval mode without gradient, then restores every module's mode. Unreadable images are left out and listed.
    `progress` names a bar with rate and time left; None for no bar. With `distributed` each process of `torch.distributed`'s
    default group embeds its share; all of them call this with the same arguments, and get the whole.
    """
    own = share(len(data)) if distributed else slice(0, len(data))
    mine = data.take(np.arange(own.start, own.stop))
    kept, points, encodings, failures = [], [], [], []
    bar = tqdm(total=len(mine), desc=progress, unit="img", disable=progress is None, leave=False)
    with evaluating(model), torch.inference_mode(), bar:
        for batch in embedding_batches(mine, model.preprocessing, batch_size=batch_size, workers=workers):
            failures += batch.failures
            if len(batch.indices):
                inputs = batch.images.to(model.device) if model.encoder is None else model.normalise(batch.images)
                encoded, placed = model.embed(inputs)
                kept.append(batch.indices + own.start)
                points.append(placed.float().cpu())
                encodings.append(encoded.float().cpu())
            bar.update(len(batch.indices) + len(batch.failures))
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
