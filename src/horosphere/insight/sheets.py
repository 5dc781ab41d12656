"""Sheets of images: what each geometry finds for a query, and what it holds against an anchor."""

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
from .figures import BLUE, GREEN, ORANGE

#: Height of a line of pictures with a line of words under it, of each line more, and of the room over a query, where its
#: name stands.
ROW, WORDS, GAP = 1.2, 0.17, 0.45


def retrieval_sheet(
    image: Callable[[int], np.ndarray],
    labels: np.ndarray,
    rankings: Sequence[tuple[str, Space, Tensor]],
    queries: Sequence[int],
    gallery: np.ndarray,
    names: Callable[[int], str],
    k: int = 6,
    superclass: Callable[[int], str] | None = None,
) -> Figure:
    """Queries with their k nearest gallery images under each ranking: a green frame and ✓ right, an orange one and ✗ wrong.

    With superclasses a wrong image of the query's superclass has a blue frame and ≈, and each image's stands under it.

    Args:
        image: position → uint8 (H, W, C).
        labels: (n,) class of each position.
        rankings: (name, space, points (n, p)) each.
        queries: positions, a few.
        gallery: positions that are searched; a query is never its own neighbour.
        names: position → the words over a query.
        k: neighbours shown.
        superclass: position → the name of what its class belongs to, "" where that is not known.
    """
    row = ROW if superclass is None else ROW + 2 * WORDS
    titles = ["\n".join(textwrap.fill(line, 16) for line in names(query).splitlines()) for query in queries]
    gap = max(GAP, 0.12 + WORDS * max(1 + title.count("\n") for title in titles))
    figure, axes = _canvas(k, len(queries) * (len(rankings) * row + gap))
    for number, (query, title) in enumerate(zip(queries, titles, strict=True)):
        top = number * (len(rankings) * row + gap) + gap
        axes.text(0.5, top, title, ha="center", va="bottom", fontsize=9)
        show(axes, image(query), 0, top)
        if superclass is not None:
            axes.text(0.5, top + 1, _narrow(superclass(query)), ha="center", va="top", fontsize=9)
        for line, (name, space, points) in enumerate(rankings):
            with torch.no_grad():
                distances = space.distance(points[query].double(), points[torch.from_numpy(gallery)].double())
            distances[torch.from_numpy(gallery == query)] = torch.inf
            pictures = []
            for hit in distances.argsort(stable=True)[:k].tolist():
                position = int(gallery[hit])
                mark, colour = ("✓", GREEN) if labels[position] == labels[query] else ("✗", ORANGE)
                if mark == "✗" and superclass is not None and superclass(position) == superclass(query) != "":
                    mark, colour = "≈", BLUE
                words = f"{mark} {float(distances[hit]):.3g}"
                if superclass is not None and superclass(position):
                    words += f"\n{_narrow(superclass(position))}"
                pictures.append((image(position), words, colour))
            _line(axes, top + line * row, name, pictures)
    return figure


def negative_sheet(
    image: Callable[[int], np.ndarray],
    anchors: Sequence[int],
    positives: Sequence[int],
    hardest: Sequence[tuple[str, np.ndarray]],
    names: Callable[[int], str],
) -> Figure:
    """Anchors and their positives with each geometry's hardest negatives, the hardest first (HypMix, Figure 1).

    A negative that no other geometry shown has among its own has an orange frame and says so.

    Args:
        image: position → uint8 (H, W, C).
        anchors, positives: positions, one positive an anchor.
        hardest: (name, positions (anchors, k)) each, two geometries or more.
        names: position → its class.
    """
    row, gap = ROW + 2 * WORDS, 0.1
    height, k = len(hardest) * row + gap, hardest[0][1].shape[1]
    figure, axes = _canvas(k, len(anchors) * height)
    for number, (anchor, positive) in enumerate(zip(anchors, positives, strict=True)):
        top = number * height + gap
        for line, (position, what) in enumerate(((anchor, "anchor"), (positive, "positive"))):
            show(axes, image(position), 0, top + line * row)
            words = f"{what}\n{_narrow(names(position))}"
            axes.text(0.5, top + line * row + 1, words, ha="center", va="top", fontsize=9)
        for line, (name, chosen) in enumerate(hardest):
            others = {p for other, own in hardest if other != name for p in own[number].tolist()}
            pictures = []
            for position in chosen[number].tolist():
                words = _narrow(names(position))
                if position in others:
                    pictures.append((image(position), words, None))
                else:
                    pictures.append((image(position), f"◆ only here\n{words}", ORANGE))
            _line(axes, top + line * row, name, pictures)
    return figure


def _narrow(name: str) -> str:
    """A name in the width of a picture, in two lines at most."""
    return "\n".join(textwrap.wrap(name, 13, max_lines=2, placeholder="…"))


def _canvas(columns: int, height: float, gap: float = 0) -> tuple[Figure, Axes]:
    """A sheet as wide as `columns` pictures and a name. One pair of axes for all, because one a picture takes seconds."""
    figure = Figure(figsize=(columns + 2.4 + gap, height), dpi=110)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(-0.1, columns + 2.3 + gap), ylim=(height, 0), autoscale_on=False)
    axes.axis("off")
    return figure, axes


def _line(
    axes: Axes,
    y: float,
    name: str,
    pictures: Sequence[tuple[np.ndarray, str, str | None]],
    gap: float = 0,
    gap_after: int | None = None,
) -> None:
    """Pictures side by side from their upper edge y down, words under each and a frame where there is a colour."""
    axes.text(2.1, y + 0.5, textwrap.fill(name, 22), ha="right", va="center", fontsize=10)
    for column, (picture, words, colour) in enumerate(pictures):
        x = column + 2.2 + (gap if gap_after is not None and column >= gap_after else 0)
        show(axes, picture, x, y, colour)
        axes.text(x + 0.5, y + 1, words, ha="center", va="top", fontsize=9)


def show(axes: Axes, picture: np.ndarray, x: float, y: float, colour: str | None = None) -> None:
    """The picture in the unit square whose upper left corner is (x, y), with a little room around it."""
    picture, left, top, side = picture.squeeze(), x + 0.03, y + 0.03, 0.94
    axes.imshow(
        picture,
        cmap="gray",  # of grey images alone, on one scale for all
        vmin=0,
        vmax=255,
        interpolation="nearest" if max(picture.shape) < 64 else None,
        extent=(left, left + side, top + side, top),
        aspect="auto",
    )
    if colour:
        axes.add_patch(Rectangle((left, top), side, side, fill=False, edgecolor=colour, linewidth=2.5))


def image_sheet(rows: Sequence[tuple[str, Sequence[tuple[np.ndarray, str]]]], gap_after: int | None = None) -> Figure:
    """A row of images uint8 (H, W[, C]) with words under each, and a name before it; a gap after the first `gap_after`."""
    gap = 0 if gap_after is None else 0.4
    figure, axes = _canvas(max(len(images) for _, images in rows), len(rows) * ROW, gap)
    for line, (name, images) in enumerate(rows):
        _line(axes, line * ROW, name, [(image, words, None) for image, words in images], gap, gap_after)
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
            axes.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=255)
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
