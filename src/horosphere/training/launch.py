"""Lightning Fabric, on as many processes as asked for."""

import logging
import os
import sys

import torch

try:
    from lightning_fabric import Fabric
    from lightning_fabric.utilities.seed import seed_everything
except ImportError:  # the same library inside the larger package
    from lightning.fabric import Fabric  # ty: ignore[import-not-found]
    from lightning.fabric.utilities.seed import seed_everything  # ty: ignore[import-not-found]

from ..config import LoopConfig
from ..errors import InputError

__all__ = ["Fabric", "has_gpu", "launch", "seed_everything"]

# Fabric tells what it was told.
logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
logging.getLogger("lightning.fabric").setLevel(logging.WARNING)


def has_gpu(training: LoopConfig) -> bool:
    """Whether a run computes on GPUs. Raises InputError where it is told to and there is none."""
    there = torch.cuda.is_available()
    if training.accelerator == "cuda" and not there:
        raise InputError("training.accelerator is cuda, but torch sees no GPU here: set it to cpu or auto")
    return there and training.accelerator != "cpu"


def launch(training: LoopConfig) -> Fabric:
    """As many processes as the config or torchrun says; each comes back from here."""
    local = int(os.environ.get("LOCAL_WORLD_SIZE", 0)) if "TORCHELASTIC_RUN_ID" in os.environ else 0
    devices = local or training.devices
    nodes = int(os.environ["WORLD_SIZE"]) // local if local else 1
    on_gpu, precision = has_gpu(training), training.precision
    if precision == "16-mixed" and not on_gpu:
        precision = "bf16-mixed"
        print("training.precision is 16-mixed, which needs a GPU: this CPU computes in bf16-mixed", file=sys.stderr)
    fabric = Fabric(
        accelerator="cuda" if on_gpu else "cpu",
        devices=devices,
        num_nodes=nodes,
        strategy="ddp" if devices * nodes > 1 else "auto",
        precision=precision,
    )
    fabric.launch()
    return fabric
