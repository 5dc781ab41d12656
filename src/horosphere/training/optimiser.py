"""The optimiser, its learning rate and its step."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch

from ..config import OptimiserConfig
from .launch import Fabric


def make_optimiser(config: OptimiserConfig, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """AdamW or SGD over groups of parameters; a group may have a `rate`, which multiplies the learning rate."""
    for group in groups:
        group.setdefault("rate", 1.0)
        group.setdefault("weight_decay", config.weight_decay)
    if config.name == "sgd":
        return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum)
    return torch.optim.AdamW(groups, lr=config.lr)


def hold(encoder: torch.nn.Module) -> None:
    """Let the encoder stand still for a step: an optimiser passes by what has no gradient."""
    for parameter in encoder.parameters():
        parameter.grad = None


def update(fabric: Fabric, model, optimiser, clip_norm: float | None) -> torch.Tensor | None:
    """Take the optimiser's step and clear the gradients. Returns the gradient's norm where it is clipped, else None."""
    norm = None
    if clip_norm is not None:
        # Fabric unscales first, so that the norm is the gradients' own.
        norm = fabric.clip_gradients(model, optimiser, max_norm=clip_norm, error_if_nonfinite=False)
    optimiser.step()
    optimiser.zero_grad()
    return norm


def gradient_norms(fabric: Fabric, optimiser) -> dict[str, torch.Tensor]:
    """The norm of each group's gradient by the group's name, before `update` clips and clears them.

    Groups of one name count as one. What has no gradient, such as an encoder that stands still, is left out.
    """
    scaler = getattr(fabric.strategy.precision, "scaler", None)
    # The scaler unscales once a step, which is left to `update`.
    scale = 1.0 if scaler is None else scaler.get_scale()
    norms: dict[str, torch.Tensor] = {}
    for group in optimiser.param_groups:
        gradients = [parameter.grad for parameter in group["params"] if parameter.grad is not None]
        if gradients:
            norm = torch.nn.utils.get_total_norm(gradients) / scale
            norms[group["name"]] = torch.hypot(norms.get(group["name"], torch.zeros_like(norm)), norm)
    return norms


def set_rate(optimiser, config: OptimiserConfig, step: int, steps: int) -> None:
    """Give each group its learning rate of a step."""
    for group in optimiser.param_groups:
        group["lr"] = config.lr * group["rate"] * rate(config, step, steps)


def rate(config: OptimiserConfig, step: int, steps: int) -> float:
    """Share of the learning rate at a step: a function of the step alone, so a resumed run has nothing to restore."""
    if step < config.warmup:
        return (step + 1) / (config.warmup + 1)
    return decay(config.schedule, step - config.warmup, max(1, steps - config.warmup))


def decay(schedule: Literal["constant", "cosine", "step"], done: int, steps: int, drops: Sequence[float] = ()) -> float:
    """Share of the learning rate that is left after `done` of `steps`; by "step" a tenth after each share in `drops`."""
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * done / steps))
    return 1.0 if schedule == "constant" else 0.1 ** sum(done / steps >= drop for drop in drops)
