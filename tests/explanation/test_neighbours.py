"""The section on neighbours: numbers of each geometry, and sheets of the best and worst queries."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from horosphere.evaluation import class_bootstrap, evaluate_retrieval
from horosphere.explanation import NotHere
from horosphere.explanation.neighbours import neighbours
from horosphere.insight import answers
from horosphere.report.document import Picture, Table
from horosphere.spaces import Euclidean, Hyperbolic, Mixed, Sphere

from .test_negatives import OPTIONS, made, of_kind

MIXTURE = Mixed([Sphere(), Hyperbolic(curvature=1.0, clip=2.0)])
KIN = tuple(("any", "even_ones" if i % 2 == 0 else "odd") for i in range(12))


def judged(subject, space, points):
    return evaluate_retrieval(
        points, subject.labels, space, (1,), queries=subject.queries, gallery=subject.gallery, bootstrap=OPTIONS.bootstrap
    )


def test_each_geometry_is_counted_against_the_first():
    subject = made(MIXTURE, superclasses=KIN)
    section = neighbours(subject, OPTIONS, False)
    numbers = json.loads(json.dumps(section.numbers, allow_nan=False))
    assert numbers["queries"] == numbers["gallery"] == 48
    first = judged(subject, subject.space, subject.points).per_query["rank"] == 0
    for name, (_, space, points) in subject.ways.items():
        report = judged(subject, space, points)
        own, right, counted = report.per_query, report.per_query["rank"] == 0, numbers["geometries"][name]
        assert counted["right"] == report.recall[1] == right.mean()
        assert tuple(counted["right_interval"]) == report.intervals["recall@1"]
        assert ("more_right_than_first" in counted) == (name != "mixture")
        columns = {
            "more_right_than_first": right.astype(float) - first,
            "right_where_first_is_wrong": right & ~first,
            "wrong_where_first_is_right": ~right & first,
        }
        for key, column in columns.items() if name != "mixture" else ():
            assert counted[key] == pytest.approx(column.mean())
            expected = class_bootstrap(column[:, None].astype(float), subject.labels, draws=OPTIONS.bootstrap)[0]
            assert counted[f"{key}_interval"] == pytest.approx(expected.tolist())
        kin = (subject.labels[own["nearest"]] % 2 == subject.labels % 2)[~right]
        assert counted["mistakes_in_superclass"] == kin.mean() and 0 < right.sum() < 48
        low, high = counted["mistakes_in_superclass_interval"]
        assert 0 <= low <= kin.mean() <= high <= 1 and low < high
    # Of the 44 wrong images five classes of four are of the query's half.
    assert any(f"by chance {100 * 20 / 44:.1f} %" in block for block in of_kind(section, str))
    (table,) = of_kind(section, Table)
    assert table.header[-1] == "mistakes in the right superclass" and table.rows[0][0] == "mixture"
    assert table.rows[0][2:5] == ["", "", ""] and table.rows[1][2][0] in "+−"


def test_right_first_is_recall_at_1_of_copies_too():
    """Rounding would tell copies of an image apart."""
    space = Hyperbolic(curvature=0.1)
    generator = torch.Generator().manual_seed(0)
    points = space(torch.randn(100, 32, generator=generator)).repeat(7, 1)
    labels = np.random.default_rng(0).integers(0, 12, len(points))
    subject = replace(made(space), points=points, labels=labels, ids=np.arange(len(points)).astype(str), encodings=None)
    numbers = neighbours(replace(subject, image=None), OPTIONS, False).numbers["geometries"]
    for name, (_, way, own) in subject.ways.items():
        assert numbers[name]["right"] == judged(subject, way, own).recall[1] < 1


def test_the_sheets_show_best_and_worst_queries():
    subject = made(MIXTURE, superclasses=KIN)
    section = neighbours(subject, OPTIONS, False)
    report = judged(subject, subject.space, subject.points)
    first = answers(report, subject.space, subject.points, subject.labels)
    for picture, query in zip(
        of_kind(section, Picture), (first.margin.argmax(), np.lexsort((first.margin, -first.rank))[0]), strict=True
    ):
        (axes,) = picture.figure.axes
        assert axes.images[0].get_array().flat[0] == query and "even ones" in " ".join(t.get_text() for t in axes.texts)
    words = " ".join(text.get_text().replace("\n", " ") for text in axes.texts)
    assert f"{first.rank.max()} wrong before a right one" in words
    assert section.numbers["worst"][0] == f"image {query}"


def test_all_queries_meet_the_gallery_alone():
    subject = made(Sphere(), queries=np.arange(0, 24), gallery=np.arange(24, 48))
    section = neighbours(subject, replace(OPTIONS, anchors=9), False)
    assert (section.numbers["queries"], section.numbers["gallery"]) == (24, 24)
    assert "24 queries against 24 images" in section.blocks[0]
    shown = section.numbers["best"] + section.numbers["worst"]
    assert shown and all(int(name.split()[1]) < 24 for name in shown)


def test_points_without_images_have_numbers():
    with_images, without = (neighbours(made(MIXTURE, pictures=own), OPTIONS, False) for own in (True, False))
    shared = with_images.numbers["geometries"].keys() & without.numbers["geometries"].keys()
    assert {"mixture", "sphere", "hyperbolic"} <= shared
    assert all(with_images.numbers["geometries"][name] == without.numbers["geometries"][name] for name in shared)
    assert of_kind(without, Picture) == [] and any("no images" in block for block in of_kind(without, str))


def test_points_without_a_mistake_have_no_worst():
    subject = made(Euclidean(), classes=3)
    subject = replace(subject, points=subject.points * 0 + 100 * subject.points.new_tensor(subject.labels)[:, None])
    section = neighbours(replace(subject, encodings=None, superclasses=KIN[:3]), OPTIONS, False)
    assert section.numbers["worst"] == [] and len(section.numbers["best"]) == 3
    assert section.numbers["geometries"]["euclidean"]["mistakes_in_superclass"] is None
    assert [picture.name for picture in of_kind(section, Picture)] == ["best-queries"]


def test_what_is_missing_is_said():
    with pytest.raises(NotHere, match="own class left out"):
        neighbours(made(Sphere(), classes=1), OPTIONS, False)
    with pytest.raises(NotHere, match="another image of its class"):
        neighbours(made(Sphere(), classes=4, images=1), OPTIONS, False)
