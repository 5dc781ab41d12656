"""The section on δ: of the training images where there are any, of every geometry, beside references."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import horosphere as hs
from horosphere.config import ExplainConfig
from horosphere.explanation import NotHere, Subject, explain
from horosphere.explanation.delta import delta

OPTIONS = ExplainConfig(Path("made"), samples=30, draws=3)


def test_a_collapsed_part_costs_its_row_alone():
    subject = made()
    sphere, ball = subject.space.split(subject.points)
    collapsed = replace(subject, points=torch.cat([sphere[:1].expand_as(sphere), ball], 1))
    section = delta(collapsed, OPTIONS, False)
    assert "sphere" not in section.numbers["rows"] and "hyperbolic" in section.numbers["rows"]
    assert any(isinstance(block, str) and block.startswith("No δ of sphere: ") for block in section.blocks)
    flat = Subject("flat", hs.Sphere(), sphere[:1].expand_as(sphere), subject.labels, subject.classes, subject.ids)
    with pytest.raises(NotHere, match="coincide"):
        delta(flat, OPTIONS, False)


def test_points_spread_over_a_sphere_are_not_told_from_it():
    generator = torch.Generator().manual_seed(3)
    points = hs.Sphere()(torch.randn(600, 16, generator=generator))
    subject = Subject("noise", hs.Sphere(), points, np.arange(600) % 4, tuple("abcd"), np.arange(600).astype(str))
    options = replace(OPTIONS, samples=100, draws=10)
    below = sum(" is below that" in delta(subject, replace(options, seed=seed), False).blocks[1] for seed in range(6))
    assert below <= 1


def made(count=80, seed=0):
    generator = torch.Generator().manual_seed(seed)
    space = hs.Mixed([hs.Sphere(), hs.Hyperbolic(curvature=0.5, clip=2.0)], weights=[1.0, 1.0])
    encodings = torch.randn(count, 6, generator=generator)
    labels, ids = np.arange(count) % 4, np.arange(count).astype(str)
    return Subject("made", space, space(encodings), labels, tuple("abcd"), ids, encodings=encodings)


def test_every_geometry_beside_references():
    subject = made()
    section = delta(subject, OPTIONS, False)
    rows = section.numbers["rows"]
    assert next(iter(rows)) == "features" and set(subject.ways) - {"features"} < set(rows) and "features by cosine" in rows
    assert rows["features"]["value"] == hs.relative_delta(subject.encodings, samples=30, draws=3).value
    _, part, points = subject.ways["hyperbolic"]
    assert rows["hyperbolic"]["value"] == hs.relative_delta(points, space=part, samples=30, draws=3).value
    assert rows["hyperbolic"]["curvature_used"] == 0.5 and rows["sphere"]["curvature_used"] is None
    references = section.numbers["references"]
    assert list(references) == ["sphere, 6 columns", "flat disc", "hyperbolic disc"]
    assert references["hyperbolic disc"]["value"] < 0.144 < references["flat disc"]["value"]
    # By Gromov products the δ of the hyperbolic plane is ln 2, which a disc of 400 points comes near to.
    disc = references["hyperbolic disc"]
    assert 0.9 < disc["value"] * disc["diameter"] / 2 / math.log(2) <= 1 + 1e-6
    assert "c = 0.5 (hyperbolic)" in section.blocks[0] and "images that are judged" in section.blocks[0]
    (axes, upper) = section.blocks[-1].figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == [*rows, *references]
    assert all(  # what stands above a δ is the c that it suggests
        float(label.get_text()) == pytest.approx((0.144 / tick) ** 2)
        for tick, label in zip(upper.get_xticks(), upper.get_xticklabels(), strict=True)
    )


def test_training_images_come_first():
    train = made(seed=1)
    section = delta(replace(made(), read_train=lambda: train), OPTIONS, False)
    assert section.numbers["of"] == "training images"
    assert section.numbers["rows"]["features"]["value"] == hs.relative_delta(train.encodings, samples=30, draws=3).value


def test_three_points_are_too_few():
    with pytest.raises(NotHere, match="four points or more, and there are 3"):
        delta(made(3), OPTIONS, False)


def test_through_a_file_of_points(tmp_path):
    rng = np.random.default_rng(0)
    points = hs.Sphere()(torch.from_numpy(rng.normal(size=(40, 3))))
    np.savez(tmp_path / "p.npz", points=points.numpy(), space=np.array([json.dumps(hs.Sphere().describe())]))
    document, folder = explain(ExplainConfig(tmp_path / "p.npz", sections=("delta",), draws=2), progress=False)
    numbers = json.loads((folder / "explain.json").read_text())["sections"]["delta"]
    assert list(numbers["rows"]) == ["sphere"] and numbers["rows"]["sphere"]["interval"] is None
    assert (folder / "delta.png").exists() and "no hyperbolic part" in document.text()
