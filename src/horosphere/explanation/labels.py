"""What a subject knows of its labels beyond their names."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from ..config import ExplainConfig
from ..evaluation import LabelTree

#: Superclasses told apart by a reader, and in a measure of purity, at most.
MOST_GROUPS = 60


def tree_of(
    classes: Sequence[str], superclasses: Sequence[Sequence[str]] | None, options: ExplainConfig
) -> LabelTree | None:
    """The tree over the classes: the file that was given, or else that of the superclasses; None where nobody knows."""
    if options.tree is not None:
        return LabelTree.read(options.tree, classes, options.tree_names)
    return LabelTree.of_superclasses(classes, superclasses) if superclasses and any(superclasses) else None


def groups_of(
    classes: Sequence[str],
    superclasses: Sequence[Sequence[str]] | None,
    tree: LabelTree | None,
    present: np.ndarray,
) -> list[str] | None:
    """The superclass of each of some classes (n,): as the data set has it, or else as the tree is cut into few.

    Superclasses of one name are called apart by what is above them: "birds / other", "fish / other".
    """
    if superclasses and any(superclasses):
        own = LabelTree.of_superclasses(classes, superclasses)
    elif tree is not None:
        own = tree
    else:
        return None
    groups = own.groups(present, MOST_GROUPS)
    if groups is None:
        return None
    # All nodes as deep as these, so that a superclass has one name whichever classes are asked.
    level = np.flatnonzero(np.isin(own.depths, own.depths[groups]))
    names = _told_apart(own, np.union1d(level[level >= own.classes], groups))
    return [names[group] for group in groups.tolist()]


def _told_apart(tree: LabelTree, nodes: np.ndarray) -> dict[int, str]:
    """A name of its own for each of some nodes, with as many of its ancestors' before it as that takes."""
    names = {node: tree.names[node] for node in nodes.tolist()}
    above = {node: int(tree.parents[node]) for node in names}
    while twice := {name for name, count in Counter(names.values()).items() if count > 1}:
        climbing = [node for node, name in names.items() if name in twice and above[node] >= 0]
        if not climbing:  # siblings of one name
            return {node: f"{name} ({node})" if name in twice else name for node, name in names.items()}
        for node in climbing:
            names[node] = f"{tree.names[above[node]]} / {names[node]}"
            above[node] = int(tree.parents[above[node]])
    return names
