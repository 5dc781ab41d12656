"""What every loss is."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from ..spaces import Space


class Loss(nn.Module, ABC):
    """A function of labelled points: `loss(points, labels)` → scalar.

    What it learns (proxies) or remembers (earlier batches) is in its `state_dict`, so that a resumed run has it again.
    """

    space: Space
    _points_checked = False

    @abstractmethod
    def forward(self, points: Tensor, labels: Tensor, anchors: slice | None = None) -> Tensor:
        """The loss of points (K, p) of the space with labels (K,), in the points' precision, float32 or better.

        With `anchors`, a process's run of the batch, it is that run's share of the loss: over runs that share out the batch
        the results, and their gradients, add up to the whole.
        """

    def parameter_groups(self) -> list[dict[str, Any]]:
        """What the loss itself learns, for an optimiser; not what its space learns, which is the model's.

        `rate` of a group multiplies the optimiser's learning rate.
        """
        return []

    def _checked_labels(self, points: Tensor, labels: Tensor) -> Tensor:
        """Labels as a tensor. Raises ValueError for shapes that do not fit, and for features where points are expected."""
        labels = torch.as_tensor(labels)
        if points.ndim != 2 or labels.shape != points.shape[:1]:
            raise ValueError(
                f"expected points (K, p) and labels (K,); given: {tuple(points.shape)} and {tuple(labels.shape)}"
            )
        if not self._points_checked:
            # Once: a wrong wiring shows at the first step, and a check a step would make a GPU wait.
            self.space.check(points.detach())
            self._points_checked = True
        return labels


def share(anchors: slice | None, count: int) -> float:
    """The share of a batch of `count` images that its run `anchors` is."""
    return len(range(*(anchors or slice(None)).indices(count))) / count
