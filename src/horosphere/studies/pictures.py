"""The pictures of studies."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..insight.figures import BLUE, GREY, ORANGE
from .statistics import paired


def dots(recipes: Mapping[str, dict], metrics: Sequence[str], reference: str) -> Figure:
    """A dot a seed, the mean as a diamond with its 95 % interval; a panel a metric, in per cent."""
    figure, parts = _rows(list(recipes), metrics, "%")
    rows = np.arange(len(recipes))[::-1]
    for axes, metric in zip(parts, metrics, strict=True):
        for row, entry in zip(rows, recipes.values(), strict=True):
            values = 100 * np.asarray(entry["rows"][entry["headline"]][metric])
            axes.plot(values, np.full(len(values), row), "o", color=BLUE, ms=5, alpha=0.45, mec="none")
            found = paired(values.tolist(), [0.0] * len(values))
            error = None if found.interval is None else [[found.mean - found.interval[0]], [found.interval[1] - found.mean]]
            axes.errorbar([found.mean], [row - 0.22], xerr=error, fmt="D", color=ORANGE, ms=5, capsize=3, lw=1.4)
        if reference in recipes:
            entry = recipes[reference]
            axes.axvline(100 * np.mean(entry["rows"][entry["headline"]][metric]), color=GREY, ls="--", lw=1, zorder=0)
    return figure


def forest(comparisons: Sequence[dict], metrics: Sequence[str]) -> Figure:
    """Paired differences with their intervals around 0; hollow where it is a tie."""
    names = list(dict.fromkeys(each["recipe"] for each in comparisons))
    figure, parts = _rows(names, metrics, "points")
    rows = dict(zip(names, np.arange(len(names))[::-1], strict=True))
    for axes, metric in zip(parts, metrics, strict=True):
        axes.axvline(0, color=GREY, ls="--", lw=1, zorder=0)
        for each in (each for each in comparisons if each["metric"] == metric):
            low, high = each["interval"] or (each["mean"], each["mean"])
            tie = low <= 0 <= high
            axes.errorbar(
                [100 * each["mean"]],
                [rows[each["recipe"]]],
                xerr=[[100 * (each["mean"] - low)], [100 * (high - each["mean"])]],
                fmt="D",
                color=GREY if tie else ORANGE if each["mean"] < 0 else BLUE,
                mfc="white" if tie else None,
                ms=6,
                capsize=3,
                lw=1.5,
            )
    return figure


def panels(metrics: Sequence[str], height: float) -> tuple[Figure, Sequence[Axes]]:
    """Panels side by side, one a metric, in per cent."""
    figure = Figure(figsize=(9.5, height), layout="constrained", dpi=110)
    parts = figure.subplots(1, len(metrics), squeeze=False)[0]
    for axes, metric in zip(parts, metrics, strict=True):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3)
        axes.set_ylabel(f"{metric_title(metric)}, %")
    return figure, parts


def _rows(names: Sequence[str], metrics: Sequence[str], unit: str) -> tuple[Figure, Sequence[Axes]]:
    """Panels side by side, one a metric, with named rows."""
    figure = Figure(figsize=(9.5, 1.1 + 0.4 * len(names)), layout="constrained", dpi=110)
    parts = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    for axes, metric in zip(parts, metrics, strict=True):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="x", alpha=0.3)
        axes.margins(x=0.08)
        axes.set_xlabel(f"{metric_title(metric)}, {unit}")
        axes.set_yticks(np.arange(len(names))[::-1], names)
        axes.set_ylim(-0.7, len(names) - 0.4)
    return figure, parts


def metric_title(metric: str) -> str:
    """A metric's name in tables and pictures."""
    return {"map_at_r": "MAP@R"}.get(metric, metric.replace("recall", "Recall"))
