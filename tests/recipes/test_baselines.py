"""Baselines: each recipe means a loss that its space takes, and each choice is one."""

from dataclasses import replace

import pytest
import torch

pytest.importorskip("pytorch_metric_learning", reason="the extra `baselines` is not installed")

from horosphere import build
from horosphere.config import LibraryConfig
from horosphere.recipes import get
from horosphere.recipes.baselines import BASELINES, IMAGES, RECALL, TRIALS
from horosphere.recipes.hyp_vit import DATA

SMALL = [f"{data}-{name}{ball}" for data in TRIALS for name in BASELINES for ball in ("", "-hyperbolic")]
ROWS = [
    f"{name}-{data}" if dim == 128 else f"{name}-{dim}-{data}" for (name, dim), cells in RECALL.items() for data in cells
]


def value_and_gradient(config):
    torch.manual_seed(0)
    space = build.space(config.space)
    loss = build.loss(config, space, classes=8)
    # As heads give them: with a common direction, so that cosines are near a half, and of norm near 1, or large.
    features = torch.randn(24, config.model.dim) + torch.randn(config.model.dim)
    features = features / (16 if config.model.normalise_encoding == "l2" else 1)
    features.requires_grad_()
    value = loss(space(features), torch.arange(8).repeat_interleave(3))
    value.backward()
    return value.item(), features.grad


@pytest.mark.parametrize("name", SMALL)
def test_a_baseline_and_its_choices_have_something_to_learn(name):
    recipe = get(name)
    config = recipe.config()
    ((option, values),) = recipe.choices.items()
    assert len(values) == 4
    found = []
    for choice in values:
        *_, last = option.split(".")
        changed = {last: choice} if option == f"loss.{last}" else {"options": config.loss.options | {last: choice}}
        value, gradient = value_and_gradient(replace(config, loss=replace(config.loss, **changed)))
        assert gradient.isfinite().all() and gradient.any()
        found.append(value)
    assert len(set(found)) >= 3  # the boundary of Margin is between hinges, so two may agree
    assert value_and_gradient(config)[0] in found  # the recipe's own value is one of them


@pytest.mark.parametrize("name", ROWS)
def test_a_published_row_is_whole(name):
    recipe = get(name)
    config = recipe.config()
    assert isinstance(config.loss, LibraryConfig) and config.evaluation.ks == DATA[config.data.layout].ks
    transformer = name.startswith("irt-r")
    assert config.model.encoder == ("deit_small_patch16_224.fb_in1k" if transformer else "resnet50.tv_in1k")
    assert config.loss.entropy == (0.7 if transformer else 0)
    assert config.model.dim == (512 if "-512-" in name else 128)
    if config.loss.memory:
        assert config.loss.memory == IMAGES[config.data.layout] and config.batch.classes * config.batch.images == 64
        config = replace(config, loss=replace(config.loss, memory_start=0, memory=100))
    assert "not run" in recipe.status and str(recipe.config().model.dim) in recipe.summary
    _, gradient = value_and_gradient(config)
    assert gradient.isfinite().all() and gradient.any()
