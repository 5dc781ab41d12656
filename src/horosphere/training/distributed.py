"""Several processes train as one: the gather that lets each see the whole batch and sends gradients home."""

from collections.abc import Iterable

import torch
import torch.distributed as dist
from timm.layers import convert_sync_batchnorm
from torch import Tensor, nn

from ..errors import InputError
from ..models import Embedder
from ..processes import gathered, world_size


def total(x: Tensor) -> Tensor:
    """The sum over processes, without gradient; every process gets it."""
    x = x.detach().clone()
    if world_size() > 1:
        dist.all_reduce(x)
    return x


def gather(x: Tensor) -> Tensor:
    """Rows of all processes in rank order, (n, d) → (world · n, d), differentiable.

    The gradient of each row is the sum of what all processes send to it. Each of W processes computes the loss's terms of
    its own rows as anchors, and takes the gradient of W times those; averaged over processes, as DDP does, the gradients of
    parameters are those of one process on the same global batch.
    """
    return _Gather.apply(x) if world_size() > 1 else x


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Average over processes the gradients of what DDP does not know: the proxies of a loss."""
    if world_size() > 1:
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            dist.all_reduce(parameter.grad, dist.ReduceOp.SUM)
            parameter.grad /= world_size()


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return gathered(x)

    @staticmethod
    def backward(ctx, grad):  # ty: ignore[incompatible-method-override]
        grad = grad.contiguous()
        dist.all_reduce(grad)
        return grad.chunk(dist.get_world_size())[dist.get_rank()]


def training_batch_norms(model: nn.Module) -> list[nn.Module]:
    """The batch norms that train or would take their statistics from the batch; frozen ones of an Embedder do neither."""
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    return [norm for norm in norms if norm.training or any(parameter.requires_grad for parameter in norm.parameters())]


def synchronised(model: Embedder, device: torch.device) -> Embedder:
    """The model with batch norms that see the batch of all processes, which without it would each normalise their own.

    Raises InputError on the CPU, where torch has no such batch norm.
    """
    if not training_batch_norms(model):
        return model
    if device.type == "cpu":
        raise InputError(
            "the encoder trains batch norms, and torch cannot share those between processes on a CPU: use one process, "
            "freeze the encoder, or take an encoder without batch norm"
        )
    model.encoder = convert_sync_batchnorm(model.encoder)
    return model
