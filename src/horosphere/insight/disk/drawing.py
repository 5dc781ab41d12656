"""Drawing the Poincaré disk: its grid, points by group, a tree of geodesics, and thumbnails."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Rectangle

from ..figures import GREY
from . import unit_disk
from .styles import frequent, group_styles, look
from .thumbnails import place_thumbnails
from .tree import DiskTree

_PALE, _INK = "#d9d9d9", "#4d4d4d"


@dataclass(frozen=True, eq=False)
class DiskPanel:
    """One disk.

    Attributes:
        title: over it.
        z: (n,) complex, the points in the unit disk.
        groups: (n,) str, what each point is coloured and marked by; "" for nothing.
        tree: drawn over the points, or None.
    """

    title: str
    z: np.ndarray
    groups: np.ndarray
    tree: DiskTree | None = None


def draw_disks(
    panels: Sequence[DiskPanel],
    scale: float,
    *,
    what: str = "classes",
    side: float = 5.6,
    styles: Mapping[str, int] | None = None,
) -> Figure:
    """Disks side by side, in the same coordinates, each with a legend of its most frequent groups; the others are grey.

    Args:
        panels: one or more.
        scale: distance in the unit disk of one unit of the model's distance; the circles of the grid are labelled in the
            model's units.
        what: a word for the groups, in the plural.
        side: inches of a disk.
        styles: of `group_styles`, where other figures show the same groups.
    """
    styles = group_styles((panel.groups for panel in panels), styles)
    shown = [{name: styles[name] for name in frequent(panel.groups)} for panel in panels]
    keys = [_keys(panel, own, what) for panel, own in zip(panels, shown, strict=True)]
    figure, all_axes = _disks(len(panels), side, keys, scale)
    for axes, panel, own in zip(all_axes, panels, shown, strict=True):
        axes.set_title(panel.title, fontsize=12, pad=2)
        _points(axes, panel, own)
        if panel.tree is not None:
            _draw_tree(axes, panel.tree, own)
    return figure


def draw_thumbnails(
    panel: DiskPanel,
    image: Callable[[int], np.ndarray],
    scale: float,
    *,
    what: str = "classes",
    side: float = 9.0,
    seed: int = 0,
    styles: Mapping[str, int] | None = None,
) -> tuple[Figure, int]:
    """The disk with images where their points are, framed in the colour of their group, and how many fit.

    Images are drawn smaller towards the boundary, as everything is there, and none covers another: in an order by lot, each
    that has room.

    Args:
        panel: the points; its tree is not drawn.
        image: position in the panel → uint8 (H, W, C), asked of those that are drawn alone.
        styles: as for `draw_disks`.
    """
    z, groups = panel.z, panel.groups
    sides = np.clip(0.16 * (1 - np.abs(z) ** 2), 0.042, 0.105)
    chosen = place_thumbnails(z, sides, np.random.default_rng(seed).permutation(len(z)), gap=0.004)
    styles = group_styles([groups], styles)
    shown = {name: styles[name] for name in frequent(groups)}
    figure, (axes,) = _disks(1, side, [_keys(panel, shown, what)], scale)
    axes.set_title(panel.title, fontsize=12, pad=2)
    _points(axes, panel, shown, size=4)
    for position in chosen:
        picture, half = image(position).squeeze(), sides[position] / 2
        x, y = z[position].real, z[position].imag
        colour = look(shown[groups[position]])[0] if groups[position] in shown else GREY
        extent = (x - half, x + half, y - half, y + half)
        axes.imshow(picture, cmap="gray", vmin=0, vmax=255, extent=extent, aspect="auto", zorder=5)
        axes.add_patch(Rectangle((x - half, y - half), 2 * half, 2 * half, fill=False, edgecolor=colour, lw=1.3, zorder=6))
    axes.set(xlim=(-1.03, 1.03), ylim=(-1.03, 1.03), aspect="equal")
    return figure, len(chosen)


def _disks(count: int, side: float, keys: Sequence[Sequence[Line2D]], scale: float) -> tuple[Figure, list[Axes]]:
    """Empty disks side by side, with a legend of `keys` under each."""
    longest = max(len(str(key.get_label())) for line in keys for key in line)
    columns = max(1, int(side / (0.4 + 0.07 * longest)))
    lines = max(-(-len(line) // columns) for line in keys)
    below, above = 0.12 + 0.19 * lines, 0.3
    height = side + below + above
    figure = Figure(figsize=(count * side, height), dpi=120)
    all_axes = []
    for number, line in enumerate(keys):
        axes = figure.add_axes((number / count, below / height, 1 / count, side / height))
        _empty_disk(axes, scale)
        axes.legend(
            handles=line,
            loc="upper center",
            bbox_to_anchor=(0.5, 0.005),
            ncols=min(columns, len(line)),
            frameon=False,
            fontsize=9,
            handletextpad=0.1,
            columnspacing=0.9,
            labelspacing=0.25,
            borderpad=0,
            borderaxespad=0,
        )
        all_axes.append(axes)
    return figure, all_axes


def _empty_disk(axes: Axes, scale: float) -> None:
    """The boundary, and a light grid: geodesics at right angles to the two axes at equal distances, and circles around the
    centre with their distance in the model's units."""
    axes.set(xlim=(-1.03, 1.03), ylim=(-1.03, 1.03), aspect="equal")
    axes.axis("off")
    boundary = Circle((0, 0), 1, facecolor="#fcfcfc", edgecolor="#202020", linewidth=1.4, zorder=0)
    axes.add_patch(boundary)
    at = np.tanh(np.arange(-6, 7) * 0.6 / 2)
    # Points far out on the geodesics through `at` that leave the axis at right angles.
    up = unit_disk.step(at.astype(complex), 12j * np.ones(len(at)))
    lines = unit_disk.arc(up, np.conj(up), 96)
    for family in (lines, 1j * lines):
        axes.add_collection(
            LineCollection([np.column_stack([line.real, line.imag]) for line in family], colors="#ececec", lw=0.6)
        )
    for distance in _round_distances(scale):
        radius = np.tanh(distance * scale / 2)
        axes.add_patch(Circle((0, 0), radius, fill=False, edgecolor="#b5b5b5", linewidth=0.7, linestyle=(0, (4, 3))))
        place = radius * np.exp(1j * np.pi / 2)
        words = axes.annotate(
            f"{distance:g}", (place.real, place.imag), ha="center", va="center", fontsize=9, color=_INK, zorder=7
        )
        words.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.8})
    axes.text(-1.01, -1.0, "dashed: distance\nto the centre", fontsize=9, color=_INK, va="bottom")


def _round_distances(scale: float, most: int = 4) -> list[float]:
    """Round distances, at equal steps, whose circles can be told apart."""
    end = 4.2 / scale
    rough = end / most
    power = 10.0 ** np.floor(np.log10(rough))
    pace = power * next(factor for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    return [float(f"{pace * number:.6g}") for number in range(1, int(end / pace) + 1)]


def _points(axes: Axes, panel: DiskPanel, styles: dict[str, int], size: float | None = None) -> None:
    size = float(np.clip(9000 / max(len(panel.z), 1), 5, 26)) if size is None else size
    rest = ~np.isin(panel.groups, list(styles))
    axes.scatter(panel.z[rest].real, panel.z[rest].imag, s=size * 0.7, color=_PALE, linewidths=0, zorder=2, rasterized=True)
    order = np.random.default_rng(0).permutation(len(panel.z))
    # By lot in a few layers, so that no group hides all others.
    for layer in np.array_split(order, 4):
        for name, number in styles.items():
            chosen = layer[panel.groups[layer] == name]
            colour, marker = look(number)
            own = size * (0.8 if marker in "sD" else 1)
            axes.scatter(
                panel.z[chosen].real,
                panel.z[chosen].imag,
                s=own,
                color=colour,
                marker=marker,
                alpha=0.8,
                edgecolors="white",
                linewidths=0.25,
                zorder=3,
                rasterized=True,
            )


def _draw_tree(axes: Axes, tree: DiskTree, styles: dict[str, int]) -> None:
    """Edges as geodesics: thin from classes, stronger towards the root; inner nodes as larger marks."""
    below = np.flatnonzero(tree.parent != np.arange(len(tree.z)))
    arcs = unit_disk.arc(tree.z[below], tree.z[tree.parent[below]])
    over = [tree.names[parent] for parent in tree.parent[below]]
    for leaves in (True, False):
        chosen = [i for i, node in enumerate(below) if (tree.level[node] == 0) == leaves]
        colours = []
        for i in chosen:
            named = over[i] if leaves else tree.names[below[i]]
            colours.append(look(styles[named])[0] if named in styles else "#8c8c8c")
        axes.add_collection(
            LineCollection(
                [np.column_stack([arcs[i].real, arcs[i].imag]) for i in chosen],
                colors=colours,
                linewidths=0.7 if leaves else 1.6,
                # Hundreds of classes are a veil; their superclasses stand out from it.
                alpha=float(np.clip(40 / len(chosen), 0.12, 0.6)) if leaves else 0.9,
                zorder=2.5 if leaves else 4,
            )
        )
    for node in np.flatnonzero(tree.level > 0):
        named = tree.names[node]
        colour, marker = look(styles[named]) if named in styles else (_INK, "o")
        axes.scatter(
            tree.z[node].real,
            tree.z[node].imag,
            s=52,
            color=colour,
            marker=marker,
            edgecolors="white",
            linewidths=1,
            zorder=6,
        )


def _keys(panel: DiskPanel, styles: dict[str, int], what: str) -> list[Line2D]:
    """What the legend says of each group, and of the rest."""
    keys = [_key(_short(name), *look(number)) for name, number in styles.items()]
    rest = set(panel.groups.tolist()) - set(styles)
    if not rest:
        return keys
    return [*keys, _key("all others" if "" in rest else f"{len(rest)} more {what}", _PALE, "o")]


def _short(name: str, most: int = 18) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _key(name: str, colour: str, marker: str) -> Line2D:
    return Line2D([], [], color=colour, marker=marker, linestyle="none", markersize=6.5, label=name)
