import numpy as np
import pytest
import torch

from horosphere.errors import InputError
from horosphere.evaluation import (
    LabelTree,
    average_linkage,
    dasgupta_cost,
    dendrogram_purity,
    radius_by_depth,
    random_dendrogram,
    rank_correlation,
    tree_agreement,
)
from horosphere.spaces import Hyperbolic, Sphere

# Twelve classes: three superclasses of four, of which the first two share one more.
SUPERCLASSES = [("top", "a")] * 4 + [("top", "b")] * 4 + [("c",)] * 4
TREE = LabelTree.of_superclasses([str(i) for i in range(12)], SUPERCLASSES)
EVERY = np.arange(12)


def similarities():
    values = 1 - TREE.distance(EVERY[:, None], EVERY)
    np.fill_diagonal(values, 0)
    return values


def test_measures_are_dasguptas_and_the_purity_of_heller():
    trees = {"one": random_dendrogram(12, 1), "two": random_dendrogram(12, 2)}
    groups = EVERY // 4
    found = tree_agreement(trees, TREE, EVERY, groups, draws=0)
    s = similarities()
    best = dasgupta_cost(average_linkage(s), s)
    random = s.sum() / 2 * 2 * 13 / 3
    assert random == pytest.approx(np.mean([dasgupta_cost(random_dendrogram(12, i), s) for i in range(2000)]), rel=0.01)
    for name, tree in trees.items():
        assert found[name].dasgupta == pytest.approx((random - dasgupta_cost(tree, s)) / (random - best))
        assert found[name].purity == pytest.approx(dendrogram_purity(tree, groups))
        assert found[name].intervals == {} and found[name].differences == {}
    assert abs(found["random"].dasgupta) < 0.2


def test_the_label_tree_itself_scores_one_however_it_is_resolved():
    for seed in range(3):
        jitter = np.random.default_rng(seed).random((12, 12)) * 1e-6
        tree = average_linkage(similarities() + jitter + jitter.T)
        found = tree_agreement({"true": tree, "other": random_dendrogram(12, seed)}, TREE, EVERY, EVERY // 4, draws=200)
        assert found["true"].dasgupta == pytest.approx(1) and found["true"].purity == pytest.approx(1)
        for name in ("other", "random"):
            difference, (low, high) = found[name].differences["dasgupta"]
            assert low < difference < high and low > 0
        assert found["random"].intervals["dasgupta"][1] < found["true"].intervals["dasgupta"][0]


def test_some_classes_of_a_tree_in_any_order():
    chosen = np.array([9, 0, 5, 1, 10])
    s = similarities()[np.ix_(chosen, chosen)]
    found = tree_agreement({"true": average_linkage(s)}, TREE, chosen, chosen // 4, draws=10)
    assert found["true"].dasgupta == pytest.approx(1) and found["true"].purity == 1


def test_without_levels_or_groups_there_is_nothing_to_measure():
    flat = LabelTree.of_superclasses(list("abcd"), [("x",), ("y",), ("z",), ()])
    found = tree_agreement({"one": random_dendrogram(4)}, flat, np.arange(4))["one"]
    assert found.dasgupta is None and found.purity is None and found.to_dict()["intervals"] == {}


def test_leaves_and_classes_must_fit():
    with pytest.raises(ValueError, match="3 leaves for 12"):
        tree_agreement({"one": random_dendrogram(3)}, TREE, EVERY)


def planted(depth_of_class, seed=0):
    """Twelve classes of ten images in directions of their own, at radii that follow a depth."""
    generator = torch.Generator().manual_seed(seed)
    labels = np.repeat(EVERY, 10)
    directions = Sphere()(torch.randn(12, 6, generator=generator))[torch.from_numpy(labels)]
    radii = 0.3 + 0.4 * torch.from_numpy(depth_of_class[labels]).float()
    return directions * (radii + 0.02 * torch.randn(120, generator=generator))[:, None], labels


def test_radii_that_follow_the_depth_are_found_and_those_that_do_not_are_not():
    space, depth = Hyperbolic(), TREE.depths[:12]
    found = radius_by_depth(*planted(depth), space, TREE, draws=200, shuffles=50)
    assert found.intervals["classes"][0] > 0.5 and found.intervals["images"][0] > 0.5
    points, labels = planted(np.random.default_rng(1).permutation(depth))
    for seed in range(2):
        none = radius_by_depth(points, labels, space, TREE, draws=200, shuffles=50, seed=seed)
        assert none.intervals["classes"][0] < 0 and none.shuffled[0] < none.shuffled[1]


def test_correlations_are_of_the_midpoints():
    space = Hyperbolic()
    points, labels = planted(TREE.depths[:12])
    found = radius_by_depth(points, labels, space, TREE, draws=10, shuffles=10)
    means = space.centroids(points, torch.from_numpy(labels), 12)
    radius, depth = space.radius(means).numpy(), TREE.depths[:12]
    assert found.classes == pytest.approx(rank_correlation(radius, depth))
    assert found.images == pytest.approx(rank_correlation(space.radius(points).numpy(), depth[labels]))
    assert sorted(TREE.names[node] for node in found.node[12:]) == ["a", "b", "c", "root", "top"]
    for node, own in zip(found.node[12:], found.radius[12:], strict=True):
        below = [i for i in range(12) if node in TREE.paths[i]]
        expected = space.radius(space.centroids(means[below], torch.zeros(len(below), dtype=torch.int64), 1))
        assert own == pytest.approx(float(expected), rel=1e-5)
    assert (found.depth == TREE.depths[found.node]).all() and set(found.to_dict()) >= {"nodes", "shuffled"}


def test_the_size_of_a_class_is_not_taken_for_its_depth():
    """Deep classes of two images and shallow ones of twenty, all alike but for that."""
    tree = LabelTree.of_superclasses([str(i) for i in range(40)], [("a", "b") if i % 2 else () for i in range(40)])
    generator, space = torch.Generator().manual_seed(0), Hyperbolic(clip=None)
    labels = np.repeat(np.arange(40), np.where(np.arange(40) % 2, 2, 20))
    points = 0.5 * torch.randn(len(labels), 6, generator=generator)
    everything = space.radius(space.centroids(points, torch.from_numpy(labels), 40)).numpy()
    assert rank_correlation(everything, tree.depths[:40]) > 0.7
    found = radius_by_depth(points, labels, space, tree, draws=200, shuffles=5)
    low, high = found.intervals["classes"]
    assert low < 0 < high and found.each == 2


def test_nodes_with_the_same_classes_count_once():
    tree = LabelTree.of_superclasses(list("abcd"), [("x", "y")] * 2 + [("z",)] * 2)
    found = radius_by_depth(torch.randn(8, 3) / 4, np.arange(8) % 4, Hyperbolic(), tree, draws=5, shuffles=5)
    assert sorted(tree.names[node] for node in found.node[4:]) == ["root", "y", "z"]


def test_one_depth_has_no_correlation():
    tree = LabelTree.of_superclasses(list("abcd"), [("x",), ("x",), ("y",), ("y",)])
    found = radius_by_depth(torch.randn(8, 3), np.arange(8) % 4, Hyperbolic(clip=None), tree, draws=5, shuffles=5)
    assert found.classes is None and found.images is None and found.intervals == {} and found.nodes is not None


@pytest.mark.parametrize(
    ("space", "labels", "says"),
    [
        (Sphere(), np.arange(8), "no radius"),
        (Hyperbolic(), np.arange(7), "labels of shape"),
        (Hyperbolic(), np.arange(8) + 9, "12 classes"),
        (Hyperbolic(), np.arange(8) % 2, "2 classes"),
    ],
)
def test_bad_input_to_depth(space, labels, says):
    with pytest.raises(InputError, match=says):
        radius_by_depth(torch.randn(8, 3), labels, space, TREE)
