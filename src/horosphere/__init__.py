"""Horosphere: metric learning in mixed geometry.

Train, judge, explain and serve image embeddings whose distances live on a sphere, in hyperbolic space, or in any mixture
of the two. The names below are imported when first used, so that importing the package is quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .config import Config
    from .data import ClassBalancedSampler, load_data
    from .errors import InputError
    from .evaluation import evaluate_retrieval
    from .index import Index
    from .insight import negative_weights, relative_delta
    from .losses import PairwiseCrossEntropy
    from .models import Embedder, export_onnx
    from .runs import Run
    from .spaces import Euclidean, Hyperbolic, Mixed, Sphere
    from .training import resume, train

_ROOMS = {
    "ClassBalancedSampler": "data",
    "Config": "config",
    "Embedder": "models",
    "Euclidean": "spaces",
    "Hyperbolic": "spaces",
    "Index": "index",
    "InputError": "errors",
    "Mixed": "spaces",
    "PairwiseCrossEntropy": "losses",
    "Run": "runs",
    "Sphere": "spaces",
    "evaluate_retrieval": "evaluation",
    "export_onnx": "models",
    "load_data": "data",
    "negative_weights": "insight",
    "relative_delta": "insight",
    "resume": "training",
    "train": "training",
}

__all__ = [
    "ClassBalancedSampler",
    "Config",
    "Embedder",
    "Euclidean",
    "Hyperbolic",
    "Index",
    "InputError",
    "Mixed",
    "PairwiseCrossEntropy",
    "Run",
    "Sphere",
    "evaluate_retrieval",
    "export_onnx",
    "load_data",
    "negative_weights",
    "relative_delta",
    "resume",
    "train",
]


def __getattr__(name: str):
    if name not in _ROOMS:
        raise AttributeError(f"module 'horosphere' has no attribute {name!r}")
    value = getattr(import_module(f".{_ROOMS[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *_ROOMS]
