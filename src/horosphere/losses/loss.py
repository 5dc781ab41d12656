"""What every loss is."""

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn


class Loss(nn.Module, ABC):
    """A function of labelled points: `loss(points, labels)` → scalar.

    What it learns (proxies) or remembers (earlier batches) is in its `state_dict`, so that a resumed run has it again.
    """

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
