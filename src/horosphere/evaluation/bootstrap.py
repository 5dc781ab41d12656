"""Confidence intervals that respect classes: images of one class succeed or fail together."""

import numpy as np
from numpy.typing import NDArray

#: Draws worked on at a time, so that memory does not grow with their number.
_CHUNK = 32


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
