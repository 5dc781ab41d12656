"""The radii of a subject's points."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from ..evaluation import disguise
from ..spaces import Mixed, Space
from .subject import NotHere, Subject

#: Radii are rounded to this share of the largest: float32 must not rank points at the clip.
_STEP = 1e-5


@dataclass(frozen=True)
class Part:
    """A geometry whose points have a radius, and the radius of each."""

    name: str
    space: Space
    points: Tensor
    radius: np.ndarray


def parts_with_radius(subject: Subject) -> tuple[list[Part], list[str]]:
    """The parts of its space whose radius takes part, and of each other one that has an origin why it does not.

    Raises NotHere where no radius takes part.
    """
    space = subject.space
    found = [(space.name, space, subject.points)]
    if isinstance(space, Mixed):
        weighed = zip(space.names, space.parts, space.split(subject.points), space.weights, strict=True)
        found = [(name, part, points) for name, part, points, weight in weighed if weight]
    found = [(name, part, points.contiguous()) for name, part, points in found if part.has_origin]
    if not found:
        raise NotHere(
            "points on a sphere have no radius; train with a hyperbolic part, as in the recipes demo and omniglot-hyperbolic"
        )
    parts, left_out = [], []
    for name, part, points in found:
        values = part.radius(points).double().numpy()
        mean, top = values.mean(), values.max()
        clipped = part.telemetry(points).get("clip_fraction")
        if reason := disguise(None, clipped, values.std() / mean if mean > 0 else 0.0):
            left_out.append(f"statistics of the radius of {name} are n/a: {reason[1]}")
        else:
            step = _STEP * top
            parts.append(Part(name, part, points, np.round(values / step) * step))
    if not parts:
        raise NotHere(
            f"{'; '.join(left_out)}. Take a larger clip, or model.normalise_encoding=l2, so that points start inside of it"
        )
    return parts, left_out


def named(part: Part, parts: list[Part]) -> str:
    """What to call the radius of one of these."""
    return "radius" if len(parts) == 1 else f"radius of {part.name}"


def interval(bounds: tuple[float, float] | None) -> str:
    """Its ends in words; nothing where there is none."""
    return "" if bounds is None else f"{bounds[0]:.4f} to {bounds[1]:.4f}".replace("-", "−")
