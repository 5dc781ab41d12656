"""How well scores tell two kinds apart: the area under the ROC curve, with intervals."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .correlation import average_ranks
from .uncertainty import percentiles

Interval = tuple[float, float]


def auroc(scores: ArrayLike, positive: ArrayLike) -> float:
    """Area under the ROC curve: the chance that a positive scores above a negative, ties counting half.

    `scores` (n,), `positive` (n,) of 0 and 1. NaN where either kind is missing.
    """
    scores, positive = np.asarray(scores, np.float64), np.asarray(positive, bool)
    count = int(positive.sum())
    pairs = count * (len(positive) - count)
    if not pairs:
        return float("nan")
    return float((average_ranks(scores)[positive].sum() - count * (count + 1) / 2) / pairs)


@dataclass(frozen=True)
class Areas:
    """Areas under the ROC curve of scores on the same items.

    Attributes:
        values: by name; 0.5 is chance.
        intervals: 95 % bootstrap intervals over groups, by name; empty without draws.
        differences: of the first score minus each other one: (difference, 95 % interval), paired.
    """

    values: dict[str, float]
    intervals: dict[str, Interval]
    differences: dict[str, tuple[float, Interval]]


def areas_under_roc(
    scores: Mapping[str, NDArray], positive: ArrayLike, groups: ArrayLike, *, draws: int = 1000, seed: int = 0
) -> Areas:
    """Judge scores (n,), by name, by how often a positive is above a negative; `positive` (n,) of 0 and 1.

    `groups` (n,) are resampled whole: items of one image or class succeed or fail together.
    """
    positive = np.asarray(positive)
    values = {name: auroc(own, positive) for name, own in scores.items()}
    _, owner = np.unique(np.asarray(groups), return_inverse=True)
    rows = np.split(np.argsort(owner, kind="stable"), np.cumsum(np.bincount(owner))[:-1])
    generator = np.random.default_rng(seed)
    drawn: dict[str, list[float]] = {name: [] for name in scores}
    for _ in range(draws):
        chosen = np.concatenate([rows[i] for i in generator.integers(len(rows), size=len(rows))])
        for name, own in scores.items():
            drawn[name].append(auroc(own[chosen], positive[chosen]))
    intervals = {name: bounds for name, own in drawn.items() if (bounds := percentiles(own))}
    first, *others = scores
    differences = {
        name: (values[first] - values[name], bounds)
        for name in others
        if (bounds := percentiles(np.subtract(drawn[first], drawn[name])))
    }
    return Areas(values, intervals, differences)
