"""Several processes train as one: the gather that lets each see the whole batch and sends gradients home."""

import torch
import torch.distributed as dist
from timm.layers import convert_sync_batchnorm
from torch import Tensor, nn

from ..errors import InputError
from ..models import Embedder
from ..processes import world_size


def gather(x: Tensor) -> Tensor:
    """Rows of all processes in rank order, (n, d) → (world · n, d), differentiable.

    The gradient of each row is the sum of what all processes send to it. With a loss that every process computes on the
    gathered rows, and with gradients of parameters averaged over processes as DDP does, W processes have the loss and the
    gradients of one process on the same global batch.
    """
    return _Gather.apply(x) if world_size() > 1 else x


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        rows = [torch.empty_like(x) for _ in range(dist.get_world_size())]
        dist.all_gather(rows, x.contiguous())
        return torch.cat(rows)

    @staticmethod
    def backward(ctx, grad):  # ty: ignore[incompatible-method-override]
        grad = grad.contiguous()
        dist.all_reduce(grad)
        return grad.chunk(dist.get_world_size())[dist.get_rank()]


def synchronised(model: Embedder, device: torch.device) -> Embedder:
    """The model with batch norms that see the batch of all processes, which without it would each normalise their own.

    Raises InputError on the CPU, where torch has no such batch norm.
    """
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if not any(parameter.requires_grad for norm in norms for parameter in norm.parameters()):
        return model
    if device.type == "cpu":
        raise InputError(
            "the encoder trains batch norms, and torch cannot share those between processes on a CPU: use one process, "
            "freeze the encoder, or take an encoder without batch norm"
        )
    model.encoder = convert_sync_batchnorm(model.encoder)
    return model
