"""Relative δ of several sets, as dots on one axis."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from .delta import BALL, DeltaReport
from .figures import BLUE, GREY, ORANGE, _figure


def delta_dots(
    found: Mapping[str, DeltaReport], references: Mapping[str, DeltaReport], curvatures: Sequence[float] = ()
) -> Figure:
    """Relative δ of some sets, with intervals, and hollow of references; dashed lines where δ would suit `curvatures`."""
    rows = [*((name, report, True) for name, report in found.items())]
    rows += [*((name, report, False) for name, report in references.items())]
    figure, axes = _figure(8, 1.7 + 0.38 * len(rows))
    end = 1.15 * max(0.5, *((report.interval or (0, report.value))[1] for _, report, _ in rows))
    for row, (_, report, own) in zip(range(len(rows))[::-1], rows, strict=True):
        low, high = report.interval or (report.value, report.value)
        colour, face = (BLUE, BLUE) if own else (GREY, "white")
        axes.errorbar(
            [report.value],
            [row],
            xerr=[[report.value - low], [high - report.value]],
            fmt="o" if own else "D",
            color=colour,
            mfc=face,
            ms=7,
            capsize=3,
            lw=1.5,
            zorder=3,
        )
        axes.annotate(
            f"{report.value:.3f}",
            (high, row),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            fontsize=10,
            bbox={"fc": "white", "ec": "none", "pad": 1},
        )
    for curvature in curvatures:
        place = BALL / curvature**0.5
        if place < end:
            axes.axvline(place, color=ORANGE, ls="--", lw=1.5, zorder=1)
            side = "left" if place < end / 2 else "right"
            axes.annotate(
                f" the model's c = {curvature:.3g} ", (place, -0.95), ha=side, va="bottom", color=ORANGE, fontsize=10
            )
    axes.set_yticks(range(len(rows))[::-1], [name for name, *_ in rows])
    axes.axhline(len(references) - 0.5, color=GREY, lw=0.8, alpha=0.6)
    axes.set_ylim(-1, len(rows) - 0.4)
    axes.set_xlim(0, end)
    draws = {(len(report.per_draw), report.samples) for _, report, _ in rows}
    count = ", ".join(f"{number} draw{'s' * (number > 1)} of {samples:,} points" for number, samples in sorted(draws))
    axes.set_xlabel(f"relative δ (0: a tree, 1: the least hyperbolic)\n{count}, with 95 % intervals over draws")
    axes.grid(axis="x", alpha=0.3)
    # Not a function of the axis, which begins at 0 where c is infinite.
    upper = axes.twiny()
    upper.spines[["right"]].set_visible(False)
    upper.set_xlim(0, end)
    ticks = [curvature for curvature in (10, 2, 1, 0.5, 0.25, 0.1, 0.05) if BALL / curvature**0.5 < end]
    upper.set_xticks([BALL / curvature**0.5 for curvature in ticks], [f"{curvature:g}" for curvature in ticks])
    upper.tick_params(labelsize=10)
    upper.set_xlabel("suggested c = (0.144/δ)²")
    return figure
