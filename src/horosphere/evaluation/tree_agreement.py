"""How well trees over classes agree with a label tree, with intervals over classes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .hierarchy import Dendrogram, random_dendrogram
from .label_tree import LabelTree
from .uncertainty import percentiles

#: Random trees whose mean is the baseline.
_RANDOM = 50


@dataclass(frozen=True)
class TreeAgreement:
    """How well one tree agrees with the label tree.

    Attributes:
        dasgupta: the share of the way, in Dasgupta's cost, from a random tree (0) to the label tree (1); below 0 a tree is
            worse than a random one. None where the label tree has one level alone.
        purity: dendrogram purity of superclasses; None without superclasses of two classes.
        intervals: 95 % bootstrap intervals over classes, "dasgupta" and "purity".
        differences: of the first tree minus this one: measure → (difference, 95 % interval), paired; empty for the first.
    """

    dasgupta: float | None
    purity: float | None
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    differences: dict[str, tuple[float, tuple[float, float]]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values."""
        return {
            "dasgupta": self.dasgupta,
            "purity": self.purity,
            "intervals": {name: list(bounds) for name, bounds in self.intervals.items()},
            "first_minus_this": {
                name: {"difference": value, "interval": list(bounds)} for name, (value, bounds) in self.differences.items()
            },
        }


def tree_agreement(
    trees: Mapping[str, Dendrogram],
    truth: LabelTree,
    classes: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    draws: int = 1000,
    seed: int = 0,
) -> dict[str, TreeAgreement]:
    """Compare trees, whose n leaves are `classes` (n,) of the label tree, with it; a row "random" is added.

    Dasgupta's cost is taken over similarities 1 − `truth.distance`. Any tree with n leaves has the same mean size of a
    pair's lowest common ancestor, 2 (n + 1)/3 (Dasgupta, STOC 2016, Theorem 3), so that is what a random tree has in the
    mean; and the label tree is the best one, however its nodes of many children are resolved into joins of two (Cohen-Addad
    et al., JACM 2019). With n(i ∨ j) the leaves below the ancestor of i and j::

        cost(T) = Σ_ij s_ij n(i ∨ j),    dasgupta = (cost(random) − cost(T))/(cost(random) − cost(truth))

    Both measures are means over pairs of leaves. The bootstrap draws classes, and weighs a pair by how often both were
    drawn; the trees stay as they are.

    Args:
        trees: by name; the first is compared with each of the others.
        truth: the label tree.
        classes: (n,) which class of `truth` each leaf is.
        groups: (n,) the superclass of each leaf, for purity; none without.
        draws, seed: of the bootstrap.

    Raises:
        ValueError: where the leaves of the trees and classes differ in number.
    """
    classes = np.asarray(classes)
    n = len(classes)
    for name, tree in trees.items():
        if len(tree) != n:
            raise ValueError(f"tree {name!r} has {len(tree)} leaves for {n} classes")
    groups = np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1]
    same = (groups[:, None] == groups) & ~np.eye(n, dtype=bool)
    similar = 1 - truth.distance(classes[:, None], classes)
    np.fill_diagonal(similar, 0)
    generator = np.random.default_rng(seed)
    # The classes themselves come first, then the draws.
    weights = np.vstack([np.ones(n), *(np.bincount(generator.integers(n, size=n), minlength=n) for _ in range(draws))])

    def mean(values: NDArray, over: NDArray) -> NDArray:
        with np.errstate(invalid="ignore", divide="ignore"):
            return ((weights @ (values * over)) * weights).sum(1) / ((weights @ over) * weights).sum(1)

    random, best = 2 * (n + 1) / 3, mean(_true_sizes(truth, classes), similar)
    measured = {}
    for name, (sizes, purities) in _named_pairs(trees, groups, seed):
        with np.errstate(invalid="ignore", divide="ignore"):
            share = (random - mean(sizes, similar)) / (random - best)
        measured[name] = {"dasgupta": share, "purity": mean(purities, same)}
    first = measured[next(iter(measured))]
    return {name: _agreement(own, None if own is first else first) for name, own in measured.items()}


def _named_pairs(
    trees: Mapping[str, Dendrogram], groups: NDArray, seed: int
) -> Iterator[tuple[str, tuple[NDArray, NDArray]]]:
    """`_pairs` of each tree, one after the other, and their means over random trees."""
    for name, tree in trees.items():
        yield name, _pairs(tree, groups)
    sizes, purities = np.zeros((2, len(groups), len(groups)))
    for i in range(_RANDOM):
        own = _pairs(random_dendrogram(len(groups), seed + i), groups)
        sizes += own[0] / _RANDOM
        purities += own[1] / _RANDOM
    yield "random", (sizes, purities)


def _agreement(own: dict[str, NDArray], first: dict[str, NDArray] | None) -> TreeAgreement:
    values = {name: float(found[0]) if np.isfinite(found[0]) else None for name, found in own.items()}
    known = [name for name, value in values.items() if value is not None]
    intervals = {name: bounds for name in known if (bounds := _interval(own[name][1:]))}
    apart = {name: first[name] - own[name] for name in known} if first is not None else {}
    differences = {name: (float(found[0]), bounds) for name, found in apart.items() if (bounds := _interval(found[1:]))}
    return TreeAgreement(values["dasgupta"], values["purity"], intervals, differences)


def _interval(draws: NDArray) -> tuple[float, float] | None:
    return percentiles(np.where(np.isfinite(draws), draws, np.nan))


def _pairs(tree: Dendrogram, groups: NDArray) -> tuple[NDArray, NDArray]:
    """Of each pair of leaves, how many leaves their lowest common ancestor has, and which share of those is of the first
    one's group: (n, n) each, 0 on the diagonal."""
    n, own = len(tree), groups[tree.order]
    upto = np.zeros((n + 1, int(groups.max()) + 1))
    upto[1:] = (own[:, None] == np.arange(upto.shape[1])).cumsum(0)
    sizes, purities = np.zeros((n, n)), np.zeros((n, n))
    for left, right in tree.merges:
        start, middle = tree.starts[left], tree.starts[right]
        stop = middle + tree.sizes[right]
        share = (upto[stop] - upto[start])[own] / (stop - start)
        for rows, columns in ((slice(start, middle), slice(middle, stop)), (slice(middle, stop), slice(start, middle))):
            sizes[rows, columns] = stop - start
            purities[rows, columns] = share[rows, None]
    back = tree.order.argsort()
    return sizes[np.ix_(back, back)], purities[np.ix_(back, back)]


def _true_sizes(truth: LabelTree, classes: NDArray) -> NDArray:
    """The mean number of leaves below the lowest common ancestor of each pair of leaves (n, n), when nodes of many children
    are resolved into joins of two: over all pairs below m leaves their sum is (m³ − m)/3 in any binary tree."""
    paths = truth.paths[classes]
    leaves = np.bincount(paths[paths >= 0], minlength=len(truth)).astype(np.float64)
    total, pairs = (leaves**3 - leaves) / 3, leaves * (leaves - 1) / 2
    below = truth.parents >= 0
    for sums in (total, pairs):
        sums -= np.bincount(truth.parents[below], sums[below].copy(), minlength=len(truth))
    sizes = np.divide(total, pairs, out=np.zeros_like(total), where=pairs > 0)
    return sizes[truth.meeting(classes[:, None], classes)]
