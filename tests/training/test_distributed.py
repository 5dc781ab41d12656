"""Two real processes on gloo against one process on the same global batch."""

import os
import subprocess
import sys

import pytest
import torch
import torch.multiprocessing as mp
from safetensors.torch import load_file

import horosphere as hs
from horosphere import config as configs
from horosphere.losses import ConvexCombination, PairwiseCrossEntropy
from horosphere.spaces import Hyperbolic, Mixed, Sphere
from horosphere.training.distributed import gather, total

from . import tiny


def make(make_loss):
    torch.manual_seed(0)
    # The shares of a convex combination are fixed; a parameter without gradient would keep the processes waiting.
    parts = [Sphere(), Hyperbolic(learnable_curvature=True)]
    space = Mixed(parts, [1.0, 1.0], learnable_weights=make_loss is not convex)
    model = torch.nn.ModuleDict({"linear": torch.nn.Linear(6, 5), "space": space})
    return model, torch.randn(12, 6), torch.arange(4).repeat_interleave(3)


class Model(torch.nn.Module):
    def __init__(self, modules):
        super().__init__()
        self.parts = modules

    def forward(self, x):
        return self.parts["space"](self.parts["linear"](x))


def pairwise(space):
    return PairwiseCrossEntropy(space)


def over_batch(space):
    return PairwiseCrossEntropy(space, negatives="batch")


def convex(space):
    return ConvexCombination(space, [PairwiseCrossEntropy(part) for part in space.parts], [0.25, 0.75])


def of_one_rank(rank, world, file, results, make_loss):
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=world)
    modules, x, labels = make(make_loss)
    model = Model(modules)
    wrapped = torch.nn.parallel.DistributedDataParallel(model)
    points = gather(wrapped(x.chunk(world)[rank]))
    rows = len(x) // world
    loss = make_loss(modules["space"])(points, labels, slice(rank * rows, (rank + 1) * rows))
    (world * loss).backward()
    torch.save({"loss": total(loss), **{n: p.grad for n, p in model.named_parameters()}}, f"{results}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize(("world", "make_loss"), [(2, convex), (2, over_batch), (4, pairwise)])
def test_loss_and_gradients_are_those_of_one_process(tmp_path, world, make_loss):
    modules, x, labels = make(make_loss)
    model = Model(modules)
    loss = make_loss(modules["space"])(model(x), labels)
    loss.backward()
    mp.spawn(of_one_rank, args=(world, str(tmp_path / "rendezvous"), str(tmp_path), make_loss), nprocs=world)
    for rank in range(world):
        found = torch.load(tmp_path / f"{rank}.pt")
        torch.testing.assert_close(found["loss"], loss.detach(), rtol=1e-5, atol=0)
        for name, parameter in model.named_parameters():
            relative = (found[name] - parameter.grad).norm() / parameter.grad.norm()
            assert relative < 1e-5, name


def run_cli(*arguments, cwd):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(arguments, capture_output=True, text=True, env=environment, cwd=cwd, timeout=300)
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.parametrize("launcher", ["devices", "torchrun"])
def test_two_processes_train_the_weights_of_one(tmp_path, launcher):
    # No dropout: each process would draw its own.
    options = {k: v for k, v in tiny.config().model.encoder_options.items() if k != "proj_drop_rate"}
    config = tiny.config(steps=4, model={"encoder_options": options})
    file = tmp_path / "config.yaml"
    configs.write(config, file)
    one = hs.train(config, tmp_path / "one", progress=False)
    command = ["horosphere", "train", "--config", str(file), "--run", str(tmp_path / "two")]
    if launcher == "devices":
        done = run_cli(sys.executable, "-m", *command, "--devices", "2", cwd=tmp_path)
    else:
        # Without the dashes torchrun would take --run for an abbreviation of an option of its own.
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "--"]
        done = run_cli(*torchrun, *command, cwd=tmp_path)
    assert done.stdout.count("report.html") == 1
    ours = load_file(tmp_path / "two" / "model" / "model.safetensors")
    theirs = load_file(one.model_path / "model.safetensors")
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-3, atol=1e-4)
    first, second = (hs.Run(tmp_path / name).metrics()[0] for name in ("one", "two"))
    # Adam would forgive gradients of the wrong scale; their norm does not.
    for value in ("loss", "gradient_norm"):
        assert second[value] == pytest.approx(first[value], rel=1e-4)


def test_batch_norms_that_processes_would_not_share_are_refused(tmp_path):
    config = tiny.config(
        model={"encoder": "test_resnet", "encoder_options": {}}, data={"size": 32, "resize": 32}, training={"devices": 2}
    )
    file = tmp_path / "config.yaml"
    configs.write(config, file)
    command = [sys.executable, "-m", "horosphere", "train", "--config", str(file), "--run", str(tmp_path / "two")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert done.returncode == 2 and "batch norms" in done.stderr
    assert not (tmp_path / "two").exists()
