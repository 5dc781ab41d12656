"""Confidence intervals: over classes, whose images succeed or fail together, and of a mean over runs or draws."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: Draws worked on at a time, so that memory does not grow with their number.
_CHUNK = 32
#: Of fewer classes intervals over classes are too narrow.
FEW = 10


def class_bootstrap(
    values: NDArray, labels: NDArray, *, draws: int = 1000, level: float = 0.95, seed: int = 0
) -> NDArray[np.float64]:
    """Percentile intervals of the mean of each column of `values` (n, m), resampling classes with replacement: (m, 2).

    A draw takes as many classes as there are, each with all its rows; the mean is over the rows drawn, so large classes
    weigh as they do in the mean itself. The same seed gives the same interval.
    """
    _, owner, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    totals = np.stack([np.bincount(owner, column) for column in values.T] + [sizes.astype(np.float64)], 1)
    generator = np.random.default_rng(seed)
    means = np.empty((draws, values.shape[1]))
    for start in range(0, draws, _CHUNK):
        drawn = totals[generator.integers(len(sizes), size=(min(_CHUNK, draws - start), len(sizes)))].sum(1)
        means[start : start + _CHUNK] = drawn[:, :-1] / drawn[:, -1:]
    tail = (1 - level) / 2
    return np.quantile(means, [tail, 1 - tail], axis=0).T


def too_few(classes: int) -> str | None:
    """Why nothing is concluded from intervals over so few classes; None where they are enough."""
    if classes >= FEW:
        return None
    return f"{classes} classes are too few to conclude anything: intervals over fewer than {FEW} are too narrow."


def mean_interval(values: ArrayLike, level: float = 0.95) -> tuple[float, float] | None:
    """Student's interval of the mean of independent values (n,), or None for a single one."""
    from scipy import stats  # takes long to import

    values = np.asarray(values, np.float64)
    if len(values) < 2:
        return None
    mean, error = values.mean(), stats.sem(values)
    if error == 0:
        return float(mean), float(mean)
    low, high = stats.t.interval(level, len(values) - 1, loc=mean, scale=error)
    return float(low), float(high)
