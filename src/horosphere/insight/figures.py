"""Plots. Figures are made without pyplot, so that nothing global is touched and no display is needed."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from ..spaces import Hyperbolic, Sphere

# Okabe and Ito's colours, which colour-blind readers tell apart.
BLUE, ORANGE, GREEN, PURPLE, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#767676"


def _figure(width: float, height: float):
    figure = Figure(figsize=(width, height), layout="constrained", dpi=110)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=10)
    return figure, axes


def recalls(
    names: Sequence[str], values: Sequence[float], intervals: Sequence[tuple[float, float] | None], k: int
) -> Figure:
    """Recall@k of several ways to rank, in percent, with their 95 % intervals over classes."""
    figure, axes = _figure(7, 0.9 + 0.42 * len(names))
    rows = np.arange(len(names))[::-1]
    percent = 100 * np.asarray(values)
    ends = [(value, value) if interval is None else interval for value, interval in zip(values, intervals, strict=True)]
    low, high = 100 * np.asarray(ends).T
    axes.errorbar(
        percent, rows, xerr=[(percent - low).clip(0), (high - percent).clip(0)], fmt="o", color=BLUE, capsize=3, ms=6, lw=1.5
    )
    for value, row, end in zip(percent, rows, high, strict=True):
        axes.annotate(
            f"{value:.1f}", (max(value, end), row), xytext=(8, 0), textcoords="offset points", va="center", fontsize=10
        )
    axes.set_yticks(rows, names)
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.margins(x=0.15)
    axes.set_xlabel(f"Recall@{k}, %, with 95 % intervals over classes")
    axes.grid(axis="x", alpha=0.3)
    return figure


def radii_of(groups: Mapping[str, Sequence[float]]) -> Figure:
    """How far from the origin the points of some groups lie, as shares of each group."""
    figure, axes = _figure(7, 2.8)
    edges = np.linspace(0, 1.02 * max(float(np.max(values)) for values in groups.values()), 50)
    for (name, values), colour in zip(groups.items(), (BLUE, ORANGE, GREEN), strict=False):
        share = np.full(len(values), 1 / len(values))
        axes.hist(values, bins=edges, weights=share, histtype="step", lw=1.8, color=colour, label=f"{len(values):,} {name}")
    axes.set_xlabel("radius: distance to the origin, 2‖v‖")
    axes.set_ylabel("share")
    axes.legend(frameon=False)
    return figure


def radii(space: Hyperbolic, points: Tensor) -> Figure:
    """How far from the origin points lie, as √c‖v‖, with the clip."""
    figure, axes = _figure(7, 2.8)
    root = space.curvature**0.5
    norms = (root * points.float().norm(dim=1)).numpy()
    end = 1.02 * max(norms.max(), 0 if space.clip is None else root * space.clip)
    axes.hist(norms, bins=60, range=(0, end), color=BLUE)
    if space.fixed_radius is None and space.clip is not None:
        axes.axvline(root * space.clip, color=ORANGE, lw=2)
        axes.annotate(
            f"clip {root * space.clip:.3f} ",
            (root * space.clip, 0.98),
            xycoords=("data", "axes fraction"),
            ha="right",
            va="top",
            color=ORANGE,
        )
    axes.set_xlabel(f"√c‖v‖ (n = {len(points):,} points, c = {space.curvature:.3g}; distance to the origin is 2‖v‖)")
    axes.set_ylabel("points")
    return figure


def scatter_against_cosine(space: Hyperbolic, points: Tensor, labels, pairs: int = 20_000, seed: int = 0) -> Figure:
    """Hyperbolic distance of random pairs against 2 − 2 cosine of their directions; a thin line means cosine in disguise."""
    figure, axes = _figure(7, 4)
    generator = np.random.default_rng(seed)
    labels = np.asarray(labels)
    first = generator.integers(0, len(points), pairs)
    # Half the pairs are of one class where it has two images: they would hardly show otherwise.
    order = np.argsort(labels, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    neighbour = order[(place[first] + 1) % len(order)]
    second = np.where(np.arange(pairs) % 2 == 0, neighbour, generator.integers(0, len(points), pairs))
    keep = first != second
    first, second = first[keep], second[keep]
    same = labels[first] == labels[second]
    x, y = points[torch.from_numpy(first)].double(), points[torch.from_numpy(second)].double()
    sphere = Sphere()
    cosine, distance = sphere.distance(sphere(x), sphere(y)).numpy(), space.distance(x, y).detach().numpy()
    for chosen, colour, name in ((~same, GREY, "other classes"), (same, ORANGE, "same class")):
        label = f"{name} ({chosen.sum():,} pairs)"
        axes.scatter(
            cosine[chosen], distance[chosen], s=3, alpha=0.3, color=colour, label=label, linewidths=0, rasterized=True
        )
    axes.set_xlabel("2 − 2 cosine of the directions")
    axes.set_ylabel("hyperbolic distance")
    legend = axes.legend(frameon=False, markerscale=4, loc="lower right")
    for handle in legend.legend_handles:
        handle.set_alpha(1)
    axes.grid(alpha=0.3)
    return figure


def label_counts(rows: Sequence[tuple[str, np.ndarray, np.ndarray, np.ndarray, np.ndarray]], what: str = "labels") -> Figure:
    """Mean norm by number of labels, a panel a norm: (name, counts (k,), images (k,), means (k,), intervals (k, 2)) each."""
    figure = Figure(figsize=(min(12, 5.5 * len(rows)), 3.4), layout="constrained", dpi=110)
    for i, (name, counts, images, means, intervals) in enumerate(rows):
        axes = figure.add_subplot(1, len(rows), i + 1)
        axes.spines[["top", "right"]].set_visible(False)
        # An interval from a handful of images says less than it looks: these are pale.
        for enough, alpha in ((images >= 5, 1.0), (images < 5, 0.35)):
            low, high = means - intervals[:, 0], intervals[:, 1] - means
            errors = np.stack([low, high]).clip(0)  # NaN, of one image alone, draws no bar
            axes.errorbar(
                counts[enough], means[enough], errors[:, enough], fmt="o", color=BLUE, alpha=alpha, capsize=3, ms=5, lw=1.5
            )
        axes.set_xlabel(f"{what} in an image (pale: fewer than 5 images)")
        axes.set_ylabel(f"mean {name}")
        axes.grid(alpha=0.3)
    return figure
