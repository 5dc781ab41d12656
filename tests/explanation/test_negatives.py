"""The section on negatives says what the numbers carry."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from horosphere.config import Config, ExplainConfig, PairwiseConfig, PointsConfig, ProxyAnchorConfig
from horosphere.data import save_arrays
from horosphere.explanation import NotHere, Subject, explain
from horosphere.explanation.negatives import negatives
from horosphere.report.document import Picture, Table
from horosphere.spaces import Hyperbolic, Mixed, Space, Sphere

OPTIONS = ExplainConfig(target=Path("unused"), anchors=30)


def made(
    space: Space, classes: int = 12, images: int = 4, pictures: bool = True, encodings: bool = True, **known
) -> Subject:
    """Clusters of points, with a flat image each."""
    generator = torch.Generator().manual_seed(0)
    labels = np.arange(classes * images) % classes
    features = torch.randn(classes, 6, generator=generator)[labels] + 0.7 * torch.randn(len(labels), 6, generator=generator)
    return Subject(
        "made",
        space,
        space(features).detach(),
        labels,
        tuple(f"class_{i}" for i in range(classes)),
        np.array([f"image {i}" for i in range(len(labels))]),
        encodings=features if encodings else None,
        image=(lambda position: np.full((8, 8, 3), position, np.uint8)) if pictures else None,
        **known,
    )


def of_kind(section, kind):
    return [block for block in section.blocks if isinstance(block, kind)]


def test_a_mixture_is_compared_part_by_part():
    subject = made(Mixed([Sphere(), Hyperbolic(curvature=1.0, clip=2.0)]))
    section = negatives(subject, OPTIONS, False)
    numbers = json.loads(json.dumps(section.numbers, allow_nan=False))
    ways = ["mixture", "sphere", "hyperbolic", "hyperbolic by cosine", "encoder"]
    assert list(numbers["geometries"]) == ways and (numbers["images"], numbers["anchors"]) == (48, 30)
    assert numbers["compared"] == ["sphere", "hyperbolic"] and len(numbers["shown"]) == 4
    overlap = numbers["overlap_of_6_hardest"]
    assert all(overlap[way][way] == 1 for way in ways) and overlap["sphere"]["hyperbolic"] < 1
    weights, common = of_kind(section, Table)
    assert len(weights.rows) == 2 * len(ways) and [row[0] for row in common.rows] == ways
    assert [picture.name for picture in of_kind(section, Picture)] == ["weights", "hard-negatives"]
    # Its distances are larger, so the ball's weight sits on fewer: and the sentence says so with the table's numbers.
    medians = {way: numbers["geometries"][way]["weights"]["0.2"]["effective"]["median"] for way in ("hyperbolic", "sphere")}
    assert medians["hyperbolic"] < medians["sphere"]
    said = next(block for block in section.blocks if isinstance(block, str) and "sits on fewer negatives than" in block)
    assert "At τ = 0.2 the weight of hyperbolic sits on fewer negatives than that of sphere" in said
    assert f"{medians['hyperbolic']:.1f} against {medians['sphere']:.1f}" in said


def test_the_sheet_shows_the_anchors_of_least_overlap():
    subject = made(Mixed([Sphere(), Hyperbolic(curvature=1.0, clip=2.0)]))
    section = negatives(subject, OPTIONS, False)
    (axes,) = of_kind(section, Picture)[1].figure.axes
    assert len(axes.images) == 4 * (2 + 2 * 6) and len(axes.patches) > 0
    assert sum("only here" in text.get_text() for text in axes.texts) == len(axes.patches)


def test_one_space_is_compared_with_its_cosine():
    section = negatives(made(Hyperbolic(radius=1.0), encodings=False, pictures=False), OPTIONS, False)
    assert section.numbers["compared"] == ["hyperbolic", "hyperbolic by cosine"] and "shown" not in section.numbers
    assert [picture.name for picture in of_kind(section, Picture)] == ["weights"]
    # On one radius hyperbolic distance ranks as cosine does.
    assert any("The two find the same negatives hard." in block for block in of_kind(section, str))


def test_a_sphere_alone_has_nothing_to_be_compared_with():
    section = negatives(made(Sphere(), encodings=False), OPTIONS, False)
    assert "compared" not in section.numbers and len(of_kind(section, Table)) == 1


def test_geometries_that_agree_have_no_sheet():
    section = negatives(made(Hyperbolic(radius=1.0), encodings=False), OPTIONS, False)
    assert section.numbers["shown"] == [] and [picture.name for picture in of_kind(section, Picture)] == ["weights"]
    assert any("no sheet shows them" in block for block in of_kind(section, str))


@dataclass(frozen=True)
class OfRun:
    """What the section reads of a run."""

    config: Config


def section_of(space: Space, **loss):
    return negatives(made(space, run=OfRun(Config(loss=PairwiseConfig(**loss)))), OPTIONS, False)


def words_and_panels(section):
    words, picture = section.blocks[0], next(block for block in section.blocks if isinstance(block, Picture))
    assert "which no loss ever saw" in picture.caption
    return words, [axes.get_title() for axes in picture.figure.axes]


def marked(section) -> list[tuple[str, str]]:
    return [(row[0], row[1]) for row in of_kind(section, Table)[0].rows if "(trained)" in row[1]]


def test_a_mixture_is_weighed_at_the_temperature_of_its_run():
    section = section_of(Mixed([Sphere(), Hyperbolic(radius=1.0)], weights=[10, 15]), temperature=0.5)
    words, panels = words_and_panels(section)
    assert panels == ["τ = 0.05", "τ = 0.2", "τ = 0.5"] and section.numbers["trained_at"] == {"mixture": 0.5}
    assert "trained at τ = 0.5, on the distance of the whole space, 10 D(sphere) + 15 D(hyperbolic)" in words
    assert marked(section) == [("mixture", "0.5 (trained)")]
    assert list(section.numbers["geometries"]["mixture"]["weights"]) == ["0.05", "0.2", "0.5"]


def test_geometries_are_matched_with_the_trained_one():
    section = section_of(
        Mixed([Sphere(), Hyperbolic(radius=1.0)], weights=[10, 0], learnable_weights=False), temperature=0.5
    )
    matched = json.loads(json.dumps(section.numbers["matched"], allow_nan=False))
    # With no weight on the ball the mixture is ten spheres.
    assert matched["geometry"] == "mixture" and matched["temperatures"]["sphere"] == pytest.approx(0.05, rel=1e-3)
    own = section.numbers["geometries"]["mixture"]["weights"]["0.5"]["effective"]["median"]
    assert matched["effective"] == pytest.approx(own, rel=1e-4)
    assert any(
        f"mixture weighs {own:.1f} negatives" in block and "sphere at τ = 0.05" in block for block in of_kind(section, str)
    )


def test_a_temperature_given_already_is_weighed_once():
    section = section_of(Sphere(), temperature=0.2)
    words, panels = words_and_panels(section)
    assert panels == ["τ = 0.05", "τ = 0.2"] and "trained at τ = 0.2." in words
    assert marked(section) == [("sphere", "0.2 (trained)")]


def test_losses_of_their_own_have_their_temperatures():
    section = section_of(Mixed([Sphere(), Hyperbolic()]), mixing="losses", part_temperatures=(0.1, 0.2))
    words, panels = words_and_panels(section)
    assert panels == ["τ = 0.05", "τ = 0.1", "τ = 0.2"] and "a loss a part, sphere at τ = 0.1 and hyperbolic" in words
    assert marked(section) == [("sphere", "0.1 (trained)"), ("hyperbolic", "0.2 (trained)")]
    shared = section_of(Mixed([Sphere(), Hyperbolic()]), mixing="losses", temperature=0.3)
    assert shared.numbers["trained_at"] == {"sphere": 0.3, "hyperbolic": 0.3}


def test_other_losses_have_no_temperature_of_their_own():
    section = negatives(made(Sphere(), run=OfRun(Config(loss=ProxyAnchorConfig()))), OPTIONS, False)
    assert words_and_panels(section)[1] == ["τ = 0.05", "τ = 0.2"] and marked(section) == []
    assert "trained_at" not in section.numbers and "trained at" not in section.blocks[0]


@pytest.mark.parametrize(("classes", "images", "words"), [(1, 4, "one class"), (5, 1, "no positives")])
def test_what_is_missing_is_said(classes, images, words):
    with pytest.raises(NotHere, match=words):
        negatives(made(Sphere(), classes, images), OPTIONS, False)


def test_a_file_of_points_is_explained(tmp_path):
    subject = made(Sphere())
    save_arrays(tmp_path / "points.npz", points=subject.points.numpy(), labels=subject.labels)
    target = tmp_path / "points.npz"
    options = ExplainConfig(
        target=target, points=PointsConfig(space="sphere"), sections=("neighbours", "negatives"), temperatures=(0.5,)
    )
    document, folder = explain(options, progress=False)
    assert [section.heading for section in document.sections] == ["Neighbours", "Negatives"]
    found = json.loads((folder / "explain.json").read_text())["sections"]
    assert "sphere" in found["neighbours"]["geometries"]
    assert list(found["negatives"]["geometries"]["sphere"]["weights"]) == ["0.5"]
    assert (folder / "weights.svg").exists() and "Negatives" in (folder / "report.html").read_text()
