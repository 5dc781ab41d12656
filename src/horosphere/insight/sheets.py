"""Sheets of images: queries with what each geometry finds for them."""

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from ..spaces import Space
from .figures import GREEN, ORANGE

#: Height of a line of pictures with the words under it, and of the room over a query, where its name stands.
ROW, GAP = 1.2, 0.45


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
    # One pair of axes for all, in units of a picture's side: axes for each picture take seconds.
    height = len(queries) * (len(rankings) * ROW + GAP)
    figure = Figure(figsize=(k + 2.4, height), dpi=110)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(-0.1, k + 2.3), ylim=(height, 0), autoscale_on=False)
    axes.axis("off")
    for number, query in enumerate(queries):
        top = number * (len(rankings) * ROW + GAP) + GAP
        axes.text(0.5, top, textwrap.fill(names(query), 16), ha="center", va="bottom", fontsize=9)
        show(axes, image(query), 0, top)
        for line, (name, space, points) in enumerate(rankings):
            with torch.no_grad():
                distances = space.distance(points[query].double(), points[torch.from_numpy(gallery)].double())
            distances[torch.from_numpy(gallery == query)] = torch.inf
            order = distances.argsort(stable=True)[:k]
            y = top + line * ROW
            axes.text(2.1, y + 0.5, name, ha="right", va="center", fontsize=10)
            for column, hit in enumerate(order.tolist()):
                position, x = int(gallery[hit]), column + 2.2
                right = labels[position] == labels[query]
                show(axes, image(position), x, y, GREEN if right else ORANGE)
                words = f"{'✓' if right else '✗'} {float(distances[hit]):.3g}"
                axes.text(x + 0.5, y + 1, words, ha="center", va="top", fontsize=8)
    return figure


def show(axes: Axes, picture: np.ndarray, x: float, y: float, colour: str | None = None) -> None:
    """The picture in the unit square whose upper left corner is (x, y), with a little room around it."""
    picture, left, top, side = picture.squeeze(), x + 0.03, y + 0.03, 0.94
    axes.imshow(
        picture,
        cmap="gray" if picture.ndim == 2 else None,
        interpolation="nearest" if max(picture.shape) < 64 else None,
        extent=(left, left + side, top + side, top),
        aspect="auto",
    )
    if colour:
        axes.add_patch(Rectangle((left, top), side, side, fill=False, edgecolor=colour, linewidth=2.5))


def image_sheet(rows: Sequence[tuple[str, Sequence[tuple[np.ndarray, str]]]], gap_after: int | None = None) -> Figure:
    """A row of images uint8 (H, W[, C]) with words under each, and a name before it; a gap after the first `gap_after`."""
    columns = max(len(images) for _, images in rows)
    space = 0 if gap_after is None else 0.4
    figure = Figure(figsize=(columns + 2.4 + space, len(rows) * ROW), dpi=110)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(-0.1, columns + 2.3 + space), ylim=(len(rows) * ROW, 0), autoscale_on=False)
    axes.axis("off")
    for line, (name, images) in enumerate(rows):
        y = line * ROW
        axes.text(2.1, y + 0.5, textwrap.fill(name, 22), ha="right", va="center", fontsize=10)
        for column, (image, words) in enumerate(images):
            x = column + 2.2 + (space if gap_after is not None and column >= gap_after else 0)
            show(axes, image, x, y)
            axes.text(x + 0.5, y + 1, words, ha="center", va="top", fontsize=8)
    return figure


@dataclass(frozen=True)
class BoxMark:
    """A box to draw: left, top, right, bottom in pixels, words above it, and its colour."""

    box: Sequence[float] | np.ndarray
    words: str
    colour: str
    dashed: bool = False


def box_sheet(panels: Sequence[tuple[np.ndarray, str, Sequence[BoxMark]]], columns: int = 3) -> Figure:
    """Images uint8 (H, W[, C]) with a title and boxes each; a word that colours alone would say belongs into the words."""
    columns = min(columns, len(panels))
    shapes = [image.shape[0] / image.shape[1] for image, _, _ in panels]
    lines = [range(start, min(start + columns, len(panels))) for start in range(0, len(panels), columns)]
    heights = [0.25 + 4 * max(shapes[i] for i in line) for line in lines]
    figure = Figure(figsize=(4.1 * columns, sum(heights)), dpi=110, layout="constrained")
    grid = figure.add_gridspec(len(lines), columns, height_ratios=heights)
    for row, line in enumerate(lines):
        for column, i in enumerate(line):
            image, title, marks = panels[i]
            axes = figure.add_subplot(grid[row, column])
            axes.imshow(image.squeeze(), cmap="gray" if image.squeeze().ndim == 2 else None)
            axes.set_title(title, fontsize=9)
            axes.axis("off")
            for mark in marks:
                left, top, right, bottom = mark.box
                style = "--" if mark.dashed else "-"
                axes.add_patch(
                    Rectangle(
                        (left, top), right - left, bottom - top, fill=False, edgecolor=mark.colour, lw=1.4, linestyle=style
                    )
                )
                if mark.words:
                    axes.text(
                        left,
                        top,
                        mark.words,
                        fontsize=6,
                        color="white",
                        va="bottom" if top > 12 else "top",
                        clip_on=True,
                        bbox={"facecolor": mark.colour, "edgecolor": "none", "pad": 1},
                    )
    return figure
