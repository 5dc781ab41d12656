"""Is a radius a confidence? Risk against coverage, and accuracy by radius."""

from collections.abc import Callable, Mapping

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..evaluation.calibration import Bins, wilson
from .figures import BLUE, GREEN, GREY, ORANGE, PURPLE, _figure

#: Colours and dashes of curves, which differ without colour too.
_CURVES = ((BLUE, "-"), (ORANGE, "--"), (GREEN, "-."), (PURPLE, (0, (1, 1))), ("black", (0, (5, 1, 1, 1, 1, 1))))
#: Points of a curve that are drawn, at most.
_POINTS = 500


def risk_curves(curves: Mapping[str, NDArray], best: NDArray, error: float) -> Figure:
    """The error among the surest answers against their share, of some confidences, each the `risk_coverage` of the same n.

    `best` is that of the best order, and `error` the rate of all, which a random order has at every share.
    """
    figure, axes = _figure(7, 3.9)
    count = len(best)
    # Of a handful of answers a rate jumps between 0 and 1.
    at = np.unique(np.geomspace(min(max(10, count // 100), count), count, _POINTS).astype(int)) - 1
    share = 100 * (at + 1) / count
    for i, (name, risks) in enumerate(curves.items()):
        # From the sixth on the colours come again, with other dashes.
        colour, dash = _CURVES[i % len(_CURVES)][0], _CURVES[(i + i // len(_CURVES)) % len(_CURVES)][1]
        axes.plot(share, 100 * risks[at], color=colour, linestyle=dash, lw=1.8, label=name)
    axes.plot(share, 100 * best[at], color=GREY, lw=1.2, label="the best order")
    axes.axhline(100 * error, color=GREY, lw=1.2, linestyle=":", label="a random order")
    axes.set_xlim(0, 100)
    axes.set_ylim(bottom=0)
    axes.set_xlabel(f"coverage: the surest answers kept, % of {count:,} queries")
    axes.set_ylabel("wrong among them, %")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=10)
    return figure


def accuracy_by_value(
    bins: Bins, probability: Callable[[NDArray], NDArray] | None = None, what: str = "radius: distance to the origin"
) -> Figure:
    """The share of right answers in bins along a value, with 95 % Wilson intervals, and a fitted probability."""
    figure, axes = _figure(7, 3.4)
    rates, (low, high) = 100 * bins.rates, 100 * wilson(bins.right, bins.counts).T
    errors = np.stack([rates - low, high - rates]).clip(0)
    label = "queries in a bin, with 95 % Wilson intervals"
    axes.errorbar(bins.values, rates, errors, fmt="o", color=BLUE, capsize=3, ms=5, lw=1.5, label=label)
    if probability is not None and len(bins.values) > 1:
        x = np.linspace(bins.values[0], bins.values[-1], 200)
        axes.plot(
            x, 100 * probability(x), color=ORANGE, lw=1.5, linestyle="--", label="logistic map, fitted on other classes"
        )
    rate = 100 * bins.right.sum() / bins.counts.sum()
    axes.axhline(rate, color=GREY, lw=1.2, linestyle=":", label="all queries")
    axes.set_xlabel(f"{what} ({len(bins.counts)} bins, {bins.counts.sum():,} queries)")
    axes.set_ylabel("nearest is of the class, %")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=9)
    return figure
