"""Shepard's diagram: distances in a picture against those in the model."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from ..figures import ORANGE


def draw_shepard(panels: Sequence[tuple[str, np.ndarray, np.ndarray]]) -> Figure:
    """Distances in pictures against those in the model, as Shepard's diagrams: (title, found (m,), wanted (m,)) each.

    Distances of a picture are in the model's units, by the factor that fits best; on the line it would be exact.
    """
    figure = Figure(figsize=(4.3 * len(panels), 4.1), layout="constrained", dpi=110)
    for number, (title, found, wanted) in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), number + 1)
        found = found * (found @ wanted) / max(found @ found, 1e-300)
        end = max(np.quantile(found, 0.999), np.quantile(wanted, 0.999), 1e-12) * 1.03
        axes.hexbin(wanted, found, gridsize=45, extent=(0, end, 0, end), bins="log", cmap="Blues", linewidths=0.1, mincnt=1)
        axes.plot([0, end], [0, end], color=ORANGE, lw=1.4, ls="--")
        axes.set(xlim=(0, end), ylim=(0, end), aspect="equal")
        axes.set_title(title, fontsize=11)
        axes.set_xlabel(f"distance in the model ({len(found):,} pairs)")
        axes.set_ylabel("distance in the picture")
        axes.spines[["top", "right"]].set_visible(False)
    return figure
