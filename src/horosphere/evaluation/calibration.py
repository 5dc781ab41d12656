"""From a confidence to a probability of being right, and how far that can be trusted."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from .bootstrap import class_bootstrap

_Z = 1.959963984540054  # 97.5 % of the normal distribution


def wilson(right: ArrayLike, count: ArrayLike) -> NDArray[np.float64]:
    """95 % Wilson intervals of rates, `right` of `count` each (k,): (k, 2). It takes answers as independent."""
    right, count = np.asarray(right, np.float64), np.asarray(count, np.float64)
    centre, width = right + _Z**2 / 2, _Z * np.sqrt(right * (count - right) / count + _Z**2 / 4)
    return np.stack([centre - width, centre + width], -1) / (count + _Z**2)[..., None]


@dataclass(frozen=True)
class Bins:
    """Answers in bins of (nearly) equal size along a value: their mean value, how many, how many are right: (k,) each."""

    values: NDArray
    counts: NDArray
    right: NDArray

    @property
    def rates(self) -> NDArray[np.float64]:
        """The share of right answers, (k,)."""
        return self.right / self.counts


def in_bins(values: ArrayLike, right: ArrayLike, bins: int = 10) -> Bins:
    """Put answers (n,) into at most `bins` bins of about equal size by their values; equal values share a bin."""
    values, right = np.asarray(values, np.float64), np.asarray(right, np.float64)
    edges = np.unique(np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1]))
    place = np.searchsorted(edges, values, side="right")
    # Many equal values leave small bins beside theirs: a bin takes in the next until it holds half of what it should.
    sizes, own, filled = np.bincount(place), 0, 0
    owner = np.zeros(len(sizes), np.int64)
    for i, size in enumerate(sizes):
        owner[i] = own
        filled += size
        if filled >= len(values) / (2 * bins):
            own, filled = own + 1, 0
    place = np.minimum(owner, own - 1)[place]
    counts = np.bincount(place)
    return Bins(np.bincount(place, values) / counts, counts, np.bincount(place, right))


def calibration_error(probability: ArrayLike, right: ArrayLike, bins: int = 15) -> float:
    """Expected calibration error, Σ_b n_b/n ‖rate of right answers − mean probability‖, over bins of equal size (Naeini et
    al., AAAI 2015, whose bins are of equal width)."""
    found = in_bins(probability, right, bins)
    return float(np.abs(found.rates - found.values) @ found.counts / found.counts.sum())


@dataclass(frozen=True)
class Calibration:
    """A logistic map from a value to the probability of a right answer, fitted on some answers and judged on others.

    Attributes:
        slope, intercept: of the log-odds, for the value as it is; a negative slope means that small values are surer.
        error: expected calibration error on the others.
        brier, constant_brier: mean squared error of the probability, and of always saying the rate of the fitted ones: they
            are equal where a value says nothing.
        gain_interval: 95 % interval over classes of constant_brier − brier, paired; None without labels.
    """

    slope: float
    intercept: float
    error: float
    brier: float
    constant_brier: float
    gain_interval: tuple[float, float] | None = None

    def __call__(self, values: ArrayLike) -> NDArray[np.float64]:
        """Probabilities of values."""
        return 1 / (1 + np.exp(-(self.slope * np.asarray(values, np.float64) + self.intercept)))

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values."""
        return {
            "slope": self.slope,
            "intercept": self.intercept,
            "ece": self.error,
            "brier": self.brier,
            "constant_brier": self.constant_brier,
            "gain_interval": None if self.gain_interval is None else list(self.gain_interval),
        }


def calibrate(
    values: ArrayLike,
    right: ArrayLike,
    fit: ArrayLike,
    labels: ArrayLike | None = None,
    *,
    draws: int = 1000,
    seed: int = 0,
) -> Calibration:
    """Fit the map (Platt, 1999) on the answers in `fit` (n,) of booleans and judge it on the rest; values and right (n,).

    With `labels` (n,), classes are resampled whole, `draws` times by `seed`, for the interval of its gain.

    Raises:
        InputError: where either part is empty, or the answers fitted are all right or all wrong.
    """
    values, right, fit = np.asarray(values, np.float64), np.asarray(right, np.float64), np.asarray(fit, bool)
    if not values.shape == right.shape == fit.shape or values.ndim != 1 or fit.all() or not fit.any():
        raise InputError(
            f"values of shape {values.shape}, right {right.shape}, and {int(fit.sum())} of {fit.size} to fit on; expected "
            "one of each an answer, and some on both sides"
        )
    rate = right[fit].mean()
    if rate in (0, 1):
        raise InputError(f"all {int(fit.sum())} answers to fit on are {'right' if rate else 'wrong'}; expected both kinds")
    from sklearn.linear_model import LogisticRegression

    mean, scale = values[fit].mean(), values[fit].std() or 1.0
    # Nearly unpenalised, on a value of unit spread.
    model = LogisticRegression(C=1e6, max_iter=1000).fit((values[fit, None] - mean) / scale, right[fit])
    slope = float(model.coef_[0, 0] / scale)
    intercept = float(model.intercept_[0] - slope * mean)
    probability, own = 1 / (1 + np.exp(-(slope * values[~fit] + intercept))), right[~fit]
    brier, constant = (probability - own) ** 2, (rate - own) ** 2
    interval = None
    if labels is not None and draws:
        ((low, high),) = class_bootstrap((constant - brier)[:, None], np.asarray(labels)[~fit], draws=draws, seed=seed)
        interval = float(low), float(high)
    return Calibration(
        slope,
        intercept,
        calibration_error(probability, own),
        float(brier.mean()),
        float(constant.mean()),
        interval,
    )
