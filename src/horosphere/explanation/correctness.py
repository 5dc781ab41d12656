"""Does a radius tell right answers from wrong ones?"""

from collections.abc import Mapping

import numpy as np
import torch

from .. import insight
from ..config import ExplainConfig
from ..errors import InputError
from ..evaluation import (
    SelectionReport,
    aurc,
    calibrate,
    evaluate_retrieval,
    in_bins,
    risk_coverage,
    selective_risk,
    too_few,
    wilson,
)
from ..evaluation.calibration import Bins, Calibration
from ..report.document import Picture, Table
from .radii import Part, interval, named
from .subject import Subject

_DISTANCE = "distance to the nearest"


def correctness(subject: Subject, parts: list[Part], options: ExplainConfig, progress: bool) -> tuple[list, dict]:
    """Is a query with a larger, or a smaller, radius more often right?"""
    queries = np.arange(len(subject)) if subject.queries is None else subject.queries
    try:
        report = evaluate_retrieval(
            subject.points,
            subject.labels,
            subject.space,
            (1,),
            queries=queries,
            gallery=subject.gallery,
            bootstrap=0,
            progress=progress,
        )
    except InputError as error:
        return [f"Correctness cannot be judged: {error}."], {}
    asked, labels = report.per_query["index"], report.per_query["label"]
    wrong = (report.per_query["rank"] > 0).astype(float)
    values = {named(part, parts): part.radius[asked] for part in parts}
    if subject.encodings is not None:
        values["norm of the encoding"] = subject.encodings[torch.from_numpy(asked)].double().norm(dim=1).numpy()
    values[_DISTANCE] = _nearest_distance(subject, asked, report.per_query["nearest"])
    classes = np.random.default_rng(options.seed).permutation(np.unique(labels))
    first = np.isin(labels, classes[: len(classes) // 2])
    halves = [wrong[own] for own in (first, ~first)]
    if any(len(own) == 0 or own.min() == own.max() for own in halves):
        return ["Correctness: there are too few classes, or too few wrong answers, to learn what the radius says."], {
            "correctness": {"queries": len(wrong), "error": float(wrong.mean())}
        }
    signs = {name: 1 if aurc(own[first], halves[0]) <= aurc(-own[first], halves[0]) else -1 for name, own in values.items()}
    signs[_DISTANCE] = -1  # that near means sure is not in question
    surest = {name: signs[name] * own[~first] for name, own in values.items()}
    found = selective_risk(surest, halves[1], labels[~first], draws=options.bootstrap, seed=options.seed)
    against = {name: aurc(-own, halves[1]) for name, own in surest.items()}
    head = (
        "A query is right where its nearest image is of its class. Which radius is the sure one is a question: it is "
        f"answered on half of the classes, and judged on the other {found.classes:,} with {found.answers:,} queries, of "
        f"which {100 * found.error:.1f} % are wrong. AURC is the mean error among the surest queries over every share of "
        "them: lower is better, "
        f"{found.error:.4f} is a random order's, {found.best:.4f} the best there can be."
    )
    rows = [
        [
            name,
            _direction(signs[name]),
            f"{own.area:.4f}",
            interval(own.interval),
            f"{own.excess:.4f}",
            _signed(own.gain),
            interval(own.gain_interval),
            f"{against[name]:.4f}",
        ]
        for name, own in found.selections.items()
    ]
    header = ["confidence", "sure are", "AURC", "95 %", "excess", "gain on random", "95 %", "AURC the other way"]
    curves = {f"{name} ({_direction(signs[name])})": risk_coverage(own, halves[1]) for name, own in surest.items()}
    best = risk_coverage(1 - halves[1], halves[1])
    blocks = [head, Table(header, rows, frozenset({rows[0][0]})), *_verdicts(found, signs)]
    blocks.append(
        Picture(
            "radius-risk",
            "The error among the surest queries. A confidence that says something falls to the left of the random order.",
            insight.risk_curves(curves, best, found.error),
        )
    )
    name, part = rows[0][0], parts[0]
    fitted = calibrate(values[name], 1 - wrong, first, labels, draws=options.bootstrap, seed=options.seed)
    bins = in_bins(values[name][~first], 1 - halves[1])
    blocks += [
        _ends(bins) + _calibration(name, fitted, found.classes),
        Picture(
            "radius-calibration",
            "The share of right answers by radius, on the half of the classes that nothing was fitted on. Wilson intervals "
            "take queries as independent; those of one class are not quite.",
            insight.accuracy_by_value(bins, fitted, f"{name}: distance to the origin" if name == "radius" else name),
        ),
    ]
    numbers = {
        "directions": {name: _direction(sign) for name, sign in signs.items()},
        "selection": found.to_dict(),
        "aurc_the_other_way": against,
        "calibration": {part.name: fitted.to_dict()},
    }
    return blocks, {"correctness": numbers}


def _direction(sign: int) -> str:
    return "large" if sign > 0 else "small"


def _nearest_distance(subject: Subject, queries: np.ndarray, nearest: np.ndarray) -> np.ndarray:
    x, y = (subject.points[torch.from_numpy(index)].split(8192) for index in (queries, nearest))
    with torch.no_grad():
        return torch.cat([subject.space.distance(a.double(), b.double()) for a, b in zip(x, y, strict=True)]).numpy()


def _ends(bins: Bins) -> str:
    """How many are right among the innermost and among the outermost queries."""
    if len(bins.counts) < 2:
        return ""
    bounds = 100 * wilson(bins.right, bins.counts)
    inner, outer = (
        f"{bins.counts[i]:,} {where} queries {100 * bins.rates[i]:.1f} % are right (95 %: {low:.1f} to {high:.1f} %)"
        for (i, where), (low, high) in zip(((0, "innermost"), (-1, "outermost")), bounds[[0, -1]], strict=True)
    )
    return f"In {len(bins.counts)} bins by radius: of the {inner}, of the {outer}. "


def _calibration(name: str, fitted: Calibration, classes: int) -> str:
    gain, (low, high) = fitted.constant_brier - fitted.brier, fitted.gain_interval or (-np.inf, np.inf)
    says = (
        f"As a probability of being right, a logistic map of the {name}, fitted on the first half of the classes, has an "
        f"expected calibration error of {100 * fitted.error:.1f} % on the other half. Its Brier score is "
        f"{fitted.brier:.4f}, that of always saying the first half's rate {fitted.constant_brier:.4f}"
    )
    says += f" (gain {_signed(gain)}, {interval((low, high))})"
    if too_few(classes):
        return f"{says}."
    if low > 0:
        return f"{says}: the map knows more than the rate does."
    if high < 0:
        return f"{says}: the map is worse than the rate."
    return f"{says}: the map cannot be told from the rate on these {classes:,} classes."


def _verdicts(found: SelectionReport, signs: Mapping[str, int]) -> list[str]:
    """What the intervals allow to say, and no more."""
    if few := too_few(found.classes):
        return [few]
    name, *others = found.selections
    own = found.selections[name]
    low, high = own.gain_interval or (-np.inf, np.inf)
    side = "far out" if signs[name] > 0 else "near the origin"
    if low > 0:
        share = own.gain / max(found.error - found.best, 1e-12)
        says = [
            f"The {name} says something about correctness: queries {side} are right more often. It goes {100 * share:.0f} % "
            "of the way from a random order to the best one."
        ]
    elif high < 0:
        says = [
            f"The {name} misleads: on the classes where the direction was chosen queries {side} were right more often, and "
            "on the others they are wrong more often."
        ]
    else:
        says = [
            f"The order by the {name} cannot be told from a random order on these {found.classes:,} classes (gain "
            f"{_signed(own.gain)}, {interval((low, high))})."
        ]
    for other in others:
        if other in found.differences:
            difference, (low, high) = found.differences[other]
            better = "better than" if high < 0 else "worse than" if low > 0 else "not told apart from"
            says.append(f"As a confidence it is {better} the {other} (AURC {_signed(difference)}, {interval((low, high))}).")
    return [" ".join(says)]


def _signed(value: float) -> str:
    return f"{value:+.4f}".replace("-", "−")
