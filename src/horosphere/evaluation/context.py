"""Does an object far from its scene not belong there? (Ge et al. 2023, Figure 5)"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..errors import InputError
from .roc import areas_under_roc


@dataclass(frozen=True)
class ContextReport:
    """How well each distance finds objects that do not belong.

    Attributes:
        auroc: by name of the distance; 0.5 is chance.
        intervals: 95 % bootstrap intervals over images, by name; empty without draws.
        differences: of the first distance minus each other one: (difference, 95 % interval), paired.
        objects, odd: how many were judged, and how many of them do not belong.
    """

    auroc: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    differences: dict[str, tuple[float, tuple[float, float]]]
    objects: int
    odd: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values."""
        return {
            "objects": self.objects,
            "out_of_context": self.odd,
            "auroc": self.auroc,
            "intervals": {name: list(bounds) for name, bounds in self.intervals.items()},
            "differences": {
                name: {"difference": value, "interval": list(bounds)} for name, (value, bounds) in self.differences.items()
            },
        }


def out_of_context(
    distances: Mapping[str, ArrayLike], odd: ArrayLike, images: ArrayLike | None = None, *, draws: int = 1000, seed: int = 0
) -> ContextReport:
    """Judge distances of objects to their scenes as a score for not belonging.

    Args:
        distances: name → (n,), larger is odder; the first is compared with each of the others.
        odd: (n,), 1 for an object out of context, 0 for one in it.
        images: (n,), which image an object is from: images are resampled whole. By default each its own.

    Raises:
        InputError: for shapes that differ, values that are no numbers, or where all objects are of one kind.
    """
    odd = np.asarray(odd)
    scores = {name: np.asarray(values, np.float64) for name, values in distances.items()}
    images = np.arange(len(odd)) if images is None else np.asarray(images)
    shapes = {name: values.shape for name, values in ({"odd": odd, "images": images} | scores).items()}
    if not scores or len(set(shapes.values())) > 1 or odd.ndim != 1:
        raise InputError(f"shapes {shapes}; expected one or more distances, and of each one value an object")
    if not np.isin(odd, (0, 1)).all() or len(np.unique(odd)) < 2:
        raise InputError(
            f"{len(odd)} objects of which {int(np.sum(odd == 1))} are out of context; expected both kinds, as 0 and 1"
        )
    if not all(np.isfinite(values).all() for values in scores.values()):
        raise InputError("a distance is not finite; expected distances of points")
    areas = areas_under_roc(scores, odd, images, draws=draws, seed=seed)
    return ContextReport(areas.values, areas.intervals, areas.differences, len(odd), int(odd.sum()))
