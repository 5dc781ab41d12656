"""The radii of a subject's points."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from ..spaces import Mixed, Space
from .subject import NotHere, Subject

#: Radii that differ by less, as a share of the largest, are one: rounding must not rank points at the clip.
_SAME = 1e-5


@dataclass(frozen=True)
class Part:
    """A geometry whose points have a radius, and the radius of each."""

    name: str
    space: Space
    points: Tensor
    radius: np.ndarray


def radii_of(subject: Subject) -> list[Part]:
    """Of each part of its space that has an origin. Raises NotHere where none has, or no radius differs."""
    space = subject.space
    found = [(space.name, space, subject.points)]
    if isinstance(space, Mixed):
        found = list(zip(space.names, space.parts, space.split(subject.points), strict=True))
    found = [(name, part, points.contiguous()) for name, part, points in found if part.has_origin]
    if not found:
        raise NotHere(
            "points on a sphere have no radius; train with a hyperbolic part, as in the recipes demo and omniglot-hyperbolic"
        )
    parts = []
    for name, part, points in found:
        values = part.radius(points).double().numpy()
        step = _SAME * values.max()
        values = np.round(values / step) * step if step > 0 else values
        if len(np.unique(values)) > 1:
            parts.append(Part(name, part, points, values))
    if not parts:
        raise NotHere(
            "all points lie at one radius, which says nothing then; take a larger clip, or model.normalise_encoding=l2, so "
            "that they start inside of it"
        )
    return parts


def named(part: Part, parts: list[Part]) -> str:
    """What to call the radius of one of these."""
    return "radius" if len(parts) == 1 else f"radius of {part.name}"


def interval(bounds: tuple[float, float] | None) -> str:
    """Its ends in words; nothing where there is none."""
    return "" if bounds is None else f"{bounds[0]:.4f} to {bounds[1]:.4f}".replace("-", "−")
