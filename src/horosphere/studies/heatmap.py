"""A grid of two options as a map, with every score in its cell."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ..insight.figures import ORANGE
from .contenders import short
from .pictures import metric_title
from .trials import best_by, spread_words

#: Perceptually uniform, and the same to colour-blind readers.
_COLOURS = colormaps["cividis"]
#: What the rows of other variants are called: the sphere has no curvature, and what is learned no value.
_ROWS = {"sphere": "sphere", "learned": "learned"}


def heat_map(variants: Mapping[str, dict], first: str, second: str, metrics: Sequence[str]) -> Figure:
    """Scores in per cent over two numeric axes, `first` to the right and `second` upwards; a panel a metric.

    Other variants have a row each below, whatever their second axis. Where several trials fall in a cell it has the best.
    The scale of colours is each panel's own.
    """
    trials = [trial for variant in variants.values() for trial in variant["trials"]]
    columns = sorted({trial["setting"][first] for trial in trials if first in trial["setting"]})
    values = sorted({trial["setting"][second] for trial in variants["recipe"]["trials"]})
    others = [name for name in variants if name != "recipe" and any(first in t["setting"] for t in variants[name]["trials"])]
    rows = [("recipe", value) for value in values[::-1]] + [(name, None) for name in others]
    figure = Figure(figsize=(9.5, 1.3 + 0.55 * len(rows)), layout="constrained", dpi=110)
    panels = figure.subplots(1, len(metrics), squeeze=False)[0]
    for axes, key, metric in zip(panels, ("recall", "map_at_r"), metrics, strict=True):
        cells = {}
        for row, (name, value) in enumerate(rows):
            own = variants[name]["trials"]
            if value is not None:
                own = [trial for trial in own if trial["setting"][second] == value]
            for column, trial in best_by(own, first, key).items():
                cells[row, columns.index(column)] = trial
        _fill(axes, cells, key, len(rows), len(columns))
        axes.set_xticks(range(len(columns)), [short(value) for value in columns])
        axes.set_yticks(range(len(rows)), [_ROWS[name] if value is None else short(value) for name, value in rows])
        if others:
            axes.axhline(len(values) - 0.5, color="white", lw=5)
        axes.set_xlabel(first)
        axes.set_ylabel(second)
        axes.set_title(f"{metric_title(metric)}, %", fontsize=11)
    return figure


def _fill(axes: Axes, cells: Mapping[tuple[int, int], Mapping], key: str, height: int, width: int) -> None:
    scores = np.full((height, width), np.nan)
    for place, trial in cells.items():
        scores[place] = 100 * trial[key]
    low, high = np.nanmin(scores), np.nanmax(scores)
    axes.imshow(scores, cmap=_COLOURS, vmin=low, vmax=high, aspect="auto")
    for row, column in np.ndindex(height, width):
        trial = cells.get((row, column))
        if trial is None:
            axes.text(column, row, "×", ha="center", va="center", fontsize=11)
            continue
        dark = scores[row, column] < (low + high) / 2
        words = spread_words(trial, key).replace(" ±", "\n±")
        axes.text(column, row, words, ha="center", va="center", fontsize=9, color="white" if dark else "black")
    row, column = np.unravel_index(np.nanargmax(scores), scores.shape)
    axes.add_patch(Rectangle((column - 0.47, row - 0.47), 0.94, 0.94, fill=False, edgecolor=ORANGE, lw=2.5, zorder=3))
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
