import json
from pathlib import Path

import numpy as np
import pytest

from horosphere.config import ExplainConfig
from horosphere.errors import InputError
from horosphere.explanation import NotHere
from horosphere.explanation.hierarchy import hierarchy
from horosphere.report.document import Picture, Table
from horosphere.spaces import Hyperbolic

from . import made

OPTIONS = ExplainConfig(Path("run"), bootstrap=60)


def words(section):
    return " ".join(block for block in section.blocks if isinstance(block, str))


def pictures(section):
    return {block.name: block for block in section.blocks if isinstance(block, Picture)}


def texts(picture):
    return [text.get_text() for text in picture.figure.axes[0].texts]


def test_clusters_within_clusters_are_nearer_to_their_tree_than_random_trees():
    section = hierarchy(made.subject(made.mixed()), OPTIONS, False)
    found = section.numbers["agreement"]
    assert list(found) == [
        "hyperbolic, ancestors' depth",
        "mixture, average linkage",
        "sphere, average linkage",
        "hyperbolic, average linkage",
        "hyperbolic, ancestors' mean depth",
        "encoder, average linkage",
        "random",
    ]
    assert found["encoder, average linkage"]["dasgupta"] > 0.7 and found["encoder, average linkage"]["purity"] > 0.6
    linked = found["hyperbolic, average linkage"]["intervals"]["dasgupta"]
    assert linked[0] > found["random"]["intervals"]["dasgupta"][1]
    assert "By Dasgupta's cost the tree of hyperbolic, ancestors' depth is" in words(section)
    assert set(section.numbers["neighbours"]) == {"mixture", "sphere", "hyperbolic", "hyperbolic by cosine", "encoder"}
    near = section.numbers["neighbours"]["mixture"]
    assert near["distance"][1] < near["distance"][20] < near["chance"] and near["best"][1] == 0
    json.dumps(section.numbers, allow_nan=False)
    shown = texts(pictures(section)["hierarchy"])
    assert {"class 0", "class 23", "family0", "family5", "superclass"} <= set(shown)


def test_without_superclasses_there_is_only_the_tree():
    section = hierarchy(made.subject(superclasses=False), OPTIONS, False)
    assert (
        set(pictures(section)) == {"hierarchy", "hierarchy-linkage"} and section.numbers == {} and "--tree" in words(section)
    )
    assert not any(isinstance(block, Table) for block in section.blocks)
    assert "superclass" not in texts(pictures(section)["hierarchy"])


def test_a_tree_from_a_file_takes_the_superclasses_place(tmp_path):
    links = [("root", f"g{i % 5}") for i in range(5)] + [(f"g{i % 5}", f"class {i}") for i in range(24)]
    names = sorted({end for link in links for end in link})
    links = [{"source": a, "target": b} for a, b in links]
    path = tmp_path / "tree.json"
    path.write_text(json.dumps({"nodes": [{"id": name} for name in names], "links": links}))
    options = ExplainConfig(Path("run"), bootstrap=20, tree=path)
    section = hierarchy(made.subject(superclasses=False), options, False)
    # The file's tree has nothing to do with the points.
    assert abs(section.numbers["agreement"]["encoder, average linkage"]["dasgupta"]) < 0.5
    assert "g0" in texts(pictures(section)["hierarchy"])
    subject = made.subject(superclasses=False)
    object.__setattr__(subject, "classes", (*subject.classes, "zebra"))
    with pytest.raises(InputError, match="1 of 25 are unmatched"):
        hierarchy(subject, options, False)


def test_many_classes_are_drawn_as_superclasses_or_not_at_all(monkeypatch):
    monkeypatch.setattr("horosphere.explanation.hierarchy._DRAWN", 10)
    monkeypatch.setattr("horosphere.explanation.hierarchy._MEASURED", 20)
    section = hierarchy(made.subject(), OPTIONS, False)
    shown = texts(pictures(section)["hierarchy"])
    assert {f"family{i}" for i in range(5)} <= set(shown) and not any(text.startswith("class ") for text in shown)
    assert "Classes: 20 of 24, drawn by lot. Dasgupta" in words(section)
    assert "too many to draw" in words(hierarchy(made.subject(superclasses=False), OPTIONS, False))


def test_few_classes_have_numbers_and_no_verdict():
    section = hierarchy(made.subject(classes=8), OPTIONS, False)
    assert words(section).count("8 classes are too few to conclude anything") == 2  # of the trees, and of the mistakes
    assert "By Dasgupta's cost the tree of" not in words(section) and "mean distance of the" not in words(section)
    assert len(section.numbers["agreement"]) > 2 and section.numbers["neighbours"]


def test_what_is_not_told_apart_is_said_so():
    """By cosine the order on a fixed radius is the ball's own."""
    said = words(hierarchy(made.subject(Hyperbolic(radius=1.0)), OPTIONS, False))
    assert "is not told apart from that by hyperbolic by cosine (0.000" in said and "a tie" not in said


def test_superclasses_of_one_name_are_two():
    names = tuple(("bird" if i % 2 else "fish", "other") for i in range(24))
    subject = made.subject(superclasses=False)
    object.__setattr__(subject, "superclasses", names)
    section = hierarchy(subject, OPTIONS, False)
    assert {"bird / other", "fish / other"} <= set(texts(pictures(section)["hierarchy"]))
    assert "own superclass, of 2," in words(section)


def test_two_classes_are_no_tree():
    with pytest.raises(NotHere, match="there are 2"):
        hierarchy(made.subject(classes=2), OPTIONS, False)


def test_one_gallery_image_has_no_neighbours_to_judge():
    subject = made.subject(each=1, queries=np.arange(1, 24), gallery=np.array([0]))
    assert hierarchy(subject, OPTIONS, False).numbers["neighbours"] == {}
