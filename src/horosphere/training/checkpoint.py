"""All that a run needs to go on as if it had never stopped."""

from collections.abc import Mapping
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn

from ..errors import InputError
from ..files import replacing
from ..processes import collect, merge, world_size

#: Raised when the contents change, so that an older checkpoint says so instead of failing half way.
VERSION = 2


def save(
    path: Path,
    *,
    step: int,
    modules: Mapping[str, nn.Module],
    optimiser: torch.optim.Optimizer,
    scaler: dict,
    failures: dict,
) -> None:
    """Write a checkpoint after `step` steps, all of it or nothing. Every process calls this; the first one writes.

    `modules` are what has a state by name: the model, and a loss with its proxies or its memory.

    The sampler and the augmentation are functions of (seed, step), so the step is their whole state.
    """
    failures = merge(failures)
    own = {"cpu": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None}
    random = collect(own)
    if world_size() > 1 and dist.get_rank() != 0:
        return
    state = {
        "version": VERSION,
        "step": step,
        "modules": {name: module.state_dict() for name, module in modules.items()},
        "optimiser": optimiser.state_dict(),
        "scaler": scaler,
        "random": random,
        "failures": failures,
    }
    with replacing(path) as temporary:
        torch.save(state, temporary)


def load(path: Path) -> dict:
    """Read a checkpoint, tensors and plain values only. Raises InputError where it is damaged or of another version."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a damaged file
        raise InputError(
            f"the checkpoint {path} cannot be read ({error}); remove it to train the run from its start"
        ) from None
    if not isinstance(state, dict) or state.get("version") != VERSION:
        raise InputError(f"the checkpoint {path} is of another version; remove it to train the run from its start")
    return state


def restore_random(states: list[dict], rank: int) -> None:
    """Give this process the random state that it had. Raises InputError for another number of processes."""
    if len(states) != world_size():
        raise InputError(
            f"the checkpoint is of {len(states)} processes, this run has {world_size()}: resume with the same number"
        )
    torch.set_rng_state(states[rank]["cpu"])
    if states[rank]["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(states[rank]["cuda"])
