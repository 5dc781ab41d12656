"""The section on neighbours: numbers of each geometry, and sheets of the best and worst queries."""

import json
from dataclasses import replace

import numpy as np
import pytest

from horosphere.explanation import NotHere
from horosphere.explanation.neighbours import neighbours
from horosphere.insight import answers
from horosphere.report.document import Picture, Table
from horosphere.spaces import Euclidean, Hyperbolic, Mixed, Sphere

from .test_negatives import OPTIONS, made, of_kind

MIXTURE = Mixed([Sphere(), Hyperbolic(curvature=1.0, clip=2.0)])
KIN = tuple(("any", "even_ones" if i % 2 == 0 else "odd") for i in range(12))


def test_each_geometry_is_counted_against_the_first():
    subject = made(MIXTURE, superclasses=KIN)
    section = neighbours(subject, replace(OPTIONS, anchors=1000), False)
    numbers = json.loads(json.dumps(section.numbers, allow_nan=False))
    assert numbers["queries"] == numbers["gallery"] == 48
    first = answers(subject.space, subject.points, subject.labels, np.arange(48))
    for name, (_, space, points) in subject.ways.items():
        own = answers(space, points, subject.labels, np.arange(48))
        counted = numbers["geometries"][name]
        assert counted["right"] == (own.rank == 0).mean()
        assert counted["right_where_first_is_wrong"] == ((own.rank == 0) & (first.rank > 0)).mean()
        assert counted["wrong_where_first_is_right"] == ((own.rank > 0) & (first.rank == 0)).mean()
        wrong = own.rank > 0
        kin = subject.labels[own.nearest[wrong]] % 2 == subject.labels[own.queries[wrong]] % 2
        assert counted["mistakes_in_superclass"] == kin.mean() and 0 < wrong.sum() < 48
    # Of the 44 wrong images five classes of four are of the query's half.
    assert any(f"by chance {100 * 20 / 44:.1f} %" in block for block in of_kind(section, str))
    (table,) = of_kind(section, Table)
    assert table.header[-1] == "mistakes in the right superclass" and table.rows[0][0] == "mixture"


def test_the_sheets_show_best_and_worst_queries():
    subject = made(MIXTURE, superclasses=KIN)
    section = neighbours(subject, replace(OPTIONS, anchors=1000), False)
    first = answers(subject.space, subject.points, subject.labels, np.arange(48))
    for picture, query in zip(
        of_kind(section, Picture), (first.margin.argmax(), np.lexsort((first.margin, -first.rank))[0]), strict=True
    ):
        (axes,) = picture.figure.axes
        assert axes.images[0].get_array().flat[0] == query and "even ones" in " ".join(t.get_text() for t in axes.texts)
    words = " ".join(text.get_text().replace("\n", " ") for text in axes.texts)
    assert f"{first.rank.max()} wrong before a right one" in words
    assert section.numbers["worst"][0] == f"image {query}"


def test_queries_are_drawn_and_meet_the_gallery_alone():
    subject = made(Sphere(), queries=np.arange(0, 24), gallery=np.arange(24, 48))
    section = neighbours(subject, replace(OPTIONS, anchors=9), False)
    assert (section.numbers["queries"], section.numbers["gallery"]) == (9, 24)
    assert "9 queries drawn at random against 24 images" in section.blocks[0]
    shown = section.numbers["best"] + section.numbers["worst"]
    assert shown and all(int(name.split()[1]) < 24 for name in shown)


def test_points_without_a_mistake_have_no_worst():
    subject = made(Euclidean(), classes=3)
    subject = replace(subject, points=subject.points * 0 + 100 * subject.points.new_tensor(subject.labels)[:, None])
    section = neighbours(replace(subject, encodings=None, superclasses=KIN[:3]), OPTIONS, False)
    assert section.numbers["worst"] == [] and len(section.numbers["best"]) == 3
    assert section.numbers["geometries"]["euclidean"]["mistakes_in_superclass"] is None
    assert [picture.name for picture in of_kind(section, Picture)] == ["best-queries"]


def test_what_is_missing_is_said():
    with pytest.raises(NotHere, match="no images to show"):
        neighbours(made(Sphere(), pictures=False), OPTIONS, False)
    with pytest.raises(NotHere, match="another image of its class"):
        neighbours(made(Sphere(), classes=4, images=1), OPTIONS, False)
