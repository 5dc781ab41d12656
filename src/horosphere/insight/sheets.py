"""Sheets of images: queries with what each geometry finds for them."""

import textwrap
from collections.abc import Callable, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from ..spaces import Space
from .figures import GREEN, ORANGE


def retrieval_sheet(
    image: Callable[[int], np.ndarray],
    labels: np.ndarray,
    rankings: Sequence[tuple[str, Space, Tensor]],
    queries: Sequence[int],
    gallery: np.ndarray,
    names: Callable[[int], str],
    k: int = 6,
) -> Figure:
    """Queries with their k nearest gallery images under each ranking: a green frame and ✓ right, an orange one and ✗ wrong.

    Args:
        image: position → uint8 (H, W, C).
        labels: (n,) class of each position.
        rankings: (name, space, points (n, p)) each.
        queries: positions, a few.
        gallery: positions that are searched; a query is never its own neighbour.
        names: position → the words under a query.
        k: neighbours shown.
    """
    # A thin empty row sets each query apart from the next.
    heights = ([1] * len(rankings) + [0.25]) * len(queries)
    figure = Figure(figsize=(1.05 * (k + 2.2), 1.15 * sum(heights)), dpi=110)
    grid = figure.add_gridspec(
        len(heights),
        k + 2,
        width_ratios=[1, 1.2] + [1] * k,
        height_ratios=heights,
        left=0.01,
        right=0.99,
        top=0.99,
        bottom=0.0,
        hspace=0.3,
        wspace=0.05,
    )
    for number, query in enumerate(queries):
        first = number * (len(rankings) + 1)
        axes = figure.add_subplot(grid[first : first + len(rankings), 0])
        _show(axes, image(query))
        axes.set_title(textwrap.fill(names(query), 16), fontsize=9)
        for line, (name, space, points) in enumerate(rankings):
            with torch.no_grad():
                distances = space.distance(points[query].double(), points[torch.from_numpy(gallery)].double())
            distances[torch.from_numpy(gallery == query)] = torch.inf
            order = distances.argsort(stable=True)[:k]
            axes = figure.add_subplot(grid[first + line, 1])
            axes.text(0.93, 0.5, name, ha="right", va="center", fontsize=10)
            axes.axis("off")
            for column, hit in enumerate(order.tolist()):
                position = int(gallery[hit])
                right = labels[position] == labels[query]
                axes = figure.add_subplot(grid[first + line, column + 2])
                _show(axes, image(position), GREEN if right else ORANGE)
                axes.set_xlabel(f"{'✓' if right else '✗'} {float(distances[hit]):.3g}", fontsize=8, labelpad=1)
    return figure


def _show(axes, picture: np.ndarray, colour: str | None = None) -> None:
    picture = picture.squeeze()
    axes.imshow(
        picture, cmap="gray" if picture.ndim == 2 else None, interpolation="nearest" if max(picture.shape) < 64 else None
    )
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(colour is not None)
        spine.set_color(colour)
        spine.set_linewidth(2.5)
