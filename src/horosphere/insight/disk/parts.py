"""Which points of a mixture are drawn in a disk of their own."""

from torch import Tensor

from ...spaces import Hyperbolic, Mixed, Space


def hyperbolic_parts(space: Space, points: Tensor) -> list[tuple[str, Hyperbolic, Tensor]]:
    """The hyperbolic parts that a mixture mixes with others, of points (n, p): name, space and points of each."""
    if not isinstance(space, Mixed) or sum(weight > 0 for weight in space.weights) < 2:
        return []
    parts = zip(space.names, space.parts, space.split(points), space.weights, strict=True)
    return [(name, part, own.contiguous()) for name, part, own, weight in parts if weight and isinstance(part, Hyperbolic)]
