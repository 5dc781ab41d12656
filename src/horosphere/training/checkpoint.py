"""All that a run needs to go on as if it had never stopped."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from ..errors import InputError
from ..files import replacing
from ..processes import collect, merge, world_size
from ..runs import Run
from .launch import Fabric

#: Raised when the contents change, so that an older checkpoint says so instead of failing half way.
VERSION = 3


class State:
    """What a run keeps between its steps, written to its checkpoint and read back. Every process has one.

    The sampler and the augmentation are functions of (seed, step), so the step is their whole state.

    Args:
        fabric: where it runs; None for one process without mixed precision.
        run: where it is kept.
        modules: what has a state by name: the model, and a loss with its proxies or its memory.
        optimiser: theirs.
        failures: images that could not be read, with reasons; more are added while training.
    """

    def __init__(
        self,
        fabric: Fabric | None,
        run: Run,
        modules: Mapping[str, nn.Module],
        optimiser: torch.optim.Optimizer,
        failures: dict[str, str],
    ):
        self._fabric, self._run = fabric, run
        self._modules, self._optimiser, self._failures = modules, optimiser, failures

    def save(self, step: int) -> None:
        """Write a checkpoint after `step` steps, all of it or nothing. Every process calls this; the first one writes."""
        failures = merge(self._failures)
        own = {"cpu": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None}
        random = collect(own)
        if self._fabric is not None and self._fabric.global_rank != 0:
            return
        state = {
            "version": VERSION,
            "step": step,
            "modules": {name: module.state_dict() for name, module in self._modules.items()},
            "optimiser": self._optimiser.state_dict(),
            "scaler": {} if self._fabric is None else self._fabric.strategy.precision.state_dict(),
            "random": random,
            "failures": failures,
        }
        with replacing(self._run.checkpoint_path) as temporary:
            torch.save(state, temporary)

    def restore(self) -> int:
        """Take up the run's checkpoint, if it has one, and return the number of steps done."""
        path = self._run.checkpoint_path
        for left in self._run.folder.glob(f".{path.name}.*"):
            left.unlink(missing_ok=True)  # a checkpoint that a kill cut short
        if not path.is_file():
            return 0
        state = load(path)
        for name, module in self._modules.items():
            module.load_state_dict(state["modules"][name])
        self._optimiser.load_state_dict(state["optimiser"])
        if self._fabric is not None:
            self._fabric.strategy.precision.load_state_dict(state["scaler"])
        self._failures |= state["failures"]
        restore_random(state["random"], 0 if self._fabric is None else self._fabric.global_rank)
        return state["step"]


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
