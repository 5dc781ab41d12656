"""The tree of labels over a layout in the disk: each node at the mean of what lies below it."""

from dataclasses import dataclass

import numpy as np

from ...evaluation import LabelTree
from . import unit_disk


@dataclass(frozen=True, eq=False)
class DiskTree:
    """Nodes in the disk and the edges between them, towards the root.

    Attributes:
        names: of the nodes: the classes that have points, then the nodes above them.
        z: (m,) complex.
        parent: (m,) position of the node above; the root's is its own.
        level: (m,) 0 for classes, 1 for what lies directly over classes alone, and so on.
    """

    names: tuple[str, ...]
    z: np.ndarray
    parent: np.ndarray
    level: np.ndarray

    def recentred(self, centre: complex) -> "DiskTree":
        """The same tree, seen from `centre`."""
        return DiskTree(self.names, unit_disk.recentre(self.z, centre), self.parent, self.level)


def disk_tree(z: np.ndarray, labels: np.ndarray, tree: LabelTree) -> DiskTree:
    """`tree` over points z (n,) of classes `labels` (n,): a class at the Karcher mean of its points, a node above at that of
    its children. Nodes without points below them are left out."""
    places, level = np.full(len(tree), np.nan, complex), np.zeros(len(tree), np.int64)
    for label in np.unique(labels):
        places[label] = unit_disk.mean(z[labels == label])
    for node in (-tree.depths).argsort(kind="stable"):  # children before their parents
        below = np.flatnonzero((tree.parents == node) & ~np.isnan(places))
        if len(below):
            places[node], level[node] = unit_disk.mean(places[below]), level[below].max() + 1
    kept = np.flatnonzero(~np.isnan(places))
    place = np.full(len(tree), -1)
    place[kept] = np.arange(len(kept))
    parent = np.where(tree.parents[kept] < 0, place[kept], place[tree.parents[kept]])
    return DiskTree(tuple(tree.names[node] for node in kept), places[kept], parent, level[kept])
