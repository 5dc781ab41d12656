"""What a line of metrics tells of points and gradients, alone and in runs."""

import math

import pytest
import torch

import horosphere as hs
from horosphere.config import PartConfig
from horosphere.evaluation import alignment, cosine_agreement, effective_rank, uniformity
from horosphere.losses import ConvexCombination, PairwiseCrossEntropy, SoftTriple
from horosphere.spaces import Euclidean, Hyperbolic, Mixed, Sphere
from horosphere.training.launch import Fabric
from horosphere.training.optimiser import gradient_norms, update
from horosphere.training.telemetry import PAIRED, ROWS, negatives_telemetry, points_telemetry, some

from . import tiny

SHARED = {"effective_rank", "alignment", "uniformity"}


def drawn(n=60, p=5, seed=0):
    return torch.randn(n, p, generator=torch.Generator().manual_seed(seed)), torch.arange(n) % 6


def test_each_part_is_told_by_its_name_and_one_space_by_none():
    features, labels = drawn()
    balls = Mixed([Sphere(), Hyperbolic(0.1), Hyperbolic(2.0, learnable_curvature=True)], learnable_weights=True)
    told = points_telemetry(balls, balls(features), labels)
    assert all(f"{name}/{figure}" in told for name in balls.names for figure in SHARED | {"weight"})
    assert {name for name in told if "cosine_correlation" in name} == {f"hyperbolic{i}/cosine_correlation" for i in (1, 2)}
    assert told["hyperbolic1/curvature"] == 0.1 and told["hyperbolic2/curvature"] == pytest.approx(2)
    assert sum(told[f"{name}/weight"] for name in balls.names) == pytest.approx(3)
    alone = points_telemetry(Hyperbolic(), Hyperbolic()(features), labels)
    assert SHARED | {"cosine_correlation", "clip_fraction", "curvature"} <= set(alone)
    assert set(points_telemetry(Euclidean(), features, labels)) >= SHARED


def test_a_small_batch_is_read_whole_and_a_large_one_in_part():
    space = Hyperbolic()
    features, labels = drawn()
    points = space(0.2 * features)
    told = points_telemetry(space, points.clone().requires_grad_(True), labels)
    assert told["effective_rank"] == effective_rank(points) and told["uniformity"] == uniformity(points)
    assert told["alignment"] == alignment(points, labels)
    assert told["cosine_correlation"] == pytest.approx(cosine_agreement(space, points).rank_correlation, abs=0.03)
    large = space(drawn(3000)[0])
    part = points_telemetry(space, large, torch.arange(3000) % 7)
    assert part == points_telemetry(space, large, torch.arange(3000) % 7)
    assert part["effective_rank"] == effective_rank(large[some(3000, ROWS)])
    assert part["uniformity"] == pytest.approx(uniformity(large), abs=0.05) and len(some(3000, PAIRED)) == PAIRED
    assert some(4, 10).tolist() == [0, 1, 2, 3]


def test_one_radius_ranks_as_cosine_and_one_point_has_no_figures():
    space = Hyperbolic(clip=0.1)
    features, labels = drawn()
    assert points_telemetry(space, space(features), labels)["cosine_correlation"] > 0.9999
    lonely = points_telemetry(space, space(features[:1]), labels[:1])
    assert all(math.isnan(lonely[name]) for name in ("alignment", "uniformity", "cosine_correlation"))


def test_negatives_are_told_where_a_loss_weighs_them():
    features, labels = drawn()
    mixed = Mixed([Sphere(), Hyperbolic()])
    points = mixed(features)
    assert set(negatives_telemetry(PairwiseCrossEntropy(mixed), points, labels)) == {
        "effective_negatives",
        "effective_negatives_share",
    }
    losses = [PairwiseCrossEntropy(mixed.parts[0], 1e-6), PairwiseCrossEntropy(mixed.parts[1], 1e6)]
    told = negatives_telemetry(ConvexCombination(mixed, losses, [0.5, 0.5]), points, labels)
    assert told["sphere/effective_negatives"] == pytest.approx(1, abs=0.05)
    assert told["hyperbolic/effective_negatives_share"] == pytest.approx(1)
    assert negatives_telemetry(SoftTriple(Sphere(), 6, 2, 5), Sphere()(features), labels) == {}


def test_gradient_norms_by_name_before_clipping():
    torch.manual_seed(0)
    first, second, third = (torch.nn.Parameter(torch.randn(4)) for _ in range(3))
    groups = [{"name": "a", "params": [first]}, {"name": "b", "params": [second]}, {"name": "a", "params": [third]}]
    still = torch.nn.Parameter(torch.ones(1))
    optimiser = torch.optim.SGD([*groups, {"name": "still", "params": [still]}], lr=0.0)
    (3 * first.sum() + second.sum() - 4 * third.sum()).backward()
    fabric = Fabric(accelerator="cpu")
    norms = gradient_norms(fabric, optimiser)
    assert {name: float(norm) for name, norm in norms.items()} == pytest.approx({"a": 10.0, "b": 2.0})
    whole = update(fabric, None, optimiser, 0.5)
    assert float(whole) == pytest.approx(math.hypot(*norms.values()))


def test_gradient_norms_are_told_unscaled():
    """As under float16, whose scaler multiplies the loss and unscales once a step."""
    parameter = torch.nn.Parameter(torch.ones(4))
    optimiser = torch.optim.SGD([{"name": "a", "params": [parameter]}], lr=0.0)

    class Precision:
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)

    class Scaled:
        class strategy:
            precision = Precision()

    Precision.scaler.scale((3 * parameter).sum()).backward()
    assert float(gradient_norms(Scaled, optimiser)["a"]) == pytest.approx(6)
    Precision.scaler.unscale_(optimiser)  # has not been done before, or this raises
    assert float(parameter.grad.norm()) == pytest.approx(6)


def test_runs_tell_gradients_and_points(tmp_path):
    parts = (PartConfig("sphere"), PartConfig("hyperbolic", learnable_curvature=True))
    config = tiny.config(steps=2, space={"parts": parts, "learnable_weights": True}, optimiser={"clip_norm": None})
    (entry,) = hs.train(config, tmp_path / "run", progress=False, page=False).metrics()
    gradients = {name for name in entry if name.startswith("gradient/")}
    assert gradients == {f"gradient/{name}" for name in ("encoder", "head/sphere", "head/hyperbolic", "space")}
    assert all(entry[name] > 0 for name in gradients) and "gradient_norm" not in entry
    assert entry["hyperbolic/weight"] + entry["sphere/weight"] == pytest.approx(2)
    assert 1 <= entry["hyperbolic/effective_rank"] <= 8 and -1 <= entry["hyperbolic/cosine_correlation"] <= 1
    assert 0 <= entry["sphere/alignment"] <= 4 and -8 <= entry["sphere/uniformity"] <= 0
    assert 1 <= entry["effective_negatives"] <= 12


def test_the_gradients_of_the_parts_make_the_whole_norm(tmp_path):
    config = tiny.config(steps=4, optimiser={"frozen_steps": 2})
    first, second = hs.train(config, tmp_path / "run", progress=False, page=False).metrics()
    assert "gradient/encoder" not in first and "gradient/encoder" in second  # it stood still
    for entry in (first, second):
        parts = [value for name, value in entry.items() if name.startswith("gradient/")]
        assert math.hypot(*parts) == pytest.approx(entry["gradient_norm"], rel=1e-5)
