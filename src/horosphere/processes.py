"""Several processes as one: what each has, given to all."""

import os

import torch
import torch.distributed as dist
from torch import Tensor


def world_size() -> int:
    """How many processes work together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def collect(own) -> list:
    """What each process gives, in rank order; every process gets all of it."""
    if world_size() == 1:
        return [own]
    everyone: list = [None] * world_size()
    dist.all_gather_object(everyone, own)
    return everyone


def merge(own: dict) -> dict:
    """The dictionaries of all processes as one, which each of them gets."""
    return {key: value for each in collect(own) for key, value in each.items()}


def gathered(x: Tensor) -> Tensor:
    """Rows of all processes in rank order, (n, …) → (world · n, …), without gradient; every process has as many."""
    if world_size() == 1:
        return x.detach()
    rows = [torch.empty_like(x) for _ in range(world_size())]
    dist.all_gather(rows, x.detach().contiguous())
    return torch.cat(rows)


def share(total: int) -> slice:
    """This process's run of `total` things. Runs follow one another in rank order, and differ by one in length at most."""
    world = world_size()
    rank = dist.get_rank() if world > 1 else 0
    return slice(total * rank // world, total * (rank + 1) // world)


def is_first_process() -> bool:
    """Whether this is the process that writes and prints, also after the processes' group is gone."""
    return int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0"))) == 0
