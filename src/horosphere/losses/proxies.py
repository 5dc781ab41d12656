"""Proxies: points that a loss learns, to stand for classes; and what losses with proxies have in common."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from ..spaces import Mixed, Space
from ..spaces.precision import at_least_float32
from .loss import Loss


class Proxies(nn.Module):
    """`count` learned points of a space, from raw vectors of `dim` features that the space places at each call.

    So a proxy is clipped as any point is. A mixture whose parts see all features gets raw vectors for each part: a proxy has
    its place in one part whatever its place in another. They start in random directions, in a clipped ball at half of the
    clip, where the radius is free to move.
    """

    def __init__(self, space: Space, count: int, dim: int):
        super().__init__()
        self.space = space
        parts = [(space, 1.0)]
        if isinstance(space, Mixed) and space.slices is None:
            parts = list(zip(space.parts, space.weights, strict=True))
        self.raw = nn.ParameterList(nn.Parameter(start(part, torch.randn(count, dim))) for part, _ in parts)
        for raw, (_, weight) in zip(self.raw, parts, strict=True):
            raw.requires_grad_(weight > 0)  # a part of weight 0 teaches its proxies nothing

    def forward(self) -> Tensor:
        """The points (count, `space.dim(dim)`)."""
        return self.space(self.raw[0] if len(self.raw) == 1 else list(self.raw))


def start(space: Space, directions: Tensor) -> Tensor:
    """First raw vectors in these directions (n, d): at half of a clip, because the gradient at a clip has no radius."""
    norm = space.diameter / 8 if math.isfinite(space.diameter) else 1.0
    return norm * nn.functional.normalize(directions, dim=1)


class ProxyLoss(Loss):
    """A loss of similarities s = 1 − 2 D/diameter between points and proxies: from −1 to 1, on the sphere the cosine.

    So the constants of a spherical loss carry over to every space; in a clipped ball s is 1 − D/(2 clip). `classes` C are
    labelled 0 to C − 1, and class c has the proxies from c · `centres` on.
    """

    def __init__(
        self, space: Space, classes: int, centres: int, dim: int, scale: float, *, diameter: float | None, rate: float
    ):
        super().__init__()
        check(
            classes=(classes, classes >= 2, "two or more; a loss tells classes apart, so train on more than one"),
            centres=(centres, centres >= 1, "one proxy a class, or more"),
            dim=(dim, dim >= 1, "the features of a head, one or more"),
            scale=(scale, scale > 0, "a positive number: it is the inverse of a temperature"),
            rate=(rate, rate > 0, "a positive multiple of the optimiser's rate"),
        )
        if diameter is None and not math.isfinite(space.diameter):
            raise ValueError(
                f"distances in this space ({space.name}) have no bound, so similarity has no scale: give diameter=, or clip"
            )
        self.space, self.classes, self.centres, self.dim = space, classes, centres, dim
        self.scale, self.rate = float(scale), rate
        self.diameter = space.diameter if diameter is None else float(diameter)
        check(diameter=(self.diameter, 0 < self.diameter < math.inf, "a positive distance"))
        self.proxies = Proxies(space, classes * centres, dim)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The proxies, at a rate of their own and without decay.

        The encoder starts from weights worth keeping and the proxies from nothing, and a class's proxies see few of the
        images; decay would pull them to the origin, which for a ball is a statement about their place in the hierarchy.
        """
        learned = [raw for raw in self.proxies.raw if raw.requires_grad]
        return [{"name": "proxies", "params": learned, "rate": self.rate, "weight_decay": 0.0}]

    def similarity(self, x: Tensor, y: Tensor) -> Tensor:
        """s of points with points, elementwise with broadcasting, by difference: (…, p), (…, p) → (…)."""
        return 1 - 2 / self.diameter * self.space.distance(x, y)

    def _checked(self, points: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Points in float32 or better and labels on their device. Raises ValueError where they do not fit the loss."""
        labels = self._checked_labels(points, labels)
        columns = self.space.dim(self.dim)
        if points.shape[1] != columns:
            raise ValueError(f"the proxies have {columns} columns, the points {points.shape[1]}: give dim= of the heads")
        if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < self.classes:
            raise ValueError(
                f"labels from {int(labels.min())} to {int(labels.max())}: expected 0 to {self.classes - 1}; number the "
                "training classes from 0 on"
            )
        return at_least_float32(points), labels.to(points.device, non_blocking=True)


def check(**values: tuple[object, bool, str]) -> None:
    """Raise ValueError for the first value whose condition does not hold: name=(value, condition, what was expected)."""
    for name, (value, holds, expected) in values.items():
        if not holds:
            raise ValueError(f"{name}={value}: expected {expected}")
