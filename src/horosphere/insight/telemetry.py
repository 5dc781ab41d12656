"""A run's telemetry as curves over its steps: a panel for each question that its metrics answer."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..errors import InputError
from ..evaluation.correlation import CLIPPED, SAME_RANKING
from ..spaces import Hyperbolic, Mixed, Space
from .figures import BLUE, GREEN, GREY, ORANGE, PURPLE
from .series import Series

_DISGUISE = "cosine in disguise"
_COLUMNS, _WIDTH, _HEIGHT = 2, 4.6, 2.75
#: What is drawn together differs in colour and in dash, so that neither says it alone.
_COLOURS = [BLUE, ORANGE, GREEN, PURPLE, "black", GREY]
_DASHES = ["-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)), (0, (3, 1, 1, 1, 1, 1)), (0, (9, 2))]
#: Under words that a line may cross.
_PAPER = {"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.5}
#: Lines of metrics that are drawn as one in a course through a plane, where noise would cover it.
_STOPS = 20


def training_curves(metrics: Sequence[dict], space: Space | None = None, *, clip_norm: float | None = None) -> Figure:
    """Small multiples over steps of what metrics.jsonl tells; a panel stands only where its numbers are there.

    Loss with held-out Recall@1; of scenes the terms and how often the own key was nearest, and radii; for each part clip
    fraction, radius, effective rank, alignment against uniformity, 1 − rank correlation with cosine; gradients; weights and
    curvatures that are learned; effective negatives. A name has one colour and dash in all panels.

    Args:
        metrics: the lines of metrics.jsonl.
        space: the run's space, for the names of its parts and its clips; without it parts are told by the lines.
        clip_norm: what the gradient's norm is clipped to.

    Raises:
        InputError: where the lines hold no loss.
    """
    if not Series.read(metrics, "loss"):
        raise InputError("these metrics hold no loss; give the lines of a run's metrics.jsonl")
    styles = _Styles()
    for name in space.names if isinstance(space, Mixed) else []:
        styles.of(name)  # in the space's order
    panels = list(_panels(metrics, space, clip_norm, styles))
    rows = -(-len(panels) // _COLUMNS)
    figure = Figure(figsize=(_COLUMNS * _WIDTH, rows * _HEIGHT), layout="constrained", dpi=110)
    for axes, draw in zip(figure.subplots(rows, _COLUMNS, squeeze=False).flat, [*panels, *[None] * rows], strict=False):
        if draw is None:
            axes.remove()
            continue
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=10)
        axes.grid(alpha=0.3)
        axes.set_xlabel("step", fontsize=10)
        draw(axes)
    return figure


class _Styles(dict):
    """A colour and a dash for each name, in the order in which names are first drawn."""

    def __missing__(self, name: str):
        rounds, place = divmod(len(self), len(_COLOURS))
        self[name] = _COLOURS[place], _DASHES[(place + rounds) % len(_DASHES)]
        return self[name]

    def of(self, name: str) -> dict[str, Any]:
        """What a line of this name looks like; the head of a part looks like the part."""
        colour, dash = self[name.removeprefix("head/")]
        return {"color": colour, "linestyle": dash, "lw": 1.8}


def _panels(
    metrics: Sequence[dict], space: Space | None, clip_norm: float | None, styles: _Styles
) -> Iterator[Callable[[Axes], None]]:
    """What draws each panel, in order."""
    whole = "mixture" if space is None or isinstance(space, Mixed) else space.name

    names = list(dict.fromkeys(name for entry in metrics for name in entry))

    def chosen(labels: Mapping[str, str]) -> dict[str, Series]:
        """Those numbers by their labels that the lines have."""
        found = {label: Series.read(metrics, name) for name, label in labels.items()}
        return {label: series for label, series in found.items() if series}

    def under(prefix: str) -> dict[str, Series]:
        return chosen({name: name.removeprefix(prefix) for name in names if name.startswith(prefix)})

    def of_terms(key: str) -> dict[str, Series]:
        return chosen({name: name.removesuffix(f"/{key}") for name in names if name.endswith(f"/{key}")})

    def of_parts(key: str) -> dict[str, Series]:
        """A space of one part, and a mixture as a whole, have the number without a name before it."""
        return chosen({key: whole}) | of_terms(key)

    def lines(series: Mapping[str, Series], label: str, **options) -> list[Callable[[Axes], None]]:
        return [partial(_lines, series=series, label=label, styles=styles, **options)] if series else []

    yield partial(_loss, metrics=metrics)
    yield from lines(of_terms("loss"), "loss of a term")
    yield from lines(of_terms("accuracy"), "own key nearest, %", scale=100)
    radii = {name.replace("_", " "): series for name, series in under("radius/").items()}
    yield from lines(radii, "mean radius, 2‖v‖")
    clipped = {f"{100 * CLIPPED:.0f} %: {_DISGUISE}": 100 * CLIPPED}
    yield from lines(of_parts("clip_fraction"), "points at the clip, %", scale=100, marks=clipped, low=0, high=106)
    quantiles = [of_parts(f"sqrt_c_norm_q{q}") for q in ("05", "50", "95")]
    if quantiles[1]:
        yield partial(_radius, quantiles=quantiles, clips=_clips(space, of_parts("curvature")), styles=styles)
    yield from lines(of_parts("effective_rank"), "effective rank", low=0)
    even, close = of_parts("uniformity"), of_parts("alignment")
    if pairs := {name: (even[name], close[name]) for name in even.keys() & close.keys()}:
        yield partial(_trajectory, pairs={name: pairs[name] for name in even if name in pairs}, styles=styles)
    far = {name: Series(s.steps, (1 - s.values).clip(1e-6)) for name, s in of_parts("cosine_correlation").items()}
    yield from lines(far, "1 − rank correlation\nwith cosine", log=True, marks={_DISGUISE: 1 - SAME_RANKING})
    gradients = under("gradient/") or chosen({"gradient_norm": "all parts"})
    clip = {} if clip_norm is None else {f"clip of all, {clip_norm:g}": clip_norm}
    yield from lines({n: s for n, s in gradients.items() if (s.values > 0).any()}, "gradient norm", log=True, marks=clip)
    yield from lines(of_parts("weight"), "learned weight", low=0)
    learned = {name: s for name, s in of_parts("curvature").items() if np.ptp(s.values) > 0}
    yield from lines(learned, "learned curvature c", log=True)
    yield from lines(of_parts("effective_negatives"), "effective negatives", log=True)


def _clips(space: Space | None, curvatures: Mapping[str, Series]) -> dict[str, Series]:
    """√c · clip over steps, of the parts that have a clip."""
    if space is None:
        return {}
    parts = zip(space.names, space.parts, strict=True) if isinstance(space, Mixed) else [(space.name, space)]
    return {
        name: Series(curvatures[name].steps, curvatures[name].values ** 0.5 * part.clip)
        for name, part in parts
        if isinstance(part, Hyperbolic) and part.fixed_radius is None and part.clip is not None and name in curvatures
    }


def _loss(axes: Axes, metrics: Sequence[dict]) -> None:
    loss, recall = Series.read(metrics, "loss"), Series.read(metrics, "validation/recall@1")
    axes.plot(loss.steps, loss.values, color=BLUE, lw=1.8, marker="o" if len(loss) < 3 else None)
    axes.set_ylabel("loss" if not recall else "loss (line)", fontsize=10, color=BLUE if recall else "black")
    if recall:
        right = axes.twinx()
        right.plot(recall.steps, 100 * recall.values, color=ORANGE, lw=1.8, linestyle="--", marker="o", ms=4)
        right.set_ylabel("held-out Recall@1, % (dots)", fontsize=10, color=ORANGE)
        right.spines["top"].set_visible(False)
        right.tick_params(labelsize=10)


def _lines(
    axes: Axes,
    series: Mapping[str, Series],
    label: str,
    styles: _Styles,
    *,
    scale: float = 1.0,
    log: bool = False,
    low: float | None = None,
    high: float | None = None,
    marks: Mapping[str, float] | None = None,
) -> None:
    """A line a name, and level lines for what is worth knowing."""
    for name, own in series.items():
        axes.plot(own.steps, scale * own.values, label=name, marker="o" if len(own) < 3 else None, **styles.of(name))
    for words, level in (marks or {}).items():
        axes.axhline(level, color="black", lw=1, linestyle=":")
        axes.annotate(words, (0.01, level), xycoords=("axes fraction", "data"), va="bottom", fontsize=9, bbox=_PAPER)
    axes.set_ylabel(label, fontsize=10)
    if log:
        _log_scale(axes, np.concatenate([*(own.values for own in series.values()), list((marks or {}).values())]))
    else:
        axes.set_ylim(low, high)
    _legend(axes)


def _log_scale(axes: Axes, values: np.ndarray) -> None:
    """A scale with room around the values, and plain numbers at its ticks."""
    low, high = values[values > 0].min(), values.max()
    axes.set_yscale("log")
    axes.set_ylim(low / 1.4, 1.4 * high)
    axes.yaxis.set_major_formatter("{x:g}")
    # Within a decade the ticks between have to speak.
    axes.yaxis.set_minor_formatter("{x:.2g}" if high < 5 * low else "")
    axes.tick_params(which="minor", labelsize=10)


def _radius(axes: Axes, quantiles: Sequence[Mapping[str, Series]], clips: Mapping[str, Series], styles: _Styles) -> None:
    """The band from the 5 to the 95 % quantile of √c‖v‖ around the median, and the clip."""
    low, middle, high = quantiles
    for name, own in middle.items():
        look = styles.of(name)
        axes.fill_between(own.steps, low[name].values, high[name].values, color=look["color"], alpha=0.2, lw=0)
        axes.plot(own.steps, own.values, label=name, **look)
        if name in clips:
            words = "clip" if len(middle) == 1 else f"clip of {name}"
            axes.plot(clips[name].steps, clips[name].values, color=look["color"], lw=1, linestyle=":", label=words)
    axes.set_ylabel("√c‖v‖: median, 5 to 95 %", fontsize=10)
    axes.set_ylim(0, 1.05 * axes.get_ylim()[1])
    _legend(axes)


def _trajectory(axes: Axes, pairs: Mapping[str, tuple[Series, Series]], styles: _Styles) -> None:
    """Alignment against uniformity from the first lines, a circle, to the last, a dot: down and left is better."""
    for name, (even, close) in pairs.items():
        shared, at, also = np.intersect1d(even.steps, close.steps, return_indices=True)
        if not len(shared):
            continue
        stops = np.array_split(np.arange(len(shared)), min(_STOPS, len(shared)))
        x, y = (np.array([np.median(v[stop]) for stop in stops]) for v in (even.values[at], close.values[also]))
        look = styles.of(name)
        axes.plot(x, y, label=name, **look)
        axes.plot(x[:1], y[:1], "o", mfc="white", mec=look["color"], ms=7)
        axes.plot(x[-1:], y[-1:], "o", color=look["color"], ms=7)
    axes.set_xlabel("uniformity: log mean exp(−2‖x − y‖²)", fontsize=10)
    axes.set_ylabel("alignment:\nmean ‖x − y‖² in a class", fontsize=10)
    axes.margins(0.1)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    _legend(axes, "○ first, ● last step")


def _legend(axes: Axes, words: str | None = None) -> None:
    """Over the panel, where it covers nothing; `words` stand beside it."""
    names = axes.get_legend_handles_labels()[1]
    columns = 2 if max(map(len, names)) > 11 else 3
    axes.legend(
        frameon=False,
        fontsize=9,
        loc="lower left",
        bbox_to_anchor=(-0.02, 1),
        ncols=columns,
        handlelength=2.4,
        handletextpad=0.5,
        columnspacing=1.2,
        borderpad=0.2,
    )
    if words:
        axes.annotate(words, (0.99, 0.98), xycoords="axes fraction", ha="right", va="top", fontsize=9, bbox=_PAPER)
