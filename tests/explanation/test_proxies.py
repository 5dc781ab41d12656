"""Proxies of a run, placed as its loss places them."""

import dataclasses

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from horosphere.config import ChestConfig, DataConfig, ExplainConfig, ModelConfig, PartConfig, SoftTripleConfig, SpaceConfig
from horosphere.data import save_arrays
from horosphere.explanation import read_subject
from horosphere.explanation.hierarchy import hierarchy
from horosphere.explanation.proxies import proxies_of
from horosphere.report.document import Picture
from horosphere.spaces import Hyperbolic, Sphere
from horosphere.training import train

from ..training import tiny

PARTS = {"sphere": PartConfig("sphere"), "hyperbolic": PartConfig("hyperbolic")}
LOSSES = {
    "chest": (ChestConfig(centres=2), ("sphere", "hyperbolic")),
    "soft-triple": (SoftTripleConfig(centres=2), ("hyperbolic",)),
}


@pytest.fixture(scope="module", params=LOSSES)
def run(request, tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp(request.param), np.random.default_rng(0)
    labels = np.repeat(np.arange(12), 6)
    save_arrays(
        folder / "features.npz",
        features=rng.normal(size=(12, 5))[labels] + 0.1 * rng.normal(size=(72, 5)),
        labels=labels,
        classes=[f"class {i}" for i in range(12)],
        superclasses=[(f"super {i % 3}",) for i in range(12)],
        split=np.where(labels < 6, "train", "test"),
    )
    loss, kinds = LOSSES[request.param]
    config = dataclasses.replace(
        tiny.config(),
        data=DataConfig(layout="features", root=str(folder / "features.npz")),
        model=ModelConfig(None, dim=4, heads="split" if len(kinds) > 1 else "shared"),
        space=SpaceConfig(tuple(PARTS[kind] for kind in kinds)),
        loss=loss,
    )
    return train(config, folder / "run", progress=False, page=False)


def test_centroids_of_the_proxies_of_each_training_class(run):
    subject = read_subject(ExplainConfig(run.folder), progress=False)
    data, found = proxies_of(subject)
    assert [data.classes[label] for label in np.unique(data.labels)] == [f"class {i}" for i in range(6)]
    raw = load_file(run.loss_path)
    spaces = {"sphere": Sphere(), "hyperbolic": Hyperbolic()}
    for name, (space, points, norm) in found.items():
        kind = space.name
        prefix = "" if name == "proxies" else {"sphere": "spherical.", "hyperbolic": "hyperbolic."}[kind]
        placed = spaces[kind](raw[f"{prefix}proxies.raw.0"])
        expected = torch.cat([spaces[kind].centroids(placed[2 * c : 2 * c + 2], torch.zeros(2).long(), 1) for c in range(6)])
        torch.testing.assert_close(points, expected)
        assert (norm is not None) == (name == "proxies, hyperbolic")
    assert set(found) == ({"proxies"} if len(found) == 1 else {"proxies, sphere", "proxies, hyperbolic"})


def test_the_section_has_a_tree_of_them(run):
    options = ExplainConfig(run.folder, bootstrap=20)
    section = hierarchy(read_subject(options, progress=False), options, False)
    assert any(name.startswith("proxies") for name in section.numbers["proxies"])
    names = {block.name for block in section.blocks if isinstance(block, Picture)}
    assert names == {"hierarchy", "hierarchy-linkage", "hierarchy-proxies"}


def test_a_subject_without_a_run_has_none():
    from . import made

    assert proxies_of(made.subject()) is None
