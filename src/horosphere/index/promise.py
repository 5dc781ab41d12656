"""What approximate search finds, measured: recall, a bound on it, and the smallest effort that keeps a promise.

Recall at k is the share of a query's k nearest items that a search finds, in the mean over queries. It is measured with a
sample of the index's own items that are not in the graph: drawn alike from all, they are to it what any query from the same
source is. (An item in the graph would be too easy a query, because its edges lead to its neighbours.) The exact answers,
without the item itself, are known from exact search.

The recall of n queries scatters, so a promise counts as kept where the lower end of an interval keeps it. For n independent
numbers in [0, 1] of mean m and expectation p, and also where they are drawn without replacement (Hoeffding, Probability
Inequalities for Sums of Bounded Random Variables, JASA 1963, Theorem 1 and Section 6),

    P(mean ≥ m) ≤ exp(−n kl(m, p)),   kl(m, p) = m log(m/p) + (1 − m) log((1 − m)/(1 − p)),   p ≤ m

so the least p with n kl(m, p) ≤ log 20 lies below the true recall with 95 % confidence, whatever its distribution: where all
of 1,000 queries found everything, it is 0.997.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_CONFIDENCE = 0.95
#: Recall is to be measured again when this share of the items has come or gone.
_CHANGED = 0.1


def lower_bound(recall: float, queries: int) -> float:
    """The recall that is exceeded with 95 % confidence where `queries` have a mean of `recall`.

    The reference::

        p = np.linspace(0, recall, 10**6)
        p[queries * kl(recall, p) <= np.log(20)].min()
    """
    room, low, high = -math.log(1 - _CONFIDENCE) / queries, 0.0, recall
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _divergence(recall, middle) > room else (low, middle)
    return low


def _divergence(m: float, p: float) -> float:
    if p <= 0:
        return math.inf
    return m * math.log(m / p) + ((1 - m) * math.log((1 - m) / (1 - p)) if m < 1 else 0.0)


@dataclass(frozen=True)
class Trial:
    """What a search of some effort was worth: recall at k, and the lower bound of the worst recall at 1, 2, … k."""

    effort: int
    recall: float
    bound: float


def trial(effort: int, found: NDArray[np.int64], nearest: NDArray[np.int64]) -> Trial:
    """Judge what a search found (n, m), in any order, by the `nearest` (n, k), nearest first."""
    share = np.mean([np.isin(own, some) for own, some in zip(nearest, found, strict=True)], 0)
    recalls = share.cumsum() / np.arange(1, len(share) + 1)
    return Trial(effort, float(recalls[-1]), lower_bound(float(recalls.min()), len(nearest)))


def smallest_effort(
    search: Callable[[int], NDArray[np.int64]], nearest: NDArray[np.int64], efforts: Sequence[int], promise: float
) -> list[Trial]:
    """Trials from the largest of `efforts` down, to the last that keeps the promise at 1, 2, … k of `nearest` (n, k).

    `search(effort)` gives what it found for the n queries (n, m). Without a trial that keeps the promise, the largest is
    alone in the list. As the order is fixed beforehand and the first failure ends it, each trial may have the full
    confidence, and the choice still does (a fixed-sequence test).
    """
    trials: list[Trial] = []
    for effort in sorted(efforts, reverse=True):
        tried = trial(effort, search(effort), nearest)
        if trials and tried.bound < promise:
            break
        trials.append(tried)
        if tried.bound < promise:
            break
    return trials


@dataclass(frozen=True)
class Recall:
    """What searches for up to `k` neighbours give.

    Attributes:
        k: the largest k that this holds for.
        value: recall at k as measured; 1 where searches are exact.
        bound: what the worst recall at 1 to k exceeds with 95 % confidence.
        sample: how many items it was measured with.
        effort: candidates that the graph's search keeps in sight; None where searches are exact.
        milliseconds: of one query, {"exact": …, "graph": …}; of the embedded index processor time, without waiting.
        sentence: all this in words.
        items, last: how many items there were, and the last one's row.
    """

    k: int
    value: float
    bound: float
    sample: int
    effort: int | None
    milliseconds: dict[str, float]
    sentence: str
    items: int
    last: int

    def outdated(self, kept: int, items: int) -> bool:
        """Whether too much has come or gone since this was measured: of `items` there are now, `kept` were there then."""
        return self.items - kept + items - kept >= _CHANGED * self.items
