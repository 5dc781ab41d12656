"""What a subject knows of its labels beyond their names."""

import json

import numpy as np

from horosphere.evaluation import LabelTree
from horosphere.explanation.labels import groups_of

CLASSES = tuple("abcdefgh")


def test_superclasses_of_one_name_have_what_is_above_them_in_theirs():
    above = (*[("bird", "other")] * 2, *[("fish", "other")] * 2, *[("fish", "shark")] * 2, *[("cat", "big")] * 2)
    groups = groups_of(CLASSES, above, None, np.arange(8))
    assert groups == ["bird / other"] * 2 + ["fish / other"] * 2 + ["shark"] * 2 + ["big"] * 2
    # The name of a superclass is the same whichever classes are asked.
    assert groups_of(CLASSES, above, None, np.array([0, 1, 4, 5])) == ["bird / other"] * 2 + ["shark"] * 2


def test_names_that_stay_alike_further_up():
    above = [(top, "middle", "low") for top in ("x", "x", "y", "y")] + [("x", "edge")] * 2 + [("y", "end")] * 2
    groups = groups_of(CLASSES, above, None, np.arange(8))
    assert groups[:4] == ["x / middle / low"] * 2 + ["y / middle / low"] * 2 and len(set(groups[4:])) == 4


def test_siblings_of_one_name(tmp_path):
    nodes = [{"id": "root"}, *({"id": i, "label": "same"} for i in range(2)), *({"id": name} for name in CLASSES)]
    links = [{"source": "root", "target": i} for i in range(2)]
    links += [{"source": int(name in "abcd"), "target": name} for name in CLASSES]
    path = tmp_path / "tree.json"
    path.write_text(json.dumps({"nodes": nodes, "links": links}))
    groups = groups_of(CLASSES, None, LabelTree.read(path, CLASSES), np.arange(8))
    assert len(set(groups[:4])) == len(set(groups[4:])) == 1 and groups[0] != groups[4]
