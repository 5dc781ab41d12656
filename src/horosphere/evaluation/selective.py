"""Does a confidence tell right answers from wrong ones? Risk–coverage curves, and the area below them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from .uncertainty import percentiles


def risk_coverage(confidence: ArrayLike, wrong: ArrayLike) -> NDArray[np.float64]:
    """The error among the k most confident answers, for k = 1 … n: (n,) (El-Yaniv and Wiener, JMLR 2010).

    confidence: (n,), larger is surer; wrong: (n,) of 0 and 1. Answers of one confidence come in random order, and the error
    is the mean over those orders, so that the order of the input does not matter.
    """
    confidence, wrong = _pair(confidence, wrong)
    _, place, sizes = np.unique(-confidence, return_inverse=True, return_counts=True)
    ends = np.concatenate([[0], sizes.cumsum()])
    errors = np.concatenate([[0.0], np.bincount(place, wrong).cumsum()])
    count = np.arange(1, len(wrong) + 1)
    return np.interp(count, ends, errors) / count


def aurc(confidence: ArrayLike, wrong: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Area under the risk–coverage curve, the mean of `risk_coverage` (Geifman et al., ICLR 2019): lower is better.

    `weights` (n,), whole numbers, repeat the answers so many times. A random order has the error rate; the best,
    `aurc(1 - wrong, wrong)`, has about e²/2 of an error rate e.
    """
    confidence, wrong = _pair(confidence, wrong)
    counts = np.ones(len(wrong), np.int64) if weights is None else np.asarray(weights, np.int64)
    return float(_Order(confidence, wrong).area(counts, _harmonic(int(counts.sum()))))


class _Order:
    """Answers sorted by confidence, those of one confidence together."""

    def __init__(self, confidence: NDArray, wrong: NDArray):
        self.order = (-confidence).argsort(kind="stable")
        ranked = confidence[self.order]
        self.starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
        self.wrong = wrong[self.order]

    def area(self, counts: NDArray[np.int64], harmonic: NDArray) -> float:
        """The mean over k of the errors among the k first over k. In a group of m answers with e errors after N with E,
        Σ_{j ≤ m} (E + j e/m)/(N + j) = e + (E − N e/m)(H(N + m) − H(N)), H the harmonic numbers."""
        counts = counts[self.order]
        sizes, errors = np.add.reduceat(counts, self.starts), np.add.reduceat(counts * self.wrong, self.starts)
        upto, total = sizes.cumsum(), errors.cumsum()
        before, errors_before = upto - sizes, total - errors
        rate = errors / np.maximum(sizes, 1)
        spread = harmonic[upto] - harmonic[before]
        return float((errors + (errors_before - before * rate) * spread).sum() / upto[-1])


@dataclass(frozen=True)
class Selection:
    """What a confidence is worth.

    Attributes:
        area: AURC.
        excess: area − that of the best order (E-AURC).
        gain: that of a random order − area, above 0 where the confidence helps; `gain_interval` its 95 % interval.
        interval: 95 % interval of the area, over classes; None without draws.
    """

    area: float
    excess: float
    gain: float
    interval: tuple[float, float] | None
    gain_interval: tuple[float, float] | None

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values."""
        intervals = {"interval": self.interval, "gain_interval": self.gain_interval}
        return {"aurc": self.area, "excess": self.excess, "gain": self.gain} | {
            name: None if bounds is None else list(bounds) for name, bounds in intervals.items()
        }


@dataclass(frozen=True)
class SelectionReport:
    """Confidences side by side, on the same answers.

    Attributes:
        selections: by name.
        error, best: the error rate, which is a random order's AURC; and the AURC of the best order.
        differences: AURC of the first confidence minus each other's: (difference, 95 % interval), paired.
        answers, classes: how many.
    """

    selections: dict[str, Selection]
    error: float
    best: float
    differences: dict[str, tuple[float, tuple[float, float]]] = field(default_factory=dict)
    answers: int = 0
    classes: int = 0

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values."""
        return {
            "answers": self.answers,
            "classes": self.classes,
            "random": self.error,
            "best": self.best,
            "confidences": {name: selection.to_dict() for name, selection in self.selections.items()},
            "differences": {
                name: {"difference": value, "interval": list(bounds)} for name, (value, bounds) in self.differences.items()
            },
        }


def selective_risk(
    confidences: Mapping[str, ArrayLike], wrong: ArrayLike, labels: ArrayLike, *, draws: int = 1000, seed: int = 0
) -> SelectionReport:
    """Judge confidences (n,) of n answers by the areas under their risk–coverage curves.

    Args:
        confidences: name → (n,), larger is surer; the first is compared with each of the others.
        wrong: (n,), 1 for a wrong answer, 0 for a right one.
        labels: (n,) the class of each: classes are resampled whole.
        draws: of the bootstrap; 0 for no intervals.
        seed: of the bootstrap.

    Raises:
        InputError: for shapes that differ, or values that are no numbers.
    """
    if not confidences:
        raise InputError("no confidence is given; expected one or more, by name")
    labels, pairs = np.asarray(labels), {name: _pair(values, wrong) for name, values in confidences.items()}
    wrong = next(iter(pairs.values()))[1]
    if labels.shape != wrong.shape:
        raise InputError(f"labels of shape {labels.shape} for {len(wrong)} answers; expected a class each")
    orders = {name: _Order(*pair) for name, pair in pairs.items()}
    best = _Order(1 - wrong, wrong)
    _, owner, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    generator, classes = np.random.default_rng(seed), len(sizes)
    drawn = [np.bincount(generator.integers(classes, size=classes), minlength=classes) for _ in range(draws)]
    harmonic = _harmonic(max([len(wrong), *(int(own @ sizes) for own in drawn)]))
    ones, error = np.ones(len(wrong), np.int64), float(wrong.mean())
    areas = {name: order.area(ones, harmonic) for name, order in orders.items()}
    least = best.area(ones, harmonic)
    samples = {name: np.empty(draws) for name in orders}
    errors = np.empty(draws)
    for i, own in enumerate(drawn):
        counts = own[owner]
        errors[i] = counts @ wrong / counts.sum()
        for name, order in orders.items():
            samples[name][i] = order.area(counts, harmonic)
    selections = {
        name: Selection(area, area - least, error - area, percentiles(samples[name]), percentiles(errors - samples[name]))
        for name, area in areas.items()
    }
    first, *others = orders
    differences = {
        name: (areas[first] - areas[name], bounds)
        for name in others
        if (bounds := percentiles(samples[first] - samples[name]))
    }
    return SelectionReport(selections, error, least, differences, len(wrong), classes)


def _harmonic(count: int) -> NDArray[np.float64]:
    """H(0) … H(count)."""
    return np.concatenate([[0.0], (1 / np.arange(1, count + 1)).cumsum()])


def _pair(confidence: ArrayLike, wrong: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    confidence, wrong = np.asarray(confidence, np.float64), np.asarray(wrong, np.float64)
    if confidence.ndim != 1 or confidence.shape != wrong.shape or not len(wrong):
        raise InputError(
            f"confidence of shape {confidence.shape} and wrong of shape {wrong.shape}; expected one of each an answer"
        )
    if not np.isfinite(confidence).all() or not np.isin(wrong, (0, 1)).all():
        raise InputError("a confidence is not finite, or a value of wrong is neither 0 nor 1")
    return confidence, wrong
