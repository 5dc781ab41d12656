"""Sheets of images: queries with what each geometry finds for them."""

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
    """Queries with their k nearest gallery images under each ranking; solid green frames: right; dashed orange: wrong.

    Args:
        image: position → uint8 (H, W, C).
        labels: (n,) class of each position.
        rankings: (name, space, points (n, p)) each.
        queries: positions, a few.
        gallery: positions that are searched; a query is never its own neighbour.
        names: position → the words under a query.
        k: neighbours shown.
    """
    rows = len(queries) * len(rankings)
    figure = Figure(figsize=(1.15 * (k + 2.2), 1.2 * rows + 0.3), layout="constrained", dpi=110)
    grid = figure.add_gridspec(rows, k + 2, width_ratios=[1, 1.2] + [1] * k)
    for number, query in enumerate(queries):
        first = number * len(rankings)
        axes = figure.add_subplot(grid[first : first + len(rankings), 0])
        _show(axes, image(query))
        axes.set_title(names(query), fontsize=8, wrap=True)
        for line, (name, space, points) in enumerate(rankings):
            with torch.no_grad():
                distances = space.distance(points[query].double(), points[torch.from_numpy(gallery)].double())
            distances[torch.from_numpy(gallery == query)] = torch.inf
            order = distances.argsort(stable=True)[:k]
            axes = figure.add_subplot(grid[first + line, 1])
            axes.text(0.95, 0.5, name, ha="right", va="center", fontsize=9, wrap=True)
            axes.axis("off")
            for column, hit in enumerate(order.tolist()):
                position = int(gallery[hit])
                axes = figure.add_subplot(grid[first + line, column + 2])
                right = labels[position] == labels[query]
                _show(axes, image(position), GREEN if right else ORANGE, "-" if right else (0, (2, 1)))
                axes.set_xlabel(f"{float(distances[hit]):.3g}", fontsize=8, labelpad=1)
    return figure


def _show(axes, picture: np.ndarray, colour: str | None = None, style="-") -> None:
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
        spine.set_linestyle(style)
