"""Does the radius follow the depth in a label tree?"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ..errors import InputError
from ..spaces import Space
from .correlation import rank_correlation
from .label_tree import LabelTree
from .uncertainty import percentiles


@dataclass(frozen=True)
class RadiusByDepth:
    """Spearman's correlations of radius with depth in a label tree; None where all depths or radii are one.

    Attributes:
        classes: of the classes' midpoints with the classes' depths. `images`: of the images with their classes' depths.
        nodes: of the classes' midpoints and those of the nodes above two classes or more, with the nodes' depths.
        intervals: 95 % intervals over classes of "classes" and "images".
        shuffled: the interval that holds 95 % of `nodes` when classes are shuffled over the leaves, or None. A midpoint of
            many points lies nearer to the origin than they do, whatever the tree, so this is far from 0.
        node: (m,) places in the tree of those nodes, classes first; `depth` and `radius` (m,) of them.
        each: images behind the midpoint of a class.
    """

    classes: float | None
    images: float | None
    nodes: float | None
    intervals: dict[str, tuple[float, float]]
    shuffled: tuple[float, float] | None
    node: NDArray[np.int64]
    depth: NDArray[np.int64]
    radius: NDArray[np.float64]
    each: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values, without the nodes."""
        return {
            "classes": self.classes,
            "images": self.images,
            "nodes": self.nodes,
            "intervals": {name: list(bounds) for name, bounds in self.intervals.items()},
            "shuffled": None if self.shuffled is None else list(self.shuffled),
            "images_of_a_midpoint": self.each,
        }


@torch.no_grad()
def radius_by_depth(
    points: Tensor,
    labels: ArrayLike,
    space: Space,
    tree: LabelTree,
    *,
    draws: int = 1000,
    shuffles: int = 200,
    seed: int = 0,
) -> RadiusByDepth:
    """Compare radii of `points` (n, p) with `labels` (n,), classes of the tree, with depths in it.

    A class's midpoint is the centroid of as many of its points, drawn by `seed`, as the smallest class has: the more points
    a midpoint is of, the nearer to the origin it lies, and deep classes may be the small ones. An inner node's is that of
    its classes' midpoints.

    Raises:
        InputError: for a space without an origin, labels that are no classes of the tree, or fewer than three classes.
    """
    labels = np.asarray(labels)
    if not space.has_origin:
        raise InputError(f"points of this space ({space.name}) have no radius; ask a hyperbolic or Euclidean part")
    if labels.shape != (len(points),) or (len(labels) and not 0 <= labels.min() <= labels.max() < tree.classes):
        raise InputError(f"labels of shape {labels.shape} for {len(points)} points and {tree.classes} classes of the tree")
    present, owner = np.unique(labels, return_inverse=True)
    if len(present) < 3:
        raise InputError(f"points of {len(present)} classes; expected three or more for a correlation")
    count, sizes = len(present), np.bincount(owner)
    rows, each = np.split(owner.argsort(kind="stable"), sizes.cumsum()[:-1]), int(sizes.min())
    lot = np.random.default_rng(seed)
    even = np.concatenate([lot.permutation(own)[:each] for own in rows])
    means = space.centroids(points[torch.from_numpy(even)], torch.arange(count).repeat_interleave(each), count)
    inner, above, below = _inner_nodes(tree, present)
    node, depth = np.concatenate([present, inner]), tree.depths[np.concatenate([present, inner])]
    at = torch.from_numpy(above)

    def radii(order: NDArray) -> NDArray:
        own = means[torch.from_numpy(order)]
        upper = space.centroids(own[torch.from_numpy(below)], at, len(inner))
        return space.radius(torch.cat([own, upper])).double().numpy()

    generator = np.random.default_rng(seed)
    radius, image_radius = radii(np.arange(count)), space.radius(points).double().numpy()
    image_depth = tree.depths[labels]
    found: dict[str, list[float]] = {"classes": [], "images": []}
    for _ in range(draws if len(set(image_depth.tolist())) > 1 else 0):
        drawn = generator.integers(count, size=count)
        found["classes"].append(rank_correlation(radius[drawn], depth[drawn]))
        own = np.concatenate([rows[i] for i in drawn])
        found["images"].append(rank_correlation(image_radius[own], image_depth[own]))
    by_chance = [rank_correlation(radii(generator.permutation(count)), depth) for _ in range(shuffles)]
    values = (
        rank_correlation(radius[:count], depth[:count]),
        rank_correlation(image_radius, image_depth),
        rank_correlation(radius, depth),
    )
    return RadiusByDepth(
        *(None if np.isnan(value) else value for value in values),
        intervals={name: bounds for name, values in found.items() if (bounds := percentiles(values))},
        shuffled=percentiles(by_chance),
        node=node,
        depth=depth,
        radius=radius,
        each=each,
    )


def _inner_nodes(tree: LabelTree, present: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """Nodes above two of the classes `present` or more, with pairs (places among them, places among the classes) of all
    that lie one below the other. Of nodes above the same classes, which have one midpoint, the lowest."""
    paths = tree.paths[present]
    below, at = np.nonzero((paths >= 0) & (paths != present[:, None]))
    above = paths[below, at]
    counts = np.bincount(above, minlength=len(tree))
    # The path to a node's parent is as long only where the parent has the same classes.
    same = np.zeros(len(tree), bool)
    child = np.flatnonzero((counts > 0) & (tree.parents >= 0))
    same[tree.parents[child[counts[child] == counts[tree.parents[child]]]]] = True
    inner = np.flatnonzero((counts > 1) & ~same)
    kept = np.isin(above, inner)
    return inner, np.searchsorted(inner, above[kept]), below[kept]
