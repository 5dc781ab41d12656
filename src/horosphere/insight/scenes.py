"""Sheets of scenes: the boxes in them, and what training sees of them."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from .figures import BLUE, GREEN, GREY, ORANGE
from .sheets import GAP, show

#: The colours of the four views, in a scene and around the crops.
_VIEWS = {"first": BLUE, "second": BLUE, "scene": ORANGE, "object": GREEN}


def scene_sheet(
    scenes: Sequence[tuple[str, np.ndarray, np.ndarray, Sequence, Sequence[np.ndarray]]], side: float = 2.0
) -> Figure:
    """A row a scene: its boxes with those of the four views, and then the views.

    scenes: (name, pixels uint8 (H, W[, 3]), boxes (m, 4), the views' four boxes, the views uint8 (C, S, S)) each; the views
    are first, second, scene and object, as `scene_views` gives them. side: inches of a view.
    """
    wide = 1.5  # room for the scene, in views
    height = len(scenes) * (1 + GAP / 2) + GAP / 2
    width = wide + len(_VIEWS)
    figure = Figure(figsize=(width * side, height * side), dpi=110)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0), autoscale_on=False)
    axes.axis("off")
    for row, (name, pixels, boxes, drawn, views) in enumerate(scenes):
        top = GAP / 2 + row * (1 + GAP / 2)
        scale = min(wide / pixels.shape[1], 1 / pixels.shape[0]) * 0.96
        corner = ((wide - scale * pixels.shape[1]) / 2, top + (1 - scale * pixels.shape[0]) / 2)
        extent = (corner[0], corner[0] + scale * pixels.shape[1], corner[1] + scale * pixels.shape[0], corner[1])
        axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, extent=extent, aspect="auto")
        for box in boxes:
            _frame(axes, box, corner, scale, GREY, 1)
        for box, colour in zip(drawn, _VIEWS.values(), strict=True):
            _frame(axes, box, corner, scale, colour, 2)
        axes.text(0.05, top - 0.02, name, ha="left", va="bottom", fontsize=9)
        for column, ((view, colour), picture) in enumerate(zip(_VIEWS.items(), views, strict=True)):
            show(axes, np.moveaxis(np.asarray(picture), 0, -1), wide + column, top, colour)
            axes.text(wide + column + 0.5, top - 0.02, view, ha="center", va="bottom", fontsize=9, color=colour)
    return figure


def _frame(axes: Axes, box, corner: tuple[float, float], scale: float, colour: str, width: float) -> None:
    """A box of the scene whose upper left corner is drawn at `corner`."""
    left, top, right, bottom = (float(edge) * scale for edge in box)
    at = (corner[0] + left, corner[1] + top)
    axes.add_patch(Rectangle(at, right - left, bottom - top, fill=False, edgecolor=colour, linewidth=width))
