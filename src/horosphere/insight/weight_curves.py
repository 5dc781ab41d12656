"""The weights of negatives, the hardest first, as curves."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from .figures import BLUE, GREEN, GREY, ORANGE, PURPLE
from .negatives import Negatives

#: A colour and a dash for each geometry, so that neither is needed to tell them apart.
_STYLES = ((BLUE, "-"), (ORANGE, "--"), (GREEN, "-."), (PURPLE, ":"), (GREY, (0, (6, 1, 1, 1, 1, 1))))
#: Weights below this share of the largest are not shown.
_DEPTH = 1e-7


def weights_by_rank(found: Mapping[str, Negatives]) -> Figure:
    """Mean weight p(x⁻) over the rank of the negative's distance, a panel a temperature (HypMix, Figure 3).

    `found`: name → what one geometry makes of the same anchors, five at most. The band is from quantile 0.1 to 0.9.
    """
    first = next(iter(found.values()))
    temperatures = list(first.weights)
    figure = Figure(figsize=(1 + 3.9 * len(temperatures), 4.1), layout="constrained", dpi=110)
    panels = figure.subplots(1, len(temperatures), sharey=True, squeeze=False)[0]
    top = max(float(np.max(weights.high)) for each in found.values() for weights in each.weights.values())
    for axes, temperature in zip(panels, temperatures, strict=True):
        for (name, each), (colour, dash) in zip(found.items(), _STYLES, strict=False):
            weights = each.weights[temperature]
            axes.fill_between(weights.ranks, weights.low, weights.high, color=colour, alpha=0.12, lw=0)
            axes.plot(weights.ranks, weights.average, color=colour, ls=dash, lw=2, label=name)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_ylim(_DEPTH * top, 2 * top)
        axes.yaxis.set_major_locator(LogLocator(numticks=6))
        axes.set_title(f"τ = {temperature:g}", fontsize=11)
        axes.tick_params(labelsize=10)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("weight p(x⁻)", fontsize=11)
    lines = panels[0].get_legend_handles_labels()
    figure.legend(*lines, loc="outside upper center", ncols=len(found), handlelength=3.5, frameon=False)
    figure.supxlabel(f"rank of the negative, 1 = nearest (mean over {len(first.anchors):,} anchors)", fontsize=11)
    return figure
