"""What training minimises. Every loss is a function of distances in a space: `loss(points, labels)` → scalar.

Imports `spaces` only; `training` builds losses from a config.
"""

from . import hypmix
from .chest import Chest
from .hierarchy import ProxyHierarchy
from .hypmix import ConvexCombination
from .loss import Loss
from .multi_similarity import multi_similarity
from .pairwise import PairwiseCrossEntropy
from .proxies import Proxies
from .proxy_anchor import ProxyAnchor
from .soft_triple import SoftTriple

__all__ = [
    "Chest",
    "ConvexCombination",
    "Loss",
    "PairwiseCrossEntropy",
    "Proxies",
    "ProxyAnchor",
    "ProxyHierarchy",
    "SoftTriple",
    "from_pml",
    "hypmix",
    "multi_similarity",
]


def __getattr__(name: str):
    # pytorch-metric-learning is an extra, and takes a while to import.
    if name == "from_pml":
        from .library import from_pml

        return from_pml
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
