"""Differences between two methods, paired over the seeds that both have."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..evaluation import mean_interval


@dataclass(frozen=True)
class Difference:
    """A mean difference over seeds, with Student's 95 % interval and the two-sided p-value of its t-test.

    Both are None for a single seed.
    """

    mean: float
    interval: tuple[float, float] | None
    p: float | None

    @property
    def holds_zero(self) -> bool:
        """Whether the interval holds 0, so that the difference is a tie."""
        return self.interval is None or self.interval[0] <= 0 <= self.interval[1]


def paired(values: Sequence[float], reference: Sequence[float]) -> Difference:
    """values − reference, seed by seed."""
    from scipy import stats  # takes long to import

    differences = np.subtract(values, reference)
    mean, interval = float(differences.mean()), mean_interval(differences)
    if interval is None:
        return Difference(mean, None, None)
    if interval[0] == interval[1]:
        return Difference(mean, interval, 1.0 if mean == 0 else 0.0)
    return Difference(mean, interval, float(stats.ttest_1samp(differences, 0).pvalue))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's correction of several p-values: below α, they are together wrong with probability α at most.

    The smallest is multiplied by their number, the next by one less, and so on; none becomes smaller than one before it.
    """
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(1, np.maximum.accumulate(factors * np.asarray(p_values)[order]))
    return corrected.tolist()


def verdict(difference: Difference, corrected: float | None) -> str:
    """A difference in words: a tie where its interval holds 0, else a hint until its corrected p-value is below 0.05."""
    if corrected is None:
        return "one seed: no interval"
    if difference.holds_zero:
        return "a tie"
    direction = "better" if difference.mean > 0 else "worse"
    return direction if corrected < 0.05 else f"a hint: {direction}"
