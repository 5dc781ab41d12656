"""Trees over points: decoded from ancestors' depths, built from similarities, drawn at random; and how good they are."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

#: Classes whose members are counted at a time.
_CLASSES = 256


@dataclass(frozen=True, eq=False)
class Dendrogram:
    """A binary tree over n leaves: step m joins the nodes merges[m] into node n + m; the last one is the root.

    Attributes:
        merges: (n − 1, 2) integers; leaves are 0 to n − 1.
        heights: (n − 1,) how far from its leaves each join lies, never falling; what a picture draws.
    """

    merges: np.ndarray
    heights: np.ndarray

    def __len__(self) -> int:
        """How many leaves."""
        return len(self.merges) + 1

    @cached_property
    def sizes(self) -> np.ndarray:
        """How many leaves each node has (2n − 1,), leaves first."""
        n = len(self)
        sizes = np.ones(2 * n - 1, np.int64)
        for m, (left, right) in enumerate(self.merges):
            sizes[n + m] = sizes[left] + sizes[right]
        return sizes

    @cached_property
    def starts(self) -> np.ndarray:
        """Where each node's leaves begin in `order` (2n − 1,): they are order[starts[node] : starts[node] + sizes[node]]."""
        n, sizes = len(self), self.sizes
        starts = np.zeros(2 * n - 1, np.int64)
        for m in range(n - 2, -1, -1):
            left, right = self.merges[m]
            starts[left], starts[right] = starts[n + m], starts[n + m] + sizes[left]
        return starts

    @cached_property
    def order(self) -> np.ndarray:
        """The leaves (n,) from left to right, so that no branches cross."""
        return self.starts[: len(self)].argsort()

    @property
    def linkage(self) -> np.ndarray:
        """SciPy's matrix (n − 1, 4), for scipy.cluster.hierarchy.dendrogram, say."""
        return np.column_stack([self.merges, self.heights, self.sizes[len(self) :]]).astype(np.float64)


def decode(depths: ArrayLike) -> Dendrogram:
    """The tree that depths of common ancestors (n, n) mean: the pair with the deepest ancestor joins first.

    A group's ancestor with another is the deepest one of their members' (HypHC's decoding: single linkage). Heights are how
    much shallower a join lies than the first. `space.pairwise_ancestor_depth(points)` gives depths; their diagonal does
    not count.
    """
    depths = _symmetric(depths, "depths")
    return _linkage(depths.max(initial=-np.inf, where=~np.eye(len(depths), dtype=bool)) - depths, "single")


def average_linkage(similarities: ArrayLike) -> Dendrogram:
    """Agglomerative clustering by mean similarity (n, n) between groups, the baseline; heights are lost similarity."""
    similarities = _symmetric(similarities, "similarities")
    most = similarities.max(initial=-np.inf, where=~np.eye(len(similarities), dtype=bool))
    return _linkage(most - similarities, "average")


def random_dendrogram(leaves: int, seed: int = 0) -> Dendrogram:
    """A tree whose joins are drawn: each joins two of the groups that there are, chosen uniformly."""
    if leaves < 2:
        raise ValueError(f"{leaves} leaves: a tree joins at least two")
    generator, groups, merges = np.random.default_rng(seed), list(range(leaves)), []
    for node in range(leaves, 2 * leaves - 1):
        pair = []
        for _ in range(2):
            chosen = generator.integers(len(groups))
            groups[chosen], groups[-1] = groups[-1], groups[chosen]
            pair.append(groups.pop())
        merges.append(pair)
        groups.append(node)
    return Dendrogram(np.array(merges), np.arange(1.0, leaves))


def dasgupta_cost(tree: Dendrogram, similarities: ArrayLike) -> float:
    """Σ over pairs of leaves of their similarity times the leaves below their lowest common ancestor (Dasgupta, STOC 2016).

    Lower is better: similar leaves should join low. Only differences between trees over one (n, n) matrix mean anything.
    """
    similarities = _symmetric(similarities, "similarities")
    n = len(tree)
    if len(similarities) != n:
        raise ValueError(f"the tree has {n} leaves, the similarities are {len(similarities)} × {len(similarities)}")
    # Sums over blocks of neighbours in the tree's order are differences of sums from the corner.
    corner = np.zeros((n + 1, n + 1))
    corner[1:, 1:] = similarities[np.ix_(tree.order, tree.order)].cumsum(0).cumsum(1)
    left, right = tree.merges.T
    start, middle = tree.starts[left], tree.starts[right]
    stop = middle + tree.sizes[right]
    across = corner[middle, stop] - corner[start, stop] - corner[middle, middle] + corner[start, middle]
    return float((across * tree.sizes[n:]).sum())


def dendrogram_purity(tree: Dendrogram, labels: ArrayLike) -> float:
    """The mean purity of the lowest common ancestor of two leaves of one class, over all such pairs.

    It is 1 where classes are subtrees. The purity of a node is the share of its leaves that are of that class (Heller and
    Ghahramani, ICML 2005). Raises ValueError where no class has two leaves, or the labels do not fit.
    """
    labels, n = np.asarray(labels), len(tree)
    if labels.shape != (n,):
        raise ValueError(f"the tree has {n} leaves, the labels are of shape {labels.shape}; give a label a leaf")
    labels = np.unique(labels, return_inverse=True)[1]
    pairs, total = 0.0, 0.0
    for counts in _counts(tree, labels):
        left, right = counts[tree.merges[:, 0]].astype(np.float64), counts[tree.merges[:, 1]]
        joined = left * right
        pairs += joined.sum()
        total += (joined * (left + right) / tree.sizes[n:, None]).sum()
    if not pairs:
        raise ValueError("no class has two leaves, so no pair has a class in common; give labels that repeat")
    return float(total / pairs)


def _counts(tree: Dendrogram, labels: np.ndarray) -> Iterator[np.ndarray]:
    """How many leaves of each class every node has (2n − 1, classes), some classes at a time."""
    own = labels[tree.order]
    for first in range(0, int(labels.max()) + 1, _CLASSES):
        before = np.zeros((len(tree) + 1, _CLASSES), np.int64)
        before[1:] = (own[:, None] == np.arange(first, first + _CLASSES)).cumsum(0)
        yield before[tree.starts + tree.sizes] - before[tree.starts]


def _symmetric(values: ArrayLike, name: str) -> np.ndarray:
    values = np.asarray(values, np.float64)
    if values.ndim != 2 or values.shape[0] != values.shape[1] or len(values) < 2:
        raise ValueError(f"expected {name} of at least two leaves, (n, n); given: shape {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError(f"{name} hold NaN or infinity; look at the points they came from")
    if not np.allclose(values, values.T, rtol=1e-4, atol=1e-4 * np.abs(values).max()):
        raise ValueError(f"{name} are not symmetric; give those of one set with itself")
    return (values + values.T) / 2


def _linkage(distances: np.ndarray, method: str) -> Dendrogram:
    # Imported here: it takes longer than the rest of the room.
    from scipy.cluster.hierarchy import linkage

    joins = linkage(distances[np.triu_indices(len(distances), 1)], method)
    return Dendrogram(joins[:, :2].astype(np.int64), joins[:, 2])
