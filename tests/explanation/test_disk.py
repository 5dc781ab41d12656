"""The section on the disk, for any space, with a tree, images and training points, or without."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from horosphere.config import ExplainConfig
from horosphere.errors import InputError
from horosphere.explanation import NotHere, Subject
from horosphere.explanation.disk import disk
from horosphere.report.document import Picture
from horosphere.spaces import Euclidean, Hyperbolic, Mixed, Sphere


def subject(space, n=90, classes=6, *, rich=True, seed=0) -> Subject:
    generator = torch.Generator().manual_seed(seed)
    labels = np.arange(n) % classes
    points = space(torch.eye(classes, 8)[labels] + 0.2 * torch.randn(n, 8, generator=generator))
    more = {}
    if rich:
        more = {
            "superclasses": tuple((f"group {i % 2}",) for i in range(classes)),
            "image": lambda position: np.full((8, 8, 3), position, np.uint8),
            "read_train": lambda: subject(space, n, classes, rich=False, seed=1),
        }
    return Subject(
        "small", space, points, labels, tuple(f"class {i}" for i in range(classes)), np.arange(n).astype(str), **more
    )


def pictures(section) -> list[str]:
    return [block.name for block in section.blocks if isinstance(block, Picture)]


@pytest.mark.parametrize("space", [Mixed([Sphere(), Hyperbolic(1.0)]), Euclidean()], ids=lambda s: s.name)
def test_everything_there_is_is_shown(space, tmp_path):
    section = disk(subject(space), ExplainConfig(tmp_path, disk_points=100), False)
    own = ["disk-hyperbolic"] if isinstance(space, Mixed) else []
    assert pictures(section) == ["disk", *own, "disk-images", "disk-recentred", "disk-distances"]
    numbers = json.loads(json.dumps(section.numbers, allow_nan=False))
    assert numbers["curvature_chosen"] in ("stress", "most curved", "flattest") and numbers["own_curvature"] is None
    if own:
        # Points of eight dimensions, so that the plane keeps their order and not every radius.
        assert numbers["disk_hyperbolic"]["own_curvature"] == 1 and 0 < numbers["disk_hyperbolic"]["stress"] < 0.5
        assert numbers["disk_hyperbolic"]["radius"] > 0.8 and numbers["disk_hyperbolic"]["centre"] == "origin"
    assert numbers["points"] == 100 and numbers["layout"] == "stress" and numbers["images"] > 5
    assert 0 < numbers["disk"]["stress"] < 0.5 and 0 < numbers["flat"]["stress"] < 0.6
    left, right = section.blocks[2].figure.axes
    assert left.get_title() == "training images (n = 50 of 90)" and right.get_title() == "judged images (n = 50 of 90)"
    assert numbers["seen_from"].startswith(("class", "group"))


def test_the_curvature_is_said_to_be_what_chose_it(tmp_path):
    own = disk(subject(Hyperbolic(1.0, None), n=40, rich=False), ExplainConfig(tmp_path), False)
    bound = disk(subject(Sphere(), classes=8, rich=False), ExplainConfig(tmp_path), False)
    assert own.numbers["curvature_chosen"] == "space" and "c = 1, the model's own" in own.blocks[0]
    assert bound.numbers["curvature_chosen"] == "most curved" and "says nothing of the data's curvature" in bound.blocks[0]
    assert "data chose" not in own.blocks[0] + bound.blocks[0]


SPACES = [
    Sphere(),
    Euclidean(),
    Hyperbolic(),
    Hyperbolic(clip=None),
    Hyperbolic(radius=1.0),
    Mixed([Sphere(), Hyperbolic()]),
]


@pytest.mark.parametrize("space", SPACES, ids=repr)
@pytest.mark.parametrize("size", [0.0, 0.3, 40.0])
def test_a_collapsed_model_is_said_to_be_one(space, size, tmp_path):
    points = space(torch.full((60, 8), size))
    one = Subject("one", space, points, np.arange(60) % 3, ("a", "b", "c"), np.arange(60).astype(str))
    with pytest.raises(NotHere, match="all points coincide"):
        disk(one, ExplainConfig(tmp_path), False)


def test_a_collapsed_part_has_no_disk_of_its_own(tmp_path):
    space = Mixed([Sphere(), Hyperbolic(1.0)])
    whole = subject(space, n=40, rich=False)
    sphere, ball = space.split(whole.points)
    section = disk(replace(whole, points=torch.cat([sphere, ball[:1].expand_as(ball)], 1)), ExplainConfig(tmp_path), False)
    assert pictures(section) == ["disk", "disk-recentred", "disk-distances"]


@pytest.mark.parametrize("layout", ["stress", "umap"])
def test_the_fewest_points_that_may_be_asked_for(layout, tmp_path):
    if layout == "umap":
        pytest.importorskip("umap")
    with pytest.raises(InputError, match="10 or more"):
        ExplainConfig(tmp_path, disk_points=9)
    section = disk(subject(Euclidean()), ExplainConfig(tmp_path, disk_points=10, layout=layout), False)
    assert section.numbers["points"] == 10 and "disk-images" in pictures(section)


def test_points_alone_are_enough(tmp_path):
    section = disk(subject(Sphere(), rich=False), ExplainConfig(tmp_path), False)
    assert pictures(section) == ["disk", "disk-recentred", "disk-distances"] and section.numbers["points"] == 90
    assert section.numbers["disk"]["radius"] is None and section.numbers["centre"] == "mean"
    with pytest.raises(NotHere, match="five or more"):
        disk(subject(Sphere(), n=4, rich=False), ExplainConfig(tmp_path), False)
