"""A large batch with the activation memory of a small one."""

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..errors import InputError
from ..models import Embedder
from .distributed import training_batch_norms


class Chunked(nn.Module):
    """A model over raw inputs, at most `chunk` at a time: what the loop trains, and what processes share gradients of.

    The first pass keeps the points and each chunk's random state, no activations. In the backward pass the loss's gradient
    with respect to all points comes first; then each chunk goes through the model again, with the same dropout, and hands
    its share on to the parameters. Loss and gradients are those of the whole batch at once, for a third more time (gradient
    caching, Gao et al., 2021). With None, or for a batch of no more than `chunk`, there is one ordinary pass.

    Raises InputError where batch norms train: each chunk would be normalised by statistics of its own.
    """

    def __init__(self, model: Embedder, chunk: int | None = None):
        super().__init__()
        if chunk is not None and training_batch_norms(model):
            raise InputError(
                "batch.chunk is set, but the encoder trains batch norms, which would see a chunk in place of the batch: "
                "leave batch.chunk out, freeze the encoder, or take an encoder without batch norm"
            )
        self.model, self.chunk = model, chunk

    def forward(self, inputs: Tensor) -> Tensor:
        """uint8 images (n, C, H, W), or cached features (n, width), on the model's device → points (n, p)."""
        if self.chunk is None or len(inputs) <= self.chunk:
            return self._points(inputs)
        return torch.cat([checkpoint(self._chunk, part, use_reentrant=False) for part in inputs.split(self.chunk)])

    def _chunk(self, inputs: Tensor) -> Tensor:
        # Under autocast chunks would share the weights' copies in half precision, and add up their gradients in it.
        torch.clear_autocast_cache()
        return self._points(inputs)

    def _points(self, inputs: Tensor) -> Tensor:
        return self.model(inputs if self.model.encoder is None else self.model.normalise(inputs))
