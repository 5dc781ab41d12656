"""Momentum contrast's two encoders: the projector that trains, and its slow twin that makes keys (MoCo, He et al. 2020)."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ..errors import InputError
from ..processes import gathered, share
from .embedder import Embedder, evaluating

# First word of the random stream of orders; views and samplers have others (see `data.loading`).
_ORDER = 11


class Projection(NamedTuple):
    """One view of n images: points (n, p); with a dense head, for each of the s places of the encoder's grid, dense features
    (n, s, dim) and the encoder's own (n, s, width)."""

    points: Tensor
    dense: Tensor | None = None
    grid: Tensor | None = None


class Projector(nn.Module):
    """An Embedder over several views at once, so that processes share one gradient a step.

    With `dense`, DenseCL's second head (Wang et al., CVPR 2021): two 1 × 1 convolutions over the encoder's grid, beside the
    Embedder's own head over its mean.

    Raises:
        InputError: with `dense`, for an encoder without a grid of features, such as a ViT.
    """

    def __init__(self, model: Embedder, *, dense: bool = False):
        super().__init__()
        self.model, self.dense = model, None
        if dense:
            width, preprocessing = model.encoder.num_features, model.preprocessing
            assert preprocessing is not None  # an encoder has one
            with evaluating(model), torch.no_grad():
                side = preprocessing.size
                grid = model.encoder.forward_features(torch.zeros(1, preprocessing.channels, side, side))
            if grid.ndim != 4 or grid.shape[1] != width:
                raise InputError(
                    f"{model.encoder_name} gives {tuple(grid.shape)} for an image; a dense head needs a grid (1, {width}, "
                    "height, width), as convolutional encoders give it: set contrast.dense_share to 0, or take resnet50"
                )
            self.dense = nn.Sequential(nn.Conv2d(width, width, 1), nn.ReLU(), nn.Conv2d(width, model.dim, 1))

    def forward(self, first: Tensor, second: Tensor, third: Tensor | None = None, *, groups: int = 1) -> list[Projection]:
        """uint8 images (n, C, H, W) of two or three views → a projection each; the third's is points alone.

        Each view is a pass of its own, and with `groups` each of that many runs of its images: batch norms see a run, as on
        as many devices.
        """
        views = [(first, True), (second, True)] + ([] if third is None else [(third, False)])
        return [_joined([self._project(run, dense) for run in view.chunk(groups)]) for view, dense in views]

    def _project(self, images: Tensor, dense: bool) -> Projection:
        inputs = self.model.normalise(images)
        if self.dense is None or not dense:
            return Projection(self.model(inputs))
        grid = self.model.encoder.forward_features(inputs)
        points = self.model.place(self.model.encoder.forward_head(grid, pre_logits=True))
        return Projection(points, self.dense(grid).flatten(2).mT, grid.flatten(2).mT)


def _each(change: Callable[[Tensor], Tensor], view: Projection) -> Projection:
    """The same done to all that there is of a projection."""
    points, dense, grid = view
    return Projection(change(points), None if dense is None else change(dense), None if grid is None else change(grid))


def _joined(runs: list[Projection]) -> Projection:
    """The projections of runs of images, one after the other."""
    points, dense, grid = (list(parts) for parts in zip(*runs, strict=True))
    return Projection(torch.cat(points), *(None if parts[0] is None else torch.cat(parts) for parts in (dense, grid)))


class MomentumEncoder(nn.Module):
    """The projector's exponential moving average, which makes keys without gradient.

    Its parameters are momentum · own + (1 − momentum) · projector's, after `update`, which comes first in a step. Its
    buffers are the projector's: in training mode batch norms use their batch alone, and no running average is read.

    Batch norm lets a query recognise its key by the batch that both were normalised with. So keys are made in another order
    (shuffled batch norm): the images of all processes are gathered, ordered by (seed, step), and cut into `groups` runs that
    are normalised apart, as are the queries' in their own order. Each process makes its share. `groups` is of the whole
    batch, whatever the number of processes. Where no batch norm trains, images are made where they are: `shuffled=False`.

    Raises:
        InputError: for a momentum outside [0, 1].
    """

    def __init__(self, projector: Projector, *, momentum: float = 0.999, shuffled: bool = True, seed: int = 0):
        super().__init__()
        if not 0 <= momentum <= 1:
            raise InputError(f"a key encoder's momentum is {momentum}; expected 0 to 1")
        self.average = AveragedModel(projector, multi_avg_fn=get_ema_multi_avg_fn(momentum))
        self.shuffled, self.seed = shuffled, seed

    def update(self, projector: Projector) -> None:
        """Move towards the projector; the first time, to it."""
        self.average.update_parameters(projector)

    @torch.no_grad()
    def forward(
        self, first: Tensor, second: Tensor, third: Tensor | None = None, *, step: int, groups: int = 1
    ) -> list[Projection]:
        """As `Projector.forward`, of this process's images; `groups` are its share of all."""
        views = [view for view in (first, second, third) if view is not None]
        if not self.shuffled:
            return self.average(*views, groups=groups)
        # Every process has the same number of images.
        images = [gathered(view) for view in views]
        count = len(images[0])
        order = torch.from_numpy(np.random.default_rng([_ORDER, self.seed, step]).permutation(count)).to(first.device)
        own, place = share(count), order.argsort()
        made = self.average(*(view[order[own]] for view in images), groups=groups)
        return [_each(lambda rows: gathered(rows)[place[own]], view) for view in made]
