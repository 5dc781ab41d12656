"""What a sweep found, as a document: curves over a grid, or a cloud of trials."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from ..insight.figures import BLUE, GREEN, GREY, ORANGE
from ..report.document import Document, Picture, Section, Table
from .contenders import short, words
from .pictures import metric_title, panels

#: Lines are told apart by colour, marker and dash alike.
STYLES = [
    (BLUE, "o", "-"),
    (ORANGE, "s", "--"),
    (GREEN, "^", "-."),
    ("#CC79A7", "D", ":"),
    ("#56B4E9", "v", "-"),
    ("#E69F00", "P", "--"),
]

VARIANTS = {"recipe": "the recipe", "sphere": "one sphere in its place", "learned": "with learned values"}


def sweep_document(result: dict) -> Document:
    """The result as a document."""
    metrics, variants = result["metrics"], result["variants"]
    judged = {name: [trial for trial in each["trials"] if trial["recall"] is not None] for name, each in variants.items()}
    sections = []
    if not result["complete"]:
        sections.append(
            Section("To know before reading on", ["Not all runs are there: the same command goes on with them."])
        )
    if found := [name for name, trials in judged.items() if trials]:
        lines = [f"{VARIANTS[name]}: {_best(judged[name], metrics)}" for name in found]
        blocks: list = ["The best of each: " + "; ".join(lines) + ".", *_pictures(variants, metrics)]
        sections.append(Section("What was found", blocks))
    for name, each in variants.items():
        sections.append(Section(f"All trials: {VARIANTS[name]}", [_trials(each, metrics)]))
    return Document(
        f"Sweep of {result['recipe']}",
        f"Judged on held-out training classes; the test classes were not read · Horosphere {result['horosphere']}",
        sections,
    )


def _best(trials: Sequence[dict], metrics: Sequence[str]) -> str:
    best = max(trials, key=lambda trial: (trial["recall"], trial["map_at_r"]))
    learned = "".join(f", learned {name} {_numbers(values)}" for name, values in best.get("learned", {}).items())
    return f"{words(best['setting'])}{learned} ({metric_title(metrics[0])} {100 * best['recall']:.1f})"


def _numbers(values: Iterable[float]) -> str:
    return ", ".join(f"{value:.3g}" for value in values)


def _trials(variant: dict, metrics: Sequence[str]) -> Table:
    """A line a trial, the best first."""
    names = [axis["name"] for axis in variant["axes"]]
    learned = next((list(trial["learned"]) for trial in variant["trials"] if trial.get("learned")), [])
    rows = []
    order = sorted(variant["trials"], key=lambda trial: -1 if trial["recall"] is None else trial["recall"], reverse=True)
    for trial in order:
        score = [f"{100 * trial[key]:.1f}" if trial[key] is not None else "" for key in ("recall", "map_at_r")]
        remark = f"failed: {trial['failed']}" if trial["failed"] else "" if score[0] else "not there yet"
        own = [short(trial["setting"].get(name, "")) for name in names]
        rows.append([*own, *(_numbers(trial.get("learned", {}).get(name, [])) for name in learned), *score, remark])
    return Table([*names, *(f"learned {name}" for name in learned), *map(metric_title, metrics), "remark"], rows)


def _pictures(variants: Mapping[str, dict], metrics: Sequence[str]) -> list[Picture]:
    """For a grid, curves over its first axis or the temperature; for ranges and single axes, a picture an axis."""
    axes = {axis["name"]: axis for axis in variants["recipe"]["axes"]}
    numeric = [name for name in axes if _numeric(variants["recipe"]["trials"], name)]
    if not numeric:
        return []
    if any(axis["range"] for axis in axes.values()):
        return [_cloud(variants, name, axes[name], metrics) for name in numeric]
    first = "temperature" if "temperature" in numeric else numeric[0]
    others = [name for name in axes if name != first]
    if _one_at_a_time(variants["recipe"]["trials"], axes):
        return [_alone(variants["recipe"]["trials"], name, axes, metrics) for name in numeric]
    return [_curves(variants, first, others, metrics)]


def _numeric(trials: Sequence[dict], name: str) -> bool:
    values = [trial["setting"][name] for trial in trials if name in trial["setting"]]
    return bool(values) and all(isinstance(each, int | float) and not isinstance(each, bool) for each in values)


def _one_at_a_time(trials: Sequence[dict], axes: Mapping[str, dict]) -> bool:
    """Whether every trial leaves all axes but one at the recipe's own."""
    apart = [sum(trial["setting"].get(name) != axis["own"] for name, axis in axes.items()) for trial in trials]
    return len(axes) > 1 and max(apart) <= 1


def _curves(variants: Mapping[str, dict], first: str, others: Sequence[str], metrics: Sequence[str]) -> Picture:
    """A line for each value of the second axis; over further axes the best."""
    figure, parts = panels(metrics, 4.2)
    for axes, key in zip(parts, ("recall", "map_at_r"), strict=True):
        styles = iter(STYLES * 4)
        for name, variant in variants.items():
            trials = [trial for trial in variant["trials"] if trial[key] is not None]
            second = next((other for other in others if any(other in trial["setting"] for trial in trials)), None)
            lines: dict = {}
            for trial in trials:
                lines.setdefault(trial["setting"].get(second), []).append(trial)
            for value, line in lines.items():
                label = VARIANTS[name] if name != "recipe" else f"{second} {short(value)}" if second else VARIANTS[name]
                if name != "recipe" and second:
                    label += f", {second} {short(value)}"
                if any(first in trial["setting"] for trial in line):
                    colour, marker, dash = (GREY, "x", "-") if name == "sphere" and not second else next(styles)
                    best = _upper(line, first, key)
                    axes.plot(*zip(*best, strict=True), color=colour, marker=marker, ls=dash, ms=6, lw=1.6, label=label)
                else:
                    axes.axhline(100 * max(trial[key] for trial in line), color=GREY, ls=":", lw=1.4, label=label)
        _scale(axes, [trial["setting"][first] for trial in variants["recipe"]["trials"]])
        axes.set_xlabel(first)
    parts[0].legend(frameon=False, fontsize=9)
    over = f", over {' and '.join(others[1:])} the best" if len(others) > 1 else ""
    return Picture("sweep", f"On held-out classes, against {first}{over}.", figure)


def _upper(trials: Sequence[dict], name: str, key: str) -> list[tuple[float, float]]:
    """The best result, in per cent, of each value of an axis."""
    best: dict[float, float] = {}
    for trial in trials:
        value = trial["setting"][name]
        best[value] = max(best.get(value, 0.0), 100 * trial[key])
    return sorted(best.items())


def _alone(trials: Sequence[dict], name: str, axes: Mapping[str, dict], metrics: Sequence[str]) -> Picture:
    """One axis, the others as in the recipe; a ring around the recipe's own value."""
    own = [
        trial
        for trial in trials
        if all(trial["setting"].get(other) == axis["own"] for other, axis in axes.items() if other != name)
    ]
    figure, parts = panels(metrics, 3.4)
    for axes_, key in zip(parts, ("recall", "map_at_r"), strict=True):
        points = _upper([trial for trial in own if trial[key] is not None], name, key)
        if points:
            axes_.plot(*zip(*points, strict=True), color=BLUE, marker="o", ms=6, lw=1.6)
            here = [(value, score) for value, score in points if value == axes[name]["own"]]
            if here:
                axes_.plot(*zip(*here, strict=True), "o", ms=13, mfc="none", mec=ORANGE, mew=1.6)
            _scale(axes_, [value for value, _ in points])
        axes_.set_xlabel(name)
    return Picture(
        f"sweep-{_file(name)}", f"On held-out classes, against {name} alone; the ring is the recipe's own.", figure
    )


def _cloud(variants: Mapping[str, dict], name: str, axis: dict, metrics: Sequence[str]) -> Picture:
    """All trials, a dot each, against one axis; the best is filled."""
    figure, parts = panels(metrics, 3.8)
    for axes, key in zip(parts, ("recall", "map_at_r"), strict=True):
        for (variant, each), (colour, marker, _) in zip(variants.items(), STYLES, strict=False):
            trials = [trial for trial in each["trials"] if trial[key] is not None and name in trial["setting"]]
            if trials:
                x, y = zip(*((trial["setting"][name], 100 * trial[key]) for trial in trials), strict=True)
                axes.plot(x, y, marker, color=colour, ms=7, mfc="none", ls="none", label=VARIANTS[variant])
                best = int(np.argmax(y))
                axes.plot(x[best], y[best], marker, color=colour, ms=9)
        if axis["log"]:
            axes.set_xscale("log")
        axes.set_xlabel(name)
    parts[0].legend(frameon=False, fontsize=9)
    return Picture(f"sweep-{_file(name)}", f"Every trial on held-out classes, against {name}; the best is filled.", figure)


def _scale(axes, values: Iterable[float]) -> None:
    """A logarithmic scale where values span it, with a tick at each."""
    values = sorted(set(values))
    if values[0] > 0 and values[-1] / values[0] >= 4:
        axes.set_xscale("log")
        axes.minorticks_off()
    axes.set_xticks(values, [short(value) for value in values])


def _file(name: str) -> str:
    return name.replace(".", "-")
