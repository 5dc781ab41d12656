"""CHEST's recipes: the four data sets, and each space alone at equal budget."""

import dataclasses

import numpy as np
import pytest
import torch

from horosphere import build
from horosphere.losses import Chest, SoftTriple
from horosphere.recipes import get, names
from horosphere.report.judge import ways_to_rank

PUBLISHED = [f"chest-vit-{data}" for data in ("cub", "cars", "sop", "inshop")]
FAMILIES = ("omniglot", "cub-features")


def test_every_data_set_has_its_row():
    assert [name for name in names() if name.startswith("chest-")] == PUBLISHED
    for name in PUBLISHED:
        row = get(name)
        assert row.status == "not run: the images are not at hand" and "abstract" in row.deviations[0]
        assert len(row.choices["loss.scale"]) == 4


@pytest.mark.parametrize("name", [*PUBLISHED, *(f"{family}-chest" for family in FAMILIES)])
def test_chest_has_a_head_a_space_and_both_count_alike(name):
    config = get(name).config()
    assert config.model.heads == "split"
    space = build.space(config.space)
    loss = build.loss(config, space, classes=20)
    assert isinstance(loss, Chest) and loss.hierarchy is not None
    # The mixture ranks by the sum of the two similarities.
    sphere, ball = space.parts
    assert space.weights[0] * sphere.diameter == pytest.approx(space.weights[1] * ball.diameter)
    points = space([torch.randn(8, config.model.dim) for _ in range(2)])
    loss(points, torch.arange(8) // 2).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for group in loss.parameter_groups() for p in group["params"])
    assert list(ways_to_rank(space, points.detach()))[:3] == ["mixture", "sphere", "hyperbolic"]


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_encoder_stands_still_for_an_epoch(name):
    config = get(name).config()
    images = {"cub": 5_864, "cars": 8_054, "sop": 59_551, "inshop": 25_882}[config.data.layout]
    assert config.optimiser.frozen_steps == int(np.ceil(images / (config.batch.classes * config.batch.images)))


@pytest.mark.parametrize("family", FAMILIES)
def test_each_space_alone_has_all_else_in_common(family):
    whole, sphere, ball = (get(f"{family}-{name}").config() for name in ("chest", "soft-triple", "soft-triple-ball"))
    for config, part in ((sphere, whole.space.parts[0]), (ball, dataclasses.replace(whole.space.parts[1], weight=1.0))):
        assert config.space.parts == (part,)
        same = dataclasses.replace(
            whole,
            recipe=config.recipe,
            loss=config.loss,
            space=config.space,
            model=dataclasses.replace(whole.model, heads="shared"),
        )
        assert config == same
        shared = dataclasses.asdict(config.loss).keys() & dataclasses.asdict(whole.loss).keys() - {"kind"}
        assert all(getattr(config.loss, field) == getattr(whole.loss, field) for field in shared)
        assert isinstance(build.loss(config, build.space(config.space), classes=20), SoftTriple)
