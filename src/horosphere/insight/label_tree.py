"""The tree of classes over a layout in the disk: each node at the mean of what lies below it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from . import unit_disk


@dataclass(frozen=True, eq=False)
class DiskTree:
    """Nodes in the disk and the edges between them, towards the root, which is the last node.

    Attributes:
        names: of the nodes: the classes that have points, then their superclasses, coarser and coarser, then "root".
        z: (m,) complex.
        parent: (m,) position of the node above; the root's is its own.
        level: (m,) 0 for classes, 1 for what lies directly over one, and so on.
    """

    names: tuple[str, ...]
    z: np.ndarray
    parent: np.ndarray
    level: np.ndarray

    def recentred(self, centre: complex) -> "DiskTree":
        """The same tree, seen from `centre`."""
        return DiskTree(self.names, unit_disk.recentre(self.z, centre), self.parent, self.level)


def disk_tree(z: np.ndarray, labels: np.ndarray, classes: Sequence[str], superclasses: Sequence[Sequence[str]]) -> DiskTree:
    """The tree over points z (n,) of classes `labels` (n,): a class at the Karcher mean of its points, other nodes at that of
    its children. `superclasses` has each class's ancestors, coarse to fine."""
    below: dict[tuple[str, ...], list[complex]] = {}
    nodes: dict[tuple[str, ...], complex] = {}
    for label in np.unique(labels):
        path = (*superclasses[label], classes[label])
        nodes[path] = unit_disk.mean(z[labels == label])
    paths, waiting = list(nodes), sorted({len(path) for path in nodes}, reverse=True)
    for length in range(waiting[0], 0, -1):
        for path in [path for path in nodes if len(path) == length]:
            below.setdefault(path[:-1], []).append(nodes[path])
        for path in [path for path in below if len(path) == length - 1 and path not in nodes]:
            nodes[path] = unit_disk.mean(np.array(below[path]))
            paths.append(path)
    place = {path: number for number, path in enumerate(paths)}
    height = dict.fromkeys(paths, 0)
    for path in paths:  # children come before their parents
        height[path[:-1]] = max(height.get(path[:-1], 0), height[path] + 1) if path else height[path]
    return DiskTree(
        tuple(path[-1] if path else "root" for path in paths),
        np.array([nodes[path] for path in paths]),
        np.array([place[path[:-1]] if path else place[path] for path in paths]),
        np.array([height[path] for path in paths]),
    )
