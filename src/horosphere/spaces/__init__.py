"""Where embeddings live: each space says how features enter it and how far apart its points are. Imports torch only.

Every other room builds on this one: a loss, a metric, an index and a picture are all functions of distances in a space.
"""

from .class_partition import log_class_partition
from .euclidean import Euclidean
from .hyperbolic import Hyperbolic
from .mixed import Mixed
from .partition import log_partition
from .space import Space
from .sphere import Sphere

__all__ = ["Euclidean", "Hyperbolic", "Mixed", "Space", "Sphere", "from_description", "log_class_partition", "log_partition"]

_KINDS = {"euclidean": Euclidean, "hyperbolic": Hyperbolic, "mixed": Mixed, "sphere": Sphere}


def from_description(description: dict) -> Space:
    """The space that `space.describe()` wrote down. Raises ValueError for an unknown kind or option."""
    options = dict(description)
    kind = options.pop("kind", None)
    if kind not in _KINDS:
        raise ValueError(f"unknown kind of space {kind!r}; known: {', '.join(_KINDS)}")
    if kind == "mixed":
        options["parts"] = [from_description(part) for part in options["parts"]]
    try:
        return _KINDS[kind](**options)
    except TypeError as error:
        raise ValueError(f"cannot make a {kind} space of {options}: {error}") from None
