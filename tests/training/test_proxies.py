"""Losses with proxies in the loop: several processes as one, and a kill in the middle."""

import dataclasses

import pytest
import torch
import torch.multiprocessing as mp
from safetensors.torch import load_file

import horosphere as hs
from horosphere import build
from horosphere import config as configs
from horosphere.config import ChestConfig, PartConfig, ProxyAnchorConfig, SoftTripleConfig, SpaceConfig
from horosphere.errors import InputError
from horosphere.losses import Chest, ProxyAnchor, SoftTriple
from horosphere.spaces import Hyperbolic, Mixed, Sphere
from horosphere.training import loop
from horosphere.training.distributed import average_gradients, gather, total

from . import tiny

LOSSES = {
    "soft-triple": lambda space: SoftTriple(space, 5, 3, 6),
    "proxy-anchor": lambda space: ProxyAnchor(space, 5, 6),
    "chest": lambda space: Chest(space, 5, 3, 6, multi_similarity="added"),
}


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.heads = torch.nn.Linear(6, 12)
        self.space = Mixed([Sphere(), Hyperbolic()], [1.0, 0.5])

    def forward(self, x):
        return self.space(self.heads(x).split(6, 1))


def make(name):
    torch.manual_seed(0)
    model = Model()
    return model, LOSSES[name](model.space), torch.randn(12, 6), torch.tensor([0, 0, 0, 3, 3, 3, 1, 1, 1, 4, 4, 4])


def gradients(model, loss):
    return {n: p.grad for module in (model, loss) for n, p in module.named_parameters()}


def of_one_rank(rank, world, folder):
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world)
    for name in LOSSES:
        model, loss, x, labels = make(name)
        wrapped = torch.nn.parallel.DistributedDataParallel(model)
        points = gather(wrapped(x.chunk(world)[rank]))
        rows = len(x) // world
        value = loss(points, labels, slice(rank * rows, (rank + 1) * rows))
        (world * value).backward()
        average_gradients(loss.parameters())
        torch.save({"loss": total(value), **gradients(model, loss)}, f"{folder}/{name}{rank}.pt")
    torch.distributed.destroy_process_group()


def test_loss_and_gradients_of_two_processes_are_those_of_one(tmp_path):
    mp.spawn(of_one_rank, args=(2, str(tmp_path)), nprocs=2)
    for name in LOSSES:
        model, loss, x, labels = make(name)
        value = loss(model(x), labels)
        value.backward()
        for rank in range(2):
            found = torch.load(tmp_path / f"{name}{rank}.pt")
            torch.testing.assert_close(found.pop("loss"), value.detach(), rtol=1e-5, atol=0)
            for parameter, gradient in gradients(model, loss).items():
                assert (found[parameter] - gradient).norm() <= 1e-5 * gradient.norm(), (name, parameter)


def config(loss, **changes):
    return dataclasses.replace(tiny.config(**changes), loss=loss)


@pytest.mark.parametrize("loss", [ChestConfig(centres=2, rate=5.0, anneal_steps=5), ProxyAnchorConfig(rate=5.0)])
def test_stopped_and_resumed_ends_with_the_same_weights_and_losses(tmp_path, monkeypatch, loss):
    chosen = config(loss, training={"log_every": 1})
    whole = hs.train(chosen, tmp_path / "whole", progress=False)

    def stop(*arguments):
        if arguments[2] == 4:
            raise RuntimeError("killed")
        return set_rate(*arguments)

    set_rate = loop.set_rate
    monkeypatch.setattr(loop, "set_rate", stop)
    with pytest.raises(RuntimeError, match="killed"):
        hs.train(chosen, tmp_path / "stopped", progress=False)
    monkeypatch.setattr(loop, "set_rate", set_rate)
    resumed = hs.resume(tmp_path / "stopped", progress=False)
    # The losses see the proxies and the triples drawn.
    assert [m["loss"] for m in resumed.metrics()] == [m["loss"] for m in whole.metrics()]
    for file in ("model/model.safetensors", "loss.safetensors"):
        expected, found = (load_file(run.folder / file) for run in (whole, resumed))
        assert expected and all(torch.equal(value, found[name]) for name, value in expected.items())
    assert resumed.report["rows"].keys() >= {"mixture", "sphere", "hyperbolic"}


def test_training_learns(tmp_path):
    run = hs.train(config(SoftTripleConfig(centres=2, rate=5.0), steps=60), tmp_path / "run", progress=False)
    losses = [entry["loss"] for entry in run.metrics()]
    assert losses[-1] < 0.9 * losses[0]


def test_the_encoder_stands_still_at_first(tmp_path):
    chosen = config(SoftTripleConfig(centres=2), steps=3, optimiser={"frozen_steps": 3})
    held, freed = (
        hs.train(c, tmp_path / str(i), progress=False)
        for i, c in enumerate(
            (chosen, dataclasses.replace(chosen, optimiser=dataclasses.replace(chosen.optimiser, frozen_steps=2)))
        )
    )
    torch.manual_seed(chosen.seed)
    before = build.embedder(chosen, build.data(chosen.data)).state_dict()
    moved = [
        {
            name
            for name, value in load_file(run.model_path / "model.safetensors").items()
            if not torch.equal(value, before[name])
        }
        for run in (held, freed)
    ]
    assert moved[0] and all(not name.startswith("encoder.") for name in moved[0])
    assert any(name.startswith("encoder.") for name in moved[1])


def test_frozen_steps_of_a_frozen_encoder_are_refused():
    chosen = config(SoftTripleConfig(), optimiser={"frozen_steps": 3}, model={"freeze": "all"})
    with pytest.raises(InputError, match=r"frozen_steps is for an encoder that trains.*set it to 0"):
        loop.check(chosen)


@pytest.mark.parametrize(
    ("loss", "space", "words"),
    [
        (ChestConfig(), SpaceConfig((PartConfig("sphere"),)), "needs a sphere and a ball.*given: Sphere"),
        (ChestConfig(hierarchy_temperature=0.0), tiny.config().space, "hierarchy_temperature=0.0: expected a positive"),
        (
            ChestConfig(),
            SpaceConfig((PartConfig("sphere"), PartConfig("hyperbolic")), learnable_weights=True),
            "set space.learnable_weights to false",
        ),
        (
            ChestConfig(),
            SpaceConfig((PartConfig("sphere"), PartConfig("hyperbolic", weight=0.0))),
            "head of a part of weight 0 stands still.*evaluation.rank_by",
        ),
        (SoftTripleConfig(centres=0), tiny.config().space, "centres=0: expected"),
        (SoftTripleConfig(), SpaceConfig((PartConfig("euclidean"),)), "give diameter="),
        (ProxyAnchorConfig(scale=-1.0), tiny.config().space, "scale=-1.0: expected"),
    ],
)
def test_bad_configs_teach(loss, space, words):
    chosen = dataclasses.replace(config(loss), space=space)
    with pytest.raises(InputError, match=words):
        build.loss(chosen, build.space(space), classes=10)


def test_an_unbounded_space_takes_a_diameter():
    space = SpaceConfig((PartConfig("euclidean"),))
    chosen = dataclasses.replace(config(SoftTripleConfig(diameter=9.0)), space=space)
    assert build.loss(chosen, build.space(space), classes=10).diameter == 9.0


@pytest.mark.parametrize("loss", [ChestConfig(scale=3.0), SoftTripleConfig(diameter=2.0), ProxyAnchorConfig(margin=0.5)])
def test_sections_are_written_and_read(tmp_path, loss):
    chosen = config(loss)
    configs.write(chosen, tmp_path / "config.yaml")
    assert configs.read(tmp_path / "config.yaml") == chosen
