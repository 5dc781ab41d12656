"""How far off in a label tree the retrieved neighbours are."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ..errors import InputError
from ..spaces import Space
from .bootstrap import class_bootstrap
from .label_tree import LabelTree
from .nearest import nearest
from .retrieval import cutoffs, indices, integers


@dataclass(frozen=True)
class HierarchicalReport:
    """Hierarchical distances of retrieved neighbours, d = `LabelTree.distance`, from 0 (same class) to 1 (the root).

    Attributes:
        distance: mean average hierarchical distance by k: the mean over queries of the mean d to their k nearest.
        precision: hierarchical precision HP@k by k.
        severity: mean d to the nearest of those queries whose nearest is of another class; None where there are none.
        chance: the distance of a random order, at any k. best: by k, the distance of the best order.
        chance_severity: mean d of those queries to a random item of another class; None where there are none.
        intervals: 95 % intervals over classes: "distance@1", …, "precision@1", …, "severity"; empty without bootstrap.
        queries, mistakes, gallery: how many queries, those whose nearest is of another class, and items searched.
        per_query: arrays (queries,) `index` and `label`; `distance` and `precision` (queries, len(ks)); and `nearest`.
    """

    distance: dict[int, float]
    precision: dict[int, float]
    severity: float | None
    chance: float
    best: dict[int, float]
    chance_severity: float | None
    intervals: dict[str, tuple[float, float]]
    queries: int
    mistakes: int
    gallery: int
    per_query: dict[str, NDArray] = field(repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values, without the per-query arrays."""
        values = {name: getattr(self, name) for name in ("distance", "precision", "severity", "chance", "best")}
        values |= {name: getattr(self, name) for name in ("chance_severity", "queries", "mistakes", "gallery")}
        return values | {"intervals": {name: list(bounds) for name, bounds in self.intervals.items()}}


def hierarchical_retrieval(
    points: Tensor | NDArray,
    labels: ArrayLike | Tensor,
    space: Space,
    tree: LabelTree,
    ks: Sequence[int] = (1, 5, 20),
    *,
    queries: ArrayLike | Tensor | None = None,
    gallery: ArrayLike | Tensor | None = None,
    bootstrap: int = 1000,
    seed: int = 0,
    progress: bool = False,
) -> HierarchicalReport:
    """Where in a tree over the classes the nearest neighbours of `points` (n, p) with `labels` (n,) lie.

    With c the class of a query and c_i that of its i-th nearest::

        distance@k  = mean over queries of 1/k Σ_{i ≤ k} d(c, c_i)
        precision@k = mean over queries of Σ_{i ≤ k} (1 − d(c, c_i)) / max over orders of the gallery of the same sum

    The first is the average hierarchical distance of the top k of Bertinetto et al. (Making Better Mistakes, CVPR 2020),
    with neighbours' classes in place of predicted ones, and divided by the root's height: theirs counts levels. The second
    is hierarchical precision, HP@k, of Barz and Denzler (Hierarchy-Based Image Embeddings, WACV 2019), and 1 where all of
    the gallery is at d = 1, so that no order is better than another. `severity` is
    Bertinetto's hierarchical distance of a mistake. Unlike in `evaluate_retrieval`, queries without a positive count too.

    Args:
        points, labels, queries, gallery, bootstrap, seed, progress: as in `evaluate_retrieval`; labels are classes
            of the tree.
        ks: numbers of neighbours, each less than the gallery has items.

    Raises:
        InputError: for points, labels or indices that do not fit, and too large a k.
    """
    labels, ks = integers(labels, "labels").numpy(), cutoffs(ks)
    if len(labels) != len(points) or (len(labels) and not 0 <= labels.min() <= labels.max() < tree.classes):
        raise InputError(
            f"{len(labels)} labels for {len(points)} points, over a tree of {tree.classes} classes; expected one a point, "
            f"from 0 to {tree.classes - 1}"
        )
    found = list(nearest(points, space, max(ks), queries=queries, gallery=gallery, progress=progress))
    asked, near = (np.concatenate(columns) for columns in zip(*found, strict=True))
    index = indices(gallery, len(labels), "gallery").numpy()
    own, apart = labels[asked], []
    for rows in np.array_split(np.arange(len(asked)), -(-len(asked) // 4096)):
        apart.append(tree.distance(own[rows, None], labels[near[rows]]))
    apart = np.concatenate(apart)
    at = np.array(ks)
    chance, others, best = _references(tree, labels[index], own, np.isin(asked, index), at)
    sums = apart.cumsum(1)[:, at - 1]
    distance, reachable = sums / at, at - best
    precision = np.divide(at - sums, reachable, out=np.ones_like(sums), where=reachable > 0)
    wrong = labels[near[:, 0]] != own
    intervals = {}
    if bootstrap:
        names = [f"{name}@{k}" for name in ("distance", "precision") for k in ks]
        bounds = class_bootstrap(np.column_stack([distance, precision]), own, draws=bootstrap, seed=seed)
        if wrong.any():
            names.append("severity")
            bounds = [*bounds, *class_bootstrap(apart[wrong, :1], own[wrong], draws=bootstrap, seed=seed)]
        intervals = {name: (float(low), float(high)) for name, (low, high) in zip(names, bounds, strict=True)}
    return HierarchicalReport(
        distance=dict(zip(ks, map(float, distance.mean(0)), strict=True)),
        precision=dict(zip(ks, map(float, precision.mean(0)), strict=True)),
        severity=float(apart[wrong, 0].mean()) if wrong.any() else None,
        chance=float(chance.mean()),
        best=dict(zip(ks, map(float, (best / at).mean(0)), strict=True)),
        chance_severity=float(others[wrong].mean()) if wrong.any() else None,
        intervals=intervals,
        queries=len(asked),
        mistakes=int(wrong.sum()),
        gallery=len(index),
        per_query={"index": asked, "label": own, "distance": distance, "precision": precision, "nearest": near[:, 0]},
    )


def _references(
    tree: LabelTree, searched: NDArray, own: NDArray, inside: NDArray, ks: NDArray
) -> tuple[NDArray, NDArray, NDArray]:
    """For each query of class `own` (q,): the mean d to the gallery, of classes `searched`, and to its items of other
    classes, (q,) each; and the sums of its least d to k items, (q, len(ks)). A query that is `inside` the gallery is not its
    own neighbour."""
    classes, counts = np.unique(searched, return_counts=True)
    kinds, place = np.unique(np.stack([own, inside], 1), axis=0, return_inverse=True)
    means, others, least = (np.zeros((len(kinds), columns)) for columns in (1, 1, len(ks)))
    for i, (label, itself) in enumerate(kinds):
        apart, left = tree.distance(label, classes), counts - (classes == label) * itself
        total, foreign = apart @ left, int(left[classes != label].sum())
        means[i], others[i] = total / left.sum(), total / max(1, foreign)
        order = apart.argsort(kind="stable")
        upto, sums = left[order].cumsum(), (left * apart)[order].cumsum()
        last = np.searchsorted(upto, ks)  # the class that the k-th item of the best order is of
        least[i] = sums[last] - (upto[last] - ks) * apart[order][last]
    place = place.ravel()
    return means[place, 0], others[place, 0], least[place]
