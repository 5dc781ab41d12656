"""What a setting of a sweep gave, over its seeds."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..evaluation import mean_interval
from .compare import validation_score


def scored(reports: Sequence[dict], learn: Sequence[str] = ()) -> dict[str, Any]:
    """What study.json says of a trial: means over its runs' reports, each run's values, the 95 % intervals of the means
    (None for one run), and the means of what was learned."""
    means = dict(zip(("recall", "map_at_r"), validation_score(reports), strict=True))
    values = dict(zip(means, zip(*(validation_score([each]) for each in reports), strict=True), strict=True))
    entry: dict[str, Any] = means | {
        "by_seed": {name: list(own) for name, own in values.items()},
        "intervals": {name: mean_interval(own) for name, own in values.items()},
    }
    if learn:
        learned = [_learned(report["space"], learn) for report in reports]
        entry["learned"] = {name: np.mean([each[name] for each in learned], axis=0).tolist() for name in learned[0]}
    return entry


def spread_words(trial: Mapping, key: str) -> str:
    """A trial's score in per cent, with half of its interval over seeds; empty where it has none."""
    if trial[key] is None:
        return ""
    score, interval = f"{100 * trial[key]:.1f}", trial["intervals"][key]
    return f"{score} ± {50 * (interval[1] - interval[0]):.1f}" if interval else score


def best_by(trials: Sequence[Mapping], name: str, key: str) -> dict[Any, Mapping]:
    """Values of an axis, ascending → the best trial with each, by `key`; without a score or that axis it does not count."""
    best: dict[Any, Mapping] = {}
    for trial in trials:
        value = trial["setting"].get(name)
        if value is not None and trial[key] is not None and (value not in best or trial[key] > best[value][key]):
            best[value] = trial
    return dict(sorted(best.items()))


def _learned(space: Mapping, what: Sequence[str]) -> dict[str, list[float]]:
    """What the curvatures and weights became, part by part."""
    parts = space.get("parts", [space])
    found = {}
    if "curvature" in what:
        found["curvature"] = [part["curvature"] for part in parts if part["kind"] == "hyperbolic"]
    if "weights" in what:
        found["weights"] = list(space["weights"])
    return found
