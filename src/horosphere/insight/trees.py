"""Trees over classes, and the radius of their nodes."""

from collections.abc import Sequence

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..evaluation import Dendrogram
from .figures import BLUE, GREEN, GREY, ORANGE, _figure

#: Colours and marks of superclasses: the pairs repeat after 56.
_COLOURS = (BLUE, ORANGE, GREEN, "#A0527E", "#56707F", "#8A5A00", "black")
_MARKS = "os^DvPX*"
#: Inches of a leaf, and characters of a name.
_LINE, _NAME = 0.165, 26
#: Inches of the tree, and of a column of names.
_TREE, _COLUMN = 4.6, 2.25


def dendrogram(tree: Dendrogram, names: Sequence[str], groups: Sequence[str] | None, heights: str) -> Figure:
    """A tree with its leaves' names, and the superclass of each as a mark, a colour and a word.

    Branches below which all leaves are of one superclass have its colour, and are thick. names, groups: (n,) by leaf.
    heights: what the axis of heights says.
    """
    n, order = len(tree), tree.order
    known = sorted(set(groups or ()))
    place = np.array([known.index(group) for group in groups]) if groups is not None else np.full(n, -1)
    # In inches: the tree, then a column of names, and one of superclasses.
    width, tall = _TREE + 0.4 + _COLUMN * (1 if groups is None else 2), 0.9 + _LINE * max(n, 6)
    figure = Figure(figsize=(width, tall), dpi=110)
    axes = figure.add_axes((0.2 / width, 0.6 / tall, _TREE / width, 1 - 0.85 / tall))
    at, height = np.empty(2 * n - 1), np.concatenate([np.zeros(n), tree.heights])
    pure = np.concatenate([place, np.full(n - 1, -1)])
    at[order] = np.arange(n)
    lines, colours, widths = [], [], []
    for m, (left, right) in enumerate(tree.merges):
        node = n + m
        at[node] = (at[left] + at[right]) / 2
        pure[node] = pure[left] if pure[left] == pure[right] else -1
        (x, y), (z, w) = ((height[child], at[child]) for child in (left, right))
        lines.append([(x, y), (height[node], y), (height[node], w), (z, w)])
        colours.append(_COLOURS[pure[node] % len(_COLOURS)] if pure[node] >= 0 else GREY)
        widths.append(2.2 if pure[node] >= 0 else 1.1)
    axes.add_collection(LineCollection(lines, colors=colours, linewidths=widths, capstyle="projecting"))
    top = float(tree.heights[-1]) or 1.0
    axes.set_xlim(1.03 * top, 0)
    axes.set_ylim(n - 0.4, -0.6)
    row = axes.get_yaxis_transform()  # x in the axes, y in leaves
    for y, leaf in enumerate(order):
        colour = _COLOURS[place[leaf] % len(_COLOURS)] if place[leaf] >= 0 else "black"
        if place[leaf] >= 0:
            mark = _MARKS[place[leaf] % len(_MARKS)]
            axes.plot(1.015, y, mark, color=colour, ms=4.5, transform=row, clip_on=False)
        axes.text(1.03, y, _short(names[leaf]), transform=row, fontsize=9, va="center", color=colour)
        if groups is not None:
            axes.text(1.03 + _COLUMN / _TREE, y, _short(groups[leaf]), transform=row, fontsize=9, va="center", color=colour)
    if groups is not None:
        axes.text(1.03, 1.0, "class", transform=axes.transAxes, fontsize=9, va="bottom", weight="bold")
        axes.text(
            1.03 + _COLUMN / _TREE, 1.0, "superclass", transform=axes.transAxes, fontsize=9, va="bottom", weight="bold"
        )
    axes.set_yticks([])
    axes.spines[["top", "left", "right"]].set_visible(False)
    axes.tick_params(labelsize=9)
    axes.set_xlabel(heights, fontsize=9)
    return figure


def radius_at_depth(depth: NDArray, radius: NDArray, classes: int, names: Sequence[str], seed: int = 0) -> Figure:
    """The radius of a label tree's nodes against their depth, both (m,); the first `classes` of them are classes."""
    figure, axes = _figure(7, 3.6)
    spread = depth + np.random.default_rng(seed).uniform(-0.18, 0.18, len(depth))
    inner = np.arange(len(depth)) >= classes
    for chosen, mark, colour, name in ((~inner, "o", BLUE, "classes"), (inner, "^", ORANGE, "nodes above classes")):
        if chosen.any():
            label = f"{chosen.sum():,} {name}"
            axes.plot(
                spread[chosen], radius[chosen], mark, color=colour, ms=5 if mark == "o" else 7, alpha=0.75, label=label
            )
    levels = np.unique(depth)
    means = [radius[depth == level].mean() for level in levels]
    axes.plot(levels, means, color="black", lw=1.5, marker="_", ms=14, label="mean of a depth")
    for level in levels:
        own = np.flatnonzero(inner & (depth == level))
        if len(own) == 1:
            name = _short(names[own[0]])
            axes.annotate(name, (spread[own[0]], radius[own[0]]), xytext=(7, -3), textcoords="offset points", fontsize=9)
    axes.set_xticks(levels)
    axes.set_xlabel("depth in the label tree, edges from the root")
    axes.set_ylabel("radius of the midpoint,\ndistance to the origin")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


def _short(name: str) -> str:
    return name if len(name) <= _NAME else name[: _NAME - 1] + "…"
