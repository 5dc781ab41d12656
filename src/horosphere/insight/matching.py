"""At which temperatures geometries weigh as many negatives: what is left between them then is no matter of temperature."""

import math
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from ..errors import InputError
from ..evaluation.negatives import effective_number
from ..spaces import Space
from .weights import checked, checked_anchors, distances_to_others

#: Temperatures looked among, as powers of e.
_LOW, _HIGH = math.log(1e-6), math.log(1e6)


@torch.no_grad()
def matched_temperatures(
    geometries: Mapping[str, tuple[Space, Tensor]],
    labels: ArrayLike | Tensor,
    anchors: ArrayLike | Tensor,
    name: str,
    temperature: float,
) -> tuple[float, dict[str, float | None]]:
    """The temperature at which each other geometry weighs as many negatives as `name` does at `temperature`.

    As many: the median over anchors of the effective number (Σ p)²/Σ p² of `weigh_negatives`. It grows with τ, from the
    number of equally nearest negatives to that of all, since its logarithm's slope along 1/τ is 2 E[−D] under weights at τ
    less the same at τ/2.

    Args:
        geometries: name → (space, points (n, p)) of the same images.
        labels, anchors: as for `weigh_negatives`; the distances of the anchors (a,) to all points are held, a × n numbers.

    Returns:
        That number, and name → temperature of the others, to four digits; None where no temperature gives the number.

    Raises:
        InputError: as `weigh_negatives`.
    """
    from scipy.optimize import brentq  # takes long to import

    if not temperature > 0:
        raise InputError(f"temperature={temperature}; expected a positive number")

    def nearness(geometry: str) -> Tensor:
        """−D of anchors to all points (a, n), −∞ to their own class."""
        space, points = geometries[geometry]
        points, classes = checked(space, points, labels)
        blocks = distances_to_others(space, points, classes, checked_anchors(classes, anchors), torch.float32)
        return torch.cat([apart.neg() for _, apart in blocks])

    def median(near: Tensor, tau: float) -> float:
        return float(np.median(effective_number(near / tau).cpu().numpy()))

    number = median(nearness(name), temperature)
    found: dict[str, float | None] = {}
    for other in geometries:
        if other == name:
            continue
        near = nearness(other)
        ends = [median(near, math.exp(end)) - number for end in (_LOW, _HIGH)]
        found[other] = None
        if ends[0] <= 0 <= ends[1]:
            found[other] = math.exp(
                brentq(lambda log, near=near: median(near, math.exp(log)) - number, _LOW, _HIGH, xtol=1e-5)
            )
    return number, found
