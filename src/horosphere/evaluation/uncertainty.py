"""Does a radius say how much is in an image? Norms against the number of labels (Ge et al. 2023, Figure 3)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from .bootstrap import class_bootstrap
from .correlation import rank_correlation


@dataclass(frozen=True)
class LabelUncertainty:
    """How a radius grows with the number of labels.

    Attributes:
        correlation: Spearman's, of radius with count over the images; NaN where the radius is constant.
        interval: its 95 % bootstrap interval over images, or None without draws.
        counts: the distinct numbers of labels (k,), ascending.
        images: how many images have each (k,).
        means: their mean radius (k,).
        intervals: 95 % intervals of the means (k, 2); NaN for one image alone, and without draws.
    """

    correlation: float
    interval: tuple[float, float] | None
    counts: NDArray[np.int64]
    images: NDArray[np.int64]
    means: NDArray[np.float64]
    intervals: NDArray[np.float64]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values."""
        return {
            "correlation": None if np.isnan(self.correlation) else self.correlation,
            "interval": None if self.interval is None else list(self.interval),
            "by_count": [
                {"labels": int(count), "images": int(images), "mean": float(mean)}
                for count, images, mean in zip(self.counts, self.images, self.means, strict=True)
            ],
        }


def label_uncertainty(radius: ArrayLike, counts: ArrayLike, *, draws: int = 1000, seed: int = 0) -> LabelUncertainty:
    """Compare the radius of n images with their numbers of labels, `radius` and `counts` both (n,).

    `radius` is any norm: of hyperbolic points, or, as the control, of an encoder's output. `counts` are labels of an
    image, such as those of ImageNet-ReaL, or boxes of a scene.

    Raises:
        InputError: for other shapes, fewer than three images, counts that are all the same, or a radius that is no number.
    """
    radius, counts = np.asarray(radius, np.float64), np.asarray(counts, np.int64)
    if radius.ndim != 1 or radius.shape != counts.shape:
        raise InputError(f"radius of shape {radius.shape} and counts of shape {counts.shape}; expected one of each an image")
    if len(radius) < 3 or (counts == counts[0]).all():
        raise InputError(
            f"{len(counts)} images with {len(np.unique(counts))} different numbers of labels; expected 3 images or more, "
            "some with few labels and some with many"
        )
    if not np.isfinite(radius).all():
        raise InputError("a radius is not finite; expected norms of points or encodings")
    generator = np.random.default_rng(seed)
    correlations = []
    for _ in range(draws):
        drawn = generator.integers(len(radius), size=len(radius))
        correlations.append(rank_correlation(radius[drawn], counts[drawn]))
    distinct, images = np.unique(counts, return_counts=True)
    own = [radius[counts == count] for count in distinct]
    spread = [
        class_bootstrap(values[:, None], np.arange(len(values)), draws=draws, seed=seed)[0]
        if draws and len(values) > 1
        else np.full(2, np.nan)
        for values in own
    ]
    return LabelUncertainty(
        rank_correlation(radius, counts),
        percentiles(correlations),
        distinct,
        images,
        np.array([values.mean() for values in own]),
        np.array(spread),
    )


def percentiles(draws: ArrayLike, level: float = 0.95) -> tuple[float, float] | None:
    """The interval that holds `level` of the bootstrap draws which are numbers, or None where none is."""
    draws = np.asarray(draws, np.float64)
    draws = draws[~np.isnan(draws)]
    if not len(draws):
        return None
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
