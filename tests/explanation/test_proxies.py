"""Proxies of a run, placed as its loss places them."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from horosphere.config import ChestConfig, DataConfig, ExplainConfig, ModelConfig, PartConfig, SoftTripleConfig, SpaceConfig
from horosphere.data import save_arrays
from horosphere.errors import InputError
from horosphere.explanation import read_subject
from horosphere.explanation.hierarchy import hierarchy
from horosphere.explanation.proxies import proxies_of
from horosphere.report.document import Picture
from horosphere.runs import Run
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


def test_many_training_classes_are_drawn_by_lot_and_that_is_said(run, monkeypatch):
    monkeypatch.setattr("horosphere.explanation.hierarchy._MEASURED", 4)
    monkeypatch.setattr("horosphere.explanation.hierarchy._DRAWN", 3)
    options = ExplainConfig(run.folder, bootstrap=20)
    section = hierarchy(read_subject(options, progress=False), options, False)
    assert any(isinstance(block, str) and block.startswith("Classes: 4 of 6, drawn by lot.") for block in section.blocks)
    assert "6 training classes are too many to draw." in section.blocks and section.numbers["proxies"]


@pytest.mark.parametrize("change", ["renamed", "lacking", "another", "resized"])
def test_proxies_that_are_not_all_learned_are_refused(run, tmp_path, change):
    subject = read_subject(ExplainConfig(run.folder), progress=False)
    tensors = load_file(run.loss_path)
    name = next(name for name in tensors if "raw.0" in name)
    if change == "resized":
        tensors[name] = tensors[name][:-1]
    else:
        own = tensors[name] if change == "another" else tensors.pop(name)
        if change != "lacking":
            tensors["proxies.old"] = own.clone()
    other = shutil.copytree(run.folder, tmp_path / "run")
    save_file(tensors, Run.open(other).loss_path)
    changed = dataclasses.replace(subject, run=Run.open(other))
    with pytest.raises(InputError, match="does not fit the run's loss"):
        proxies_of(changed)


def test_where_the_training_data_is_gone_the_section_says_so(run):
    options = ExplainConfig(run.folder, bootstrap=20)
    subject = read_subject(options, progress=False)
    source = Path(run.retrieval.data.root)
    hidden = source.rename(source.with_suffix(".hidden"))
    try:
        section = hierarchy(subject, options, False)
    finally:
        hidden.rename(source)
    assert section.blocks[-1].startswith("Proxies: the training classes are not known: ") and "agreement" in section.numbers


def test_a_subject_without_a_run_has_none():
    from . import made

    assert proxies_of(made.subject()) is None
