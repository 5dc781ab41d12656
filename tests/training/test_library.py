"""Losses of pytorch-metric-learning in training: over two processes, and killed and resumed."""

import dataclasses

import pytest
import torch
import torch.multiprocessing as mp
from safetensors.torch import load_file

import horosphere as hs
from horosphere import build
from horosphere import config as configs
from horosphere.config import LibraryConfig
from horosphere.spaces import Hyperbolic
from horosphere.training.distributed import average_gradients, gather, total

from . import tiny

pytest.importorskip("pytorch_metric_learning", reason="the extra `baselines` is not installed")

from horosphere.losses import from_pml, library

MARGIN = {"name": "MarginLoss", "options": {"learn_beta": True}, "miner": "DistanceWeightedMiner"}
PROXIES = {"name": "NormalizedSoftmaxLoss", "options": {"temperature": 0.2}}
MEMORY = {"name": "ContrastiveLoss", "options": {"distance": "similarity", "pos_margin": 1.0}, "memory": 20, "entropy": 0.7}


def two_steps(given, rank=0, world=1):
    """Values and gradients of two batches: the loss's own, and those of a linear head."""
    torch.manual_seed(0)
    head, space, given = torch.nn.Linear(6, 5), Hyperbolic(learnable_curvature=True), dict(given)
    model = torch.nn.Sequential(head, space)
    if world > 1:
        model = torch.nn.parallel.DistributedDataParallel(model)
    x, labels = torch.randn(2, 12, 6), torch.arange(4).repeat_interleave(3)
    loss = from_pml(given.pop("name"), space, classes=4, dim=5, **given.pop("options"), **given)
    own = [parameter for group in loss.parameter_groups() for parameter in group["params"]]
    rows = 12 // world
    torch.manual_seed(rank)  # as training does, so that dropout differs
    found = []
    for batch in x:
        points = gather(model(batch.chunk(world)[rank]))
        value = loss(points, labels, slice(rank * rows, (rank + 1) * rows) if world > 1 else None)
        (value * world).backward()
        average_gradients(own)
        found.append(total(value))
    return found + [parameter.grad for parameter in [*model.parameters(), *own]]


def of_one_rank(rank, world, folder, given):
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world)
    torch.save(two_steps(given, rank, world), f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("given", [MARGIN, PROXIES, MEMORY], ids=["margin", "proxies", "memory"])
def test_two_processes_have_the_loss_and_gradients_of_one(tmp_path, given):
    """Drawn triplets, proxies and memory included."""
    expected = two_steps(given)
    mp.spawn(of_one_rank, args=(2, str(tmp_path), given), nprocs=2)
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt")
        assert len(found) == len(expected)
        for a, b in zip(found, expected, strict=True):
            assert (a - b).norm() <= 1e-5 * b.norm()


@pytest.mark.parametrize(
    "given",
    [MARGIN, PROXIES, MEMORY | {"memory": 40, "memory_start": 1}],
    ids=["margin", "proxies", "memory"],
)
def test_stopped_and_resumed_ends_with_the_same_weights(tmp_path, monkeypatch, given):
    config = dataclasses.replace(tiny.config(steps=8), loss=LibraryConfig(**given, rate=10.0))
    expected = hs.train(config, tmp_path / "whole", progress=False)
    forward, calls = library.LibraryLoss.forward, []

    def killed(*arguments):
        calls.append(None)
        if len(calls) == 6:  # one step after the second checkpoint
            raise RuntimeError("killed")
        return forward(*arguments)

    monkeypatch.setattr(library.LibraryLoss, "forward", killed)
    with pytest.raises(RuntimeError, match="killed"):
        hs.train(config, tmp_path / "killed", progress=False)
    state = torch.load(tmp_path / "killed" / "checkpoint.pt", weights_only=True)
    assert state["step"] == 4 and state["modules"]["loss"]
    run = hs.resume(tmp_path / "killed", progress=False)
    assert len(calls) == 6 + 4
    weights, same = (load_file(each.model_path / "model.safetensors") for each in (expected, run))
    assert all(torch.equal(value, same[name]) for name, value in weights.items())
    assert [entry["loss"] for entry in run.metrics()] == [entry["loss"] for entry in expected.metrics()]


def test_a_config_means_its_loss(tmp_path):
    config = dataclasses.replace(tiny.config(), loss=LibraryConfig(**MARGIN, miner_options={"cutoff": 0.3}, rate=3.0))
    configs.write(config, tmp_path / "config.yaml")
    assert configs.read(tmp_path / "config.yaml") == config
    loss = build.loss(config, build.space(config.space), classes=7)
    assert type(loss.loss).__name__ == "MarginLoss" and loss.loss.beta.shape == (7,)
    assert loss.miner.cutoff == 0.3 and loss.parameter_groups()[0]["rate"] == 3.0
    with pytest.raises(hs.InputError, match=r"loss\.options has memory, which loss\.memory is for"):
        build.loss(dataclasses.replace(config, loss=LibraryConfig(options={"memory": 3})), build.space(config.space), 7)
    with pytest.raises(hs.InputError, match=r"loss\.memory=15 does not hold a batch of 16 images: raise it"):
        build.loss(dataclasses.replace(config, loss=LibraryConfig(memory=15)), build.space(config.space), 7)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"memory": -1}, "loss.memory is -1; expected a number of points"),
        ({"memory_start": 5}, "loss.memory_start is 5; expected .* 0 where there is no memory"),
        ({"entropy": -0.1}, "loss.entropy is -0.1; expected 0 or more"),
        ({"rate": 0.0}, "loss.rate is 0.0; expected a positive number"),
        ({"miner_options": {"margin": 0.1}}, "no loss.miner: name one"),
    ],
)
def test_a_config_out_of_range_is_refused(values, message):
    with pytest.raises(hs.InputError, match=message):
        LibraryConfig(**values)
