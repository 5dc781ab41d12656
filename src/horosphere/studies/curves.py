"""What a sweep found, as a document: curves over a grid, or a cloud of trials."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from ..insight.figures import BLUE, GREEN, GREY, ORANGE
from ..report.document import Document, Picture, Section, Table
from .contenders import short, words
from .heatmap import heat_map
from .pictures import metric_title, panels
from .trials import best_by, spread_words

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
        blocks: list = ["The best of each: " + "; ".join(lines) + ".", *_pictures(variants, metrics, result["seeds"])]
        sections.append(Section("What was found", blocks))
    for name, each in variants.items():
        sections.append(Section(f"All trials: {VARIANTS[name]}", [_trials(each, metrics)]))
    seeds = f"{result['seeds']} seed{'s' * (result['seeds'] > 1)} a setting"
    return Document(
        f"Sweep of {result['recipe']}",
        f"{seeds}, judged on held-out training classes; the test classes were not read · Horosphere {result['horosphere']}",
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
        score = [spread_words(trial, key) for key in ("recall", "map_at_r")]
        remark = f"failed: {trial['failed']}" if trial["failed"] else "" if score[0] else "not there yet"
        own = [short(trial["setting"].get(name, "")) for name in names]
        rows.append([*own, *(_numbers(trial.get("learned", {}).get(name, [])) for name in learned), *score, remark])
    return Table([*names, *(f"learned {name}" for name in learned), *map(metric_title, metrics), "remark"], rows)


def _pictures(variants: Mapping[str, dict], metrics: Sequence[str], seeds: int) -> list[Picture]:
    """For a grid, curves over its first axis or the temperature, and a map of two; else a picture an axis."""
    axes = {axis["name"]: axis for axis in variants["recipe"]["axes"]}
    numeric = [name for name in axes if _numeric(variants["recipe"]["trials"], name)]
    if not numeric:
        return []
    if any(axis["range"] for axis in axes.values()):
        return [_cloud(variants, name, axes[name], metrics) for name in numeric]
    first = "temperature" if "temperature" in numeric else numeric[0]
    others = [name for name in axes if name != first]
    if _one_at_a_time(variants["recipe"]["trials"], axes):
        return [_alone(variants["recipe"]["trials"], name, axes, metrics, seeds) for name in numeric]
    pictures = [_curves(variants, first, others, metrics, seeds)]
    if second := next((name for name in numeric if name != first), None):
        over = _over(name for name in others if name != second)
        caption = (
            f"The same over {first} and {second}{over}, in per cent; the frame is around the best, a cross is a failure."
        )
        pictures.append(Picture("sweep-map", caption, heat_map(variants, first, second, metrics)))
    return pictures


def _numeric(trials: Sequence[dict], name: str) -> bool:
    values = [trial["setting"][name] for trial in trials if name in trial["setting"]]
    return bool(values) and all(isinstance(each, int | float) and not isinstance(each, bool) for each in values)


def _one_at_a_time(trials: Sequence[dict], axes: Mapping[str, dict]) -> bool:
    """Whether every trial leaves all axes but one at the recipe's own."""
    apart = [sum(trial["setting"].get(name) != axis["own"] for name, axis in axes.items()) for trial in trials]
    return len(axes) > 1 and max(apart) <= 1


def _curves(variants: Mapping[str, dict], first: str, others: Sequence[str], metrics: Sequence[str], seeds: int) -> Picture:
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
                    _line(axes, line, first, key, color=colour, marker=marker, ls=dash, label=label)
                else:
                    best = max(line, key=lambda trial, key=key: trial[key])
                    axes.axhline(100 * best[key], color=GREY, ls=":", lw=1.4, label=label)
                    if band := best["intervals"][key]:
                        axes.axhspan(*(100 * end for end in band), color=GREY, alpha=0.12, lw=0)
        _scale(axes, [trial["setting"][first] for trial in variants["recipe"]["trials"]])
        axes.set_xlabel(first)
    parts[0].legend(frameon=False, fontsize=9)
    return Picture("sweep", f"On held-out classes, against {first}{_over(others[1:])}. {_bands(seeds)}", figure)


def _line(axes: Axes, trials: Sequence[dict], name: str, key: str, **style) -> None:
    """The best result of each value of an axis, in per cent, with a band where its intervals are known."""
    best = best_by(trials, name, key)
    axes.plot(list(best), [100 * trial[key] for trial in best.values()], ms=6, lw=1.6, **style)
    bands = [trial["intervals"][key] for trial in best.values()]
    if all(bands):
        low, high = 100 * np.asarray(bands).T
        colour, dash = style["color"], style.get("ls", "-")
        axes.fill_between(list(best), low, high, fc=(colour, 0.1), ec=(colour, 0.45), ls=dash, lw=0.8)


def _over(names: Iterable[str]) -> str:
    """What is said of axes that the picture has no room for."""
    names = list(names)
    return f", over {' and '.join(names)} the best" if names else ""


def _bands(seeds: int) -> str:
    if seeds == 1:
        return "One seed a setting, and so no bands: --seeds 5, say, tells what is chance."
    return f"Bands: 95 % intervals of the mean over {seeds} seeds."


def _alone(trials: Sequence[dict], name: str, axes: Mapping[str, dict], metrics: Sequence[str], seeds: int) -> Picture:
    """One axis, the others as in the recipe; a ring around the recipe's own value."""
    own = [
        trial
        for trial in trials
        if all(trial["setting"].get(other) == axis["own"] for other, axis in axes.items() if other != name)
    ]
    figure, parts = panels(metrics, 3.4)
    for axes_, key in zip(parts, ("recall", "map_at_r"), strict=True):
        if points := best_by(own, name, key):
            _line(axes_, own, name, key, color=BLUE, marker="o")
            if here := points.get(axes[name]["own"]):
                axes_.plot(axes[name]["own"], 100 * here[key], "o", ms=13, mfc="none", mec=ORANGE, mew=1.6)
            _scale(axes_, points)
        axes_.set_xlabel(name)
    caption = f"On held-out classes, against {name} alone; the ring is the recipe's own. {_bands(seeds)}"
    return Picture(f"sweep-{_file(name)}", caption, figure)


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
