"""What training minimises. Every loss is a function of distances in a space: `loss(points, labels)` → scalar.

Imports `spaces` only; `training` builds losses from a config.
"""

from . import hypmix
from .hypmix import ConvexCombination
from .loss import Loss
from .pairwise import PairwiseCrossEntropy

__all__ = ["ConvexCombination", "Loss", "PairwiseCrossEntropy", "from_pml", "hypmix"]


def __getattr__(name: str):
    # pytorch-metric-learning is an extra, and takes a while to import.
    if name == "from_pml":
        from .library import from_pml

        return from_pml
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
