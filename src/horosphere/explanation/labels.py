"""What a subject knows of its labels beyond their names."""

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
    """The superclass of each of some classes (n,): as the data set has it, or else as the tree is cut into few."""
    if superclasses and any(superclasses):
        own = LabelTree.of_superclasses(classes, superclasses)
    elif tree is not None:
        own = tree
    else:
        return None
    groups = own.groups(present, MOST_GROUPS)
    return None if groups is None else [own.names[group] for group in groups]
