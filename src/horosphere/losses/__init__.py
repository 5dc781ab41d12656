"""What training minimises. Every loss is a function of distances in a space: `loss(points, labels)` → scalar.

Imports `spaces` only; `training` builds losses from a config.
"""

from . import hypmix
from .hypmix import ConvexCombination
from .loss import Loss
from .pairwise import PairwiseCrossEntropy
from .scene_object import SceneObjectContrast

__all__ = ["ConvexCombination", "Loss", "PairwiseCrossEntropy", "SceneObjectContrast", "hypmix"]
