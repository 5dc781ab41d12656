"""Distances run in float32 or better, whatever the caller has set; and their gradients are of first order."""

import functools
from collections.abc import Callable, Generator
from contextlib import contextmanager

import torch
from torch import Tensor


def at_least_float32(x: Tensor) -> Tensor:
    """`x` in float32, or in float64 where it already is: distances never run in half precision."""
    return x if x.dtype == torch.float64 else x.float()


@contextmanager
def full_precision(device: torch.device) -> Generator[None, None, None]:
    """Matrix products of float32 in float32: without autocast, TF32 or bfloat16."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


def first_order(backward: Callable) -> Callable:
    """A hand-written backward that refuses to be differentiated again: what it gives would lack the second derivative."""

    @functools.wraps(backward)
    def checked(ctx, *grads):
        if torch.is_grad_enabled():  # as it is under create_graph=True alone
            raise RuntimeError(
                "this gradient is written by hand and has no derivative of its own: leave out create_graph=True"
            )
        return backward(ctx, *grads)

    return checked
