import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from horosphere.errors import InputError
from horosphere.evaluation import LabelTree

CLASSES = ("cat", "dog", "trout", "rose")
SUPERCLASSES = (("animal", "mammal"), ("animal", "mammal"), ("animal", "fish"), ("plant",))


def small():
    return LabelTree.of_superclasses(CLASSES, SUPERCLASSES)


def chain(tree, node):
    return [] if node < 0 else [int(node), *chain(tree, tree.parents[node])]


def height(tree, node):
    return max((1 + height(tree, child) for child in np.flatnonzero(tree.parents == node)), default=0)


def write(path, links, labels=None, key="links"):
    ids = sorted({end for link in links for end in link})
    nodes = [{"id": name, "label": (labels or {}).get(name, name)} for name in ids]
    path.write_text(json.dumps({"nodes": nodes, key: [{"source": a, "target": b} for a, b in links]}))
    return path


def test_depths_heights_and_distances_of_a_small_tree():
    tree = small()
    assert tree.names[:4] == CLASSES and sorted(tree.names[4:]) == ["animal", "fish", "mammal", "plant", "root"]
    assert tree.depths[:4].tolist() == [3, 3, 3, 2] and tree.heights[:4].tolist() == [0, 0, 0, 0]
    every = np.arange(4)
    expected = np.array([[0, 1, 2, 3], [1, 0, 2, 3], [2, 2, 0, 3], [3, 3, 3, 0]]) / 3
    np.testing.assert_allclose(tree.distance(every[:, None], every), expected)
    assert tree.names[tree.meeting(0, 2)] == "animal"
    assert [tree.names[group] for group in tree.groups(every)] == ["mammal", "mammal", "fish", "rose"]
    assert [tree.names[group] for group in tree.groups(every, 2)] == ["animal", "animal", "animal", "plant"]
    assert tree.groups(np.array([0, 3])) is None


@given(st.lists(st.lists(st.sampled_from("abc"), max_size=4).map(tuple), min_size=2, max_size=12).filter(any))
def test_any_superclasses_make_a_tree_whose_distance_is_an_ultrametric(superclasses):
    tree = LabelTree.of_superclasses([str(i) for i in range(len(superclasses))], superclasses)
    assert (tree.parents < 0).sum() == 1 and len(tree.names) == len(tree)
    every = np.arange(tree.classes)
    assert tree.heights.tolist() == [height(tree, node) for node in range(len(tree))]
    assert tree.depths.tolist() == [len(chain(tree, node)) - 1 for node in range(len(tree))]
    d = tree.distance(every[:, None], every)
    for i in every:
        for j in every:
            met = next(node for node in chain(tree, i) if node in chain(tree, j))
            assert tree.meeting(i, j) == met and d[i, j] == tree.heights[met] / tree.heights.max()
    assert (d[:, None, :] <= np.maximum(d[:, :, None], d[None]) + 1e-12).all() and d.max() == 1


def test_a_file_is_read_by_labels_and_prunes_what_has_no_class(tmp_path):
    links = [("e", "x"), ("x", "m"), ("m", "1"), ("m", "2"), ("x", "f"), ("f", "3"), ("x", "unused"), ("f", "9")]
    path = write(tmp_path / "tree.json", links, {"1": "Maple Tree", "2": "oak-tree", "3": "3", "x": "plants"})
    tree = LabelTree.read(path, ["maple_tree", "oak_tree", "3"])
    # e joins nothing that x does not, so x is the root.
    assert sorted(tree.names) == ["3", "f", "m", "maple_tree", "oak_tree", "plants"]
    assert tree.distance(0, 1) == 0.5 and tree.distance(0, 2) == 1
    again = LabelTree.read(
        write(tmp_path / "edges.json", links, {"1": "maple_tree", "2": "oak_tree"}, "edges"), tree.names[:3]
    )
    assert again.parents.tolist() == tree.parents.tolist()


def test_a_class_above_another_gets_a_leaf_of_its_own(tmp_path):
    tree = LabelTree.read(
        write(tmp_path / "t.json", [("dog", "pug"), ("root", "dog"), ("root", "cat")]), ["dog", "pug", "cat"]
    )
    assert tree.distance(0, 1) == 0.5 and tree.distance(0, 2) == 1 and tree.heights[:3].tolist() == [0, 0, 0]


def test_several_roots_are_joined(tmp_path):
    tree = LabelTree.read(write(tmp_path / "t.json", [("a", "1"), ("b", "2"), ("b", "3")]), ["1", "2", "3"])
    assert tree.distance(1, 2) == 0.5 and tree.distance(0, 1) == 1


@pytest.mark.parametrize(
    ("links", "classes", "says"),
    [
        (
            [("a", "dolphinfish"), ("a", "2")],
            ["dolphin", "2", "zebra"],
            "2 of 3 are unmatched: 'dolphin' .near 'dolphinfish'.*'zebra'",
        ),
        ([("a", "1"), ("b", "1")], ["1"], "'1' has two parents"),
        ([("a", "b"), ("b", "a")], ["a"], "its own ancestor"),
        ([("a", "1"), ("a", "2")], ["1", "1"], "stand for two classes"),
    ],
)
def test_bad_trees(tmp_path, links, classes, says):
    with pytest.raises(InputError, match=says):
        LabelTree.read(write(tmp_path / "tree.json", links), classes)


def test_bad_files_and_superclasses(tmp_path):
    path = tmp_path / "tree.json"
    for content in ("{", '{"nodes": []}', '{"nodes": [{"id": 1}], "links": [{"source": 1}]}', "[]"):
        path.write_text(content)
        with pytest.raises(InputError, match="node-link JSON"):
            LabelTree.read(path, ["a"])
    with pytest.raises(InputError, match="node-link JSON"):
        LabelTree.read(tmp_path / "absent.json", ["a"])
    path.write_text('{"nodes": [{"id": "a"}], "links": [{"source": "a", "target": "b"}]}')
    with pytest.raises(InputError, match="one is no node's id"):
        LabelTree.read(path, ["a"])
    for superclasses in ((), ((), ()), (("x",),)):
        with pytest.raises(InputError, match="superclasses"):
            LabelTree.of_superclasses(["a", "b"], superclasses)


def test_the_wordnet_tree_of_cifar(shared):
    path = shared / "labels" / "nbdt_CIFAR10_graph-wordnet.json"
    labels = {node["label"]: node["id"] for node in json.loads(path.read_text())["nodes"]}
    tree = LabelTree.read(path, ["cat", "dog", "truck"])
    assert {"cat", "dog", "truck"} <= set(labels) and tree.distance(0, 1) < tree.distance(0, 2) == 1
