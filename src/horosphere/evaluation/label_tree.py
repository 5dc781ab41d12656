"""A tree whose leaves are classes: how deep each lies, and how far up two of them meet."""

import difflib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError

#: Names listed in an error, at most.
_LISTED = 12


@dataclass(frozen=True, eq=False)
class LabelTree:
    """A rooted tree over C classes, which are its leaves.

    Attributes:
        names: of its nodes; the first C are the classes, in their order.
        parents: (nodes,) the place of each node's parent; −1 for the root, the lowest node above all classes.
        classes: C.
    """

    names: tuple[str, ...]
    parents: NDArray[np.int64]
    classes: int

    @classmethod
    def of_superclasses(cls, classes: Sequence[str], superclasses: Sequence[Sequence[str]]) -> "LabelTree":
        """The tree of each class's ancestors' names, coarse to fine; ancestors of one name are one where their own are.

        Raises InputError where no class has an ancestor, or the lengths differ.
        """
        if len(classes) != len(superclasses) or not any(map(len, superclasses)):
            raise InputError(
                f"superclasses of {sum(map(bool, superclasses))} of {len(superclasses)} classes for {len(classes)} classes; "
                "expected the names of each class's ancestors, coarse to fine"
            )
        above = {
            path[:depth]: path[: depth - 1] or None for path in map(tuple, superclasses) for depth in range(1, len(path) + 1)
        }
        return cls._grown(classes, [tuple(path) or None for path in superclasses], above, {path: path[-1] for path in above})

    @classmethod
    def read(cls, path: str | Path, classes: Sequence[str], names: Mapping[str, str] | None = None) -> "LabelTree":
        """The tree over `classes` in a file of networkx's node-link JSON: {"nodes": [{"id", "label"}, …], "links":
        [{"source": parent, "target": child}, …]}.

        A class is the node with its name as label, or else as id; case, spaces, "_" and "-" do not count. `names` has the
        node of each class that is called something else. Nodes that are neither a class nor above one are left out. A class
        with others below it gets a leaf of its own under its node.

        Raises InputError for another format, classes that no node or several nodes are named after (all are listed), and
        links that make no tree.
        """
        path = Path(path)
        try:
            graph = json.loads(path.read_text(encoding="utf-8"))
            labels = {node["id"]: str(node.get("label", node["id"])) for node in graph["nodes"]}
            links = graph["links"] if "links" in graph else graph["edges"]
            edges = [(link["source"], link["target"]) for link in links]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"{path} cannot be read as a tree ({type(error).__name__}: {error}); expected networkx's node-link JSON, "
                "with nodes of id and label and links of source (the parent) and target"
            ) from None
        above = _parents_of(path, labels, edges)
        names = names or {}
        if unknown := [name for name in names if name not in classes]:
            raise InputError(f"nodes are named for {_few(unknown)}, which are no classes; expected some of {_few(classes)}")
        own = _match(path, labels, set(above.values()), classes, [names.get(name, name) for name in classes])
        inner = {node for below in own for node in _chain(above, above.get(below))}
        return cls._grown(classes, [node if node in inner else above.get(node) for node in own], above, labels)

    @classmethod
    def _grown(cls, classes: Sequence[str], nodes: Sequence, above: Mapping, labels: Mapping) -> "LabelTree":
        """The tree of classes below `nodes`, from child → parent, whose root is the lowest node above all classes."""
        names, parents, places = list(classes), [-1] * len(classes), {}
        for i, node in enumerate(nodes):
            below = i
            for ancestor in _chain(above, node):
                known = ancestor in places
                parents[below] = places.setdefault(ancestor, len(names))
                if known:
                    break
                below = len(names)
                names.append(str(labels[ancestor]))
                parents.append(-1)
        tops = [i for i, parent in enumerate(parents) if parent < 0]
        if len(tops) > 1:
            parents = [len(names) if parent < 0 else parent for parent in parents] + [-1]
            names.append("root")
        kept, parents = np.ones(len(names), bool), np.array(parents)
        while len(children := np.flatnonzero(parents == (top := int(np.flatnonzero((parents < 0) & kept)[0])))) == 1:
            if len(classes) == 1:
                break
            kept[top] = False
            parents[children] = -1
        place = np.cumsum(kept) - 1
        parents = np.where(parents < 0, -1, place[parents])[kept]
        return cls(tuple(name for name, keep in zip(names, kept, strict=True) if keep), parents, len(classes))

    def __len__(self) -> int:
        """How many nodes."""
        return len(self.parents)

    @cached_property
    def depths(self) -> NDArray[np.int64]:
        """Edges from the root to each node: (nodes,)."""
        depths, node = np.zeros(len(self), np.int64), self.parents
        while (node >= 0).any():
            depths += node >= 0
            node = np.where(node >= 0, self.parents[node], -1)
        return depths

    @cached_property
    def heights(self) -> NDArray[np.int64]:
        """Edges from each node down to the farthest leaf below it: (nodes,), 0 for a class."""
        heights = np.zeros(len(self), np.int64)
        for node in (-self.depths).argsort(kind="stable")[:-1]:
            parent = self.parents[node]
            heights[parent] = max(heights[parent], heights[node] + 1)
        return heights

    @cached_property
    def paths(self) -> NDArray[np.int64]:
        """Each class's ancestors and itself by depth: (C, deepest + 1), −1 beyond its own depth."""
        depths, node = self.depths, np.arange(self.classes)
        paths = np.full((self.classes, int(depths.max()) + 1), -1)
        while (alive := node >= 0).any():
            paths[alive, depths[node[alive]]] = node[alive]
            node = np.where(alive, self.parents[node], -1)
        return paths

    def meeting(self, a: ArrayLike, b: ArrayLike) -> NDArray[np.int64]:
        """The lowest common ancestors of classes `a` with classes `b`, by place, with broadcasting."""
        a, b = np.broadcast_arrays(a, b)
        shared = (self.paths[a] == self.paths[b]) & (self.paths[a] >= 0)
        return np.take_along_axis(self.paths[a], shared.sum(-1, keepdims=True) - 1, -1)[..., 0]

    def distance(self, a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
        """Hierarchical distance of classes `a` and `b`, with broadcasting: the height of their lowest common ancestor over
        the root's, from 0 for a class with itself to 1 (Deng et al., ECCV 2010; Barz and Denzler, WACV 2019)."""
        return self.heights[self.meeting(a, b)] / max(1, int(self.heights.max()))

    def groups(self, classes: ArrayLike, most: int = 24) -> NDArray[np.int64] | None:
        """The superclass of each of some classes (n,): its ancestor, or itself, at the greatest depth at which there are
        from 2 to `most` of them and some holds two classes; None where no depth has such."""
        classes = np.asarray(classes)
        paths = self.paths[classes]
        found = None
        for depth in range(1, paths.shape[1]):
            # A class that lies less deep than this is its own.
            own = np.where(paths[:, depth] >= 0, paths[:, depth], classes)
            count = len(np.unique(own))
            if 2 <= count <= most and count < len(np.unique(classes)):
                found = own
        return found


def _parents_of(path: Path, labels: Mapping, edges: Sequence[tuple]) -> dict:
    """child → parent. Raises InputError where that is no forest over the nodes."""
    above: dict = {}
    for parent, child in edges:
        if parent not in labels or child not in labels:
            raise InputError(f"{path}: a link from {parent!r} to {child!r}, of which one is no node's id")
        if above.setdefault(child, parent) != parent:
            raise InputError(
                f"{path}: {labels[child]!r} has two parents, {labels[above[child]]!r} and {labels[parent]!r}; expected a "
                "tree, so leave one of the links out"
            )
    for node in labels:
        seen = {node}
        while (node := above.get(node)) is not None:
            if node in seen:
                raise InputError(f"{path}: {labels[node]!r} is its own ancestor; expected a tree")
            seen.add(node)
    return above


def _chain(above: Mapping, node) -> Iterator:
    """A node and those above it."""
    while node is not None:
        yield node
        node = above.get(node)


def _match(path: Path, labels: Mapping, inner: set, classes: Sequence[str], names: Sequence[str]) -> list:
    """The node of each class, which is called as `names` has it."""
    by_name: dict[str, list] = {}
    for node, label in labels.items():
        by_name.setdefault(_plain(label), []).append(node)
    for node in labels:
        by_name.setdefault(_plain(str(node)), [node])
    found = [by_name.get(_plain(name), []) for name in names]
    # Of nodes of one name, a leaf is the class.
    found = [[node for node in nodes if node not in inner] or nodes for nodes in found]
    lacking = [name for name, nodes in zip(classes, found, strict=True) if len(nodes) != 1]
    if lacking:
        taken = {node for nodes in found for node in nodes}
        free = {_plain(labels[node]): labels[node] for node in labels if node not in taken and node not in inner}
        raise InputError(
            f"{path} has not one node for each class: {len(lacking)} of {len(classes)} are unmatched: "
            f"{', '.join(_with_hint(name, free) for name in lacking[:_LISTED])}{', …' if len(lacking) > _LISTED else ''}. "
            f"Say which node each is with --tree-names CLASS NODE …; leaves without a class: {_few(sorted(free.values()))}"
        )
    twice = [node for node, count in Counter(nodes[0] for nodes in found).items() if count > 1]
    if twice:
        raise InputError(f"{path}: {_few([labels[node] for node in twice])} stand for two classes each; expected one")
    return [nodes[0] for nodes in found]


def _with_hint(name: str, free: Mapping[str, str]) -> str:
    near = difflib.get_close_matches(_plain(name), free, 1, cutoff=0.55)
    return f"{name!r} (near {free[near[0]]!r})" if near else repr(name)


def _plain(name: str) -> str:
    return name.casefold().replace("_", " ").replace("-", " ").strip()


def _few(names: Sequence[str]) -> str:
    return (", ".join(names[:_LISTED]) or "none") + (", …" if len(names) > _LISTED else "")
