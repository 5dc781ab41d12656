"""Two real processes on gloo against one process on the same global batch."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from PIL import Image
from safetensors.torch import load_file

import horosphere as hs
from horosphere import config as configs
from horosphere.data import FileImages, RetrievalData
from horosphere.errors import InputError
from horosphere.losses import ConvexCombination, PairwiseCrossEntropy
from horosphere.models import Embedder, embed_data
from horosphere.report import rewrite_report
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


def images_of_three(folder):
    """Of five files the first two and the last are broken."""
    folder.mkdir(exist_ok=True)
    for i in range(5):
        pixels = np.random.default_rng(i).integers(0, 255, (20, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    for i in (0, 1, 4):
        (folder / f"{i}.png").write_bytes(b"no image")
    files = FileImages(folder, [f"{i}.png" for i in range(5)])
    return RetrievalData("five", files, None, np.zeros(5, np.int64), ("a",), None, np.full(5, "test"))


def small_model():
    torch.manual_seed(0)
    options = {"img_size": 16, "patch_size": 8, "embed_dim": 24, "depth": 1, "num_heads": 2}
    return Embedder("vit_tiny_patch16_224", Hyperbolic(), dim=8, encoder_options=options)


def embeds_a_share(rank, world, folder):
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world)
    data = images_of_three(Path(folder) / f"images{rank}")
    embedded = embed_data(small_model(), data, distributed=True)
    with pytest.raises(InputError, match=r"none of the 2 images.*0\.png"):
        embed_data(small_model(), data.take([0, 1]), distributed=True)
    found = {"ids": embedded.data.ids.tolist(), "failures": [name for name, _ in embedded.failures]}
    torch.save(found | {"points": embedded.points, "encodings": embedded.encodings}, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("world", [2, 6])
def test_processes_embed_together_what_one_embeds(tmp_path, world):
    """Shares without a readable image, and without any, included."""
    mp.spawn(embeds_a_share, args=(world, str(tmp_path)), nprocs=world)
    alone = embed_data(small_model(), images_of_three(tmp_path / "images"))
    for rank in range(world):
        found = torch.load(tmp_path / f"{rank}.pt")
        assert found["ids"] == alone.data.ids.tolist() == ["2.png", "3.png"]
        assert found["failures"] == [name for name, _ in alone.failures] == ["0.png", "1.png", "4.png"]
        torch.testing.assert_close(found["points"], alone.points)
        torch.testing.assert_close(found["encodings"], alone.encodings)


def run_cli(*arguments, cwd):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(arguments, capture_output=True, text=True, env=environment, cwd=cwd, timeout=300)
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.parametrize("launcher", ["devices", "torchrun"])
def test_two_processes_train_the_weights_of_one(tmp_path, launcher):
    # No dropout: each process would draw its own.
    options = {k: v for k, v in tiny.config().model.encoder_options.items() if k != "proj_drop_rate"}
    config = tiny.config(
        steps=4,
        model={"encoder_options": options},
        batch={"classes": 2},
        training={"validate_every": 2},
        evaluation={"judge": "validation"},
    )
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
    # What the processes judged together is what one finds in their weights, but for the rounding of other batches.
    two = hs.Run(tmp_path / "two")
    together = two.report
    alone = rewrite_report(two, progress=False).to_dict()
    for name, row in alone["rows"].items():
        assert together["rows"][name]["queries"] == row["queries"]
        assert together["rows"][name]["recall@1"] == pytest.approx(row["recall@1"], abs=0.01)
        assert together["rows"][name]["map_at_r"] == pytest.approx(row["map_at_r"], abs=1e-3)
    assert [entry["step"] for entry in two.metrics() if "validation/recall@1" in entry] == [2, 4]
    first, second = (hs.Run(tmp_path / name).metrics()[0] for name in ("one", "two"))
    # Adam would forgive gradients of the wrong scale; their norm does not.
    for value in ("loss", "gradient_norm", "gradient/encoder", "gradient/head/hyperbolic"):
        assert second[value] == pytest.approx(first[value], rel=1e-4)
    # And what is told of the points is told of the whole batch.
    assert first.keys() == second.keys()
    for value in ("effective_rank", "alignment", "uniformity", "cosine_correlation"):
        assert second[f"hyperbolic/{value}"] == pytest.approx(first[f"hyperbolic/{value}"], rel=1e-3)


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
