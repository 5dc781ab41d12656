"""The section on the disk, for any space, with a tree, images and training points, or without."""

import json

import numpy as np
import pytest
import torch

from horosphere.config import ExplainConfig
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
    assert pictures(section) == ["disk", "disk-images", "disk-recentred", "disk-distances"]
    numbers = json.loads(json.dumps(section.numbers, allow_nan=False))
    assert numbers["points"] == 100 and numbers["layout"] == "stress" and numbers["images"] > 5
    assert 0 < numbers["disk"]["stress"] < 0.5 and 0 < numbers["flat"]["stress"] < 0.6
    left, right = section.blocks[2].figure.axes
    assert left.get_title() == "training images (n = 50 of 90)" and right.get_title() == "judged images (n = 50 of 90)"
    assert numbers["seen_from"].startswith(("class", "group"))


def test_points_alone_are_enough(tmp_path):
    section = disk(subject(Sphere(), rich=False), ExplainConfig(tmp_path), False)
    assert pictures(section) == ["disk", "disk-recentred", "disk-distances"] and section.numbers["points"] == 90
    assert section.numbers["disk"]["radius"] is None and section.numbers["centre"] == "mean"
    with pytest.raises(NotHere, match="five or more"):
        disk(subject(Sphere(), n=4, rich=False), ExplainConfig(tmp_path), False)
