import numpy as np
import pytest
import torch
from scipy.cluster.hierarchy import is_valid_linkage

from horosphere.evaluation import average_linkage, dasgupta_cost, decode, dendrogram_purity, hierarchy, random_dendrogram
from horosphere.spaces import Hyperbolic


def below(tree, node):
    if node < len(tree):
        return {int(node)}
    left, right = tree.merges[node - len(tree)]
    return below(tree, left) | below(tree, right)


def join(tree, i, j):
    """The leaves below the lowest common ancestor of two."""
    return next(b for m in range(len(tree) - 1) if {i, j} <= (b := below(tree, len(tree) + m)))


def cost(tree, similarities):
    n = len(tree)
    return sum(similarities[i, j] * len(join(tree, i, j)) for i in range(n) for j in range(i + 1, n))


def purity(tree, labels):
    n, found = len(tree), []
    for i in range(n):
        for j in range(i + 1, n):
            if labels[i] == labels[j]:
                leaves = join(tree, i, j)
                found.append(sum(labels[k] == labels[i] for k in leaves) / len(leaves))
    return np.mean(found)


def symmetric(n, seed=0):
    values = np.random.default_rng(seed).normal(size=(n, n))
    return values + values.T


@pytest.mark.parametrize("n", [2, 3, 11, 24])
def test_measures_equal_their_definitions(monkeypatch, n):
    monkeypatch.setattr(hierarchy, "_CLASSES", 2)
    similarities, labels = symmetric(n), np.random.default_rng(1).integers(0, max(1, n // 4), n)
    for tree in (random_dendrogram(n, seed=n), average_linkage(similarities), decode(similarities)):
        assert dasgupta_cost(tree, similarities) == pytest.approx(cost(tree, similarities))
        assert dendrogram_purity(tree, labels) == pytest.approx(purity(tree, labels))
        assert sorted(tree.order) == list(range(n)) and len(tree) == n
        assert is_valid_linkage(tree.linkage) and (np.diff(tree.heights) >= 0).all()
        for node in range(2 * n - 1):
            own = tree.order[tree.starts[node] : tree.starts[node] + tree.sizes[node]]
            assert set(own.tolist()) == below(tree, node)


def test_the_deepest_ancestor_joins_first():
    depths = np.array([[9, 3, 1, 1], [3, 9, 1, 1], [1, 1, 9, 2], [1, 1, 2, 9]], float)
    tree = decode(depths)
    assert tree.merges.tolist() == [[0, 1], [2, 3], [4, 5]] and tree.heights.tolist() == [0, 1, 2]
    assert dendrogram_purity(tree, [0, 0, 1, 1]) == 1.0
    assert dendrogram_purity(tree, [0, 1, 0, 1]) == 0.5
    # Each pair in its subtree of two, the four across in the root.
    assert dasgupta_cost(tree, depths) == 3 * 2 + 2 * 2 + 4 * 1 * 4


def test_leaves_on_branches_of_a_tree_in_the_ball_are_decoded():
    """Four branches, three leaves on each, at unequal radii: Gromov products."""
    torch.manual_seed(0)
    space = Hyperbolic(1.0, None)
    branches = torch.eye(4, 6).repeat_interleave(3, 0)
    points = (branches + 0.02 * torch.randn(12, 6)) * (2.5 + torch.rand(12, 1))
    tree = decode(space.pairwise_ancestor_depth(points))
    assert dendrogram_purity(tree, np.arange(12) // 3) == 1.0


def test_random_trees_differ_by_seed_alone():
    one, same, other = (random_dendrogram(9, seed).merges for seed in (0, 0, 1))
    assert (one == same).all() and (one != other).any()


def test_a_large_tree_is_quick_enough_to_measure():
    n = 3000
    similarities = np.random.default_rng(0).random((n, n))
    tree = random_dendrogram(n)
    # All pairs alike: every tree costs the same, (n³ − n)/3 (Dasgupta, Theorem 3).
    assert dasgupta_cost(tree, np.ones((n, n))) == pytest.approx((n**3 - n) / 3)
    assert dasgupta_cost(tree, similarities + similarities.T) > 0
    assert 0 < dendrogram_purity(tree, np.arange(n) % 700) < 0.1


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (lambda: decode(np.ones((3, 4))), r"depths of at least two leaves.*\(3, 4\)"),
        (lambda: decode([[1.0]]), "at least two"),
        (lambda: decode([[1, np.nan], [np.nan, 1]]), "NaN"),
        (lambda: average_linkage([[0, 1], [2, 0]]), "not symmetric"),
        (lambda: dasgupta_cost(random_dendrogram(3), np.ones((4, 4))), "tree has 3 leaves"),
        (lambda: dendrogram_purity(random_dendrogram(3), [0, 0]), "give a label a leaf"),
        (lambda: dendrogram_purity(random_dendrogram(3), [0, 1, 2]), "no class has two leaves"),
        (lambda: random_dendrogram(1), "joins at least two"),
    ],
)
def test_bad_input(call, what):
    with pytest.raises(ValueError, match=what):
        call()
