"""The section says what the numbers carry, and no more."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from horosphere.config import ExplainConfig
from horosphere.explanation import NotHere
from horosphere.explanation.radius import radius
from horosphere.report.document import Picture, Table
from horosphere.spaces import Euclidean, Hyperbolic, Sphere

from . import made

OPTIONS = ExplainConfig(Path("run"), bootstrap=60)


def words(section):
    return " ".join(block for block in section.blocks if isinstance(block, str))


def pictures(section):
    return {block.name: block for block in section.blocks if isinstance(block, Picture)}


def table(section, start):
    return next(block for block in section.blocks if isinstance(block, Table) and block.header[0].startswith(start))


def confident(sign):
    """Images far out (or near, by the sign) lie where their class does; the others lie anywhere."""
    subject = made.subject(noise=0.05, each=20)
    rng = np.random.default_rng(0)
    lost = rng.random(len(subject)) < 0.4
    points = subject.points.clone()
    points[torch.from_numpy(lost)] = torch.randn(int(lost.sum()), 8, generator=torch.Generator().manual_seed(1))
    points /= points.norm(dim=1, keepdim=True)
    points *= torch.from_numpy(1 - sign * 0.3 * lost + 0.02 * rng.random(len(lost))).float()[:, None]
    object.__setattr__(subject, "points", points)
    return subject


@pytest.mark.parametrize(("sign", "side", "way"), [(1, "far out", "large"), (-1, "near the origin", "small")])
def test_a_radius_that_tells_right_from_wrong_is_believed_whichever_way(sign, side, way):
    section = radius(confident(sign), OPTIONS, False)
    own = section.numbers["correctness"]["selection"]["confidences"]["radius"]
    assert own["gain_interval"][0] > 0 and section.numbers["correctness"]["directions"]["radius"] == way
    assert f"queries {side} are right more often" in words(section)
    assert "the map knows more than the rate does." in words(section)
    assert section.numbers["correctness"]["calibration"]["hyperbolic"]["gain_interval"][0] > 0
    ends = ("outermost", "innermost") if sign > 0 else ("innermost", "outermost")
    assert f"24 {ends[0]} queries 100.0 % are right (95 %: 86.2 to 100.0 %)" in words(section)
    assert f"24 {ends[1]} queries" in words(section)
    assert section.numbers["correctness"]["aurc_the_other_way"]["radius"] > own["aurc"]


def test_a_random_radius_is_not_told_from_a_random_order():
    subject = made.subject(noise=0.9)
    directions = Sphere()(subject.points)
    drawn = torch.rand(len(subject), 1, generator=torch.Generator().manual_seed(0))
    object.__setattr__(subject, "points", directions * (1 + 0.1 * drawn))
    section = radius(subject, OPTIONS, False)
    low, high = section.numbers["correctness"]["selection"]["confidences"]["radius"]["gain_interval"]
    assert low < 0 < high and "cannot be told from a random order on these 12 classes (gain −" in words(section)
    low, high = section.numbers["correctness"]["calibration"]["hyperbolic"]["gain_interval"]
    assert low < 0 < high and "the map cannot be told from the rate on these 12 classes" in words(section)


def test_the_section_of_a_mixture_has_controls_depths_and_pictures():
    section = radius(made.subject(made.mixed(), noise=0.8), OPTIONS, False)
    rows = [row[0] for row in table(section, "confidence").rows]
    assert rows == ["radius", "norm of the encoding", "distance to the nearest"]
    assert set(pictures(section)) == {"radius-risk", "radius-calibration", "radius-depth-hyperbolic", "radius-examples"}
    assert "All classes lie at one depth" in words(section)
    assert section.numbers["depth"]["hyperbolic"]["nodes"] is not None
    json.dumps(section.numbers, allow_nan=False)
    risk = pictures(section)["radius-risk"].figure.axes[0]
    assert {"the best order", "a random order"} <= {line.get_label() for line in risk.lines}
    assert len(pictures(section)["radius-examples"].figure.axes[0].images) == 6 * 10


def test_two_parts_with_an_origin_have_a_radius_each():
    from horosphere.spaces import Mixed

    section = radius(made.subject(Mixed([Hyperbolic(clip=None), Euclidean()]), noise=0.8), OPTIONS, False)
    assert {"radius of hyperbolic", "radius of euclidean"} <= {row[0] for row in table(section, "confidence").rows}
    assert set(section.numbers["depth"]) == {"hyperbolic", "euclidean"}


def test_parts_without_weight_and_parts_of_one_radius_are_left_out():
    from horosphere.spaces import Mixed

    parts = [Hyperbolic(clip=None), Euclidean()]
    section = radius(made.subject(Mixed(parts, [1.0, 0.0]), noise=0.8), OPTIONS, False)
    assert set(section.numbers["depth"]) == {"hyperbolic"} and "n/a" not in words(section)
    section = radius(made.subject(Mixed([Hyperbolic(clip=1e-4), Euclidean()]), noise=0.8), OPTIONS, False)
    assert set(section.numbers["depth"]) == {"euclidean"}
    assert words(section).startswith("Statistics of the radius of hyperbolic are n/a: 100.0% of the points are at the clip.")


def test_what_the_section_says_of_depth():
    """Twelve classes deep in the tree, twelve right below its root; the deep ones far out, or near, or as the others."""
    superclasses = tuple(("beast", f"family{i // 4}") if i < 12 else () for i in range(24))

    def said(scale, superclasses=superclasses, **changes):
        subject = made.subject(superclasses=False, image=False, noise=0.2, **changes)
        deep = torch.from_numpy(subject.labels < 12)
        points = Sphere()(subject.points) * (
            1 + 0.05 * torch.rand(len(subject), 1, generator=torch.Generator().manual_seed(0))
        )
        points = torch.where(deep[:, None], scale * points, points)
        object.__setattr__(subject, "superclasses", superclasses)
        object.__setattr__(subject, "points", points)
        return words(radius(subject, OPTIONS, False))

    far, near, same = said(1.5), said(0.5), said(1.0)
    assert "midpoints of deeper classes lie farther out. The images of deeper classes lie farther out." in far
    assert "Nodes near the root lie nearer to the origin" in far
    assert "deeper classes lie nearer to the origin." in near
    assert "Nodes near the root do not lie nearer to the origin (rank correlation −0." in near
    assert "images of deeper classes cannot be told to lie farther out or nearer on these 24 classes" in same
    few = said(1.5, (("beast", "a"), ("beast", "a"), ()), classes=3, each=40)
    assert "3 classes are too few to conclude anything" in few and "deeper" not in few and "root" not in few


def test_a_bare_file_of_points_has_the_radius_and_the_distance():
    subject = made.subject(noise=0.8, superclasses=False, image=False, encodings=None)
    section = radius(subject, OPTIONS, False)
    assert [row[0] for row in table(section, "confidence").rows] == ["radius", "distance to the nearest"]
    assert set(pictures(section)) == {"radius-risk", "radius-calibration"} and "--tree" in words(section)


def test_queries_and_gallery_are_kept_apart():
    half = np.arange(24 * 12) % 2 == 0
    subject = made.subject(noise=0.8, queries=np.flatnonzero(half), gallery=np.flatnonzero(~half))
    found = radius(subject, OPTIONS, False).numbers["correctness"]["selection"]
    assert found["answers"] == 12 * 6


def test_where_there_is_too_little_nothing_is_concluded():
    assert "too few" in words(radius(made.subject(classes=6, noise=0.9), OPTIONS, False))
    section = radius(made.subject(noise=0.001), OPTIONS, False)
    assert "too few wrong answers" in words(section) and section.numbers["correctness"] == {"queries": 288, "error": 0.0}
    assert "cannot be judged" in words(radius(made.subject(each=1), OPTIONS, False))


def test_one_class_has_nothing_to_tell_apart():
    with pytest.raises(NotHere, match="one class"):
        radius(made.subject(classes=1), OPTIONS, False)


@pytest.mark.parametrize(
    ("space", "says"),
    [
        (Sphere(), "on a sphere"),
        (Hyperbolic(radius=1.0), "of hyperbolic are n/a: the radius varies by only 0.00% of its mean"),
        (Hyperbolic(clip=1e-4), "of hyperbolic are n/a: 100.0% of the points are at the clip. Take a larger clip"),
    ],
)
def test_a_subject_without_a_radius(space, says):
    with pytest.raises(NotHere, match=says):
        radius(made.subject(space), OPTIONS, False)
