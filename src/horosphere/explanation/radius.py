"""What the radius says: whether an answer is right, how deep a class lies in a tree, and what a typical image is."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .. import insight
from ..config import ExplainConfig
from ..errors import InputError
from ..evaluation import (
    RadiusByDepth,
    SelectionReport,
    aurc,
    calibrate,
    evaluate_retrieval,
    in_bins,
    radius_by_depth,
    risk_coverage,
    selective_risk,
)
from ..report.document import Picture, Section, Table
from ..spaces import Mixed, Space
from .labels import tree_of
from .subject import NotHere, Subject

#: Radii that differ by less, as a share of the largest, are one: rounding must not rank points at the clip.
_SAME = 1e-5
#: Classes shown, and images of each with the smallest and with the largest radius.
_CLASSES, _IMAGES = 6, 5
#: Of fewer classes resampling tells little.
_FEW = 8
_DISTANCE = "distance to the nearest"


@dataclass(frozen=True)
class _Part:
    """A geometry whose points have a radius, and the radius of each."""

    name: str
    space: Space
    points: Tensor
    radius: np.ndarray


def radius(subject: Subject, options: ExplainConfig, progress: bool) -> Section:
    """The section on the radius; see `ExplainConfig`. Raises NotHere for one class, and where no radius differs."""
    if len(np.unique(subject.labels)) < 2:
        raise NotHere("all points are of one class, so there is nothing that a radius could tell apart; give labels")
    parts = _parts(subject)
    blocks, numbers = [], {}
    for own, found in (
        _correctness(subject, parts, options, progress),
        _depth(subject, parts, options),
        _examples(subject, parts[0], options),
    ):
        blocks += own
        numbers |= found
    return Section("Radius", blocks, numbers)


def _parts(subject: Subject) -> list[_Part]:
    space = subject.space
    found = [(space.name, space, subject.points)]
    if isinstance(space, Mixed):
        found = list(zip(space.names, space.parts, space.split(subject.points), strict=True))
    found = [(name, part, points.contiguous()) for name, part, points in found if part.has_origin]
    if not found:
        raise NotHere(
            "points on a sphere have no radius; train with a hyperbolic part, as in the recipes demo and omniglot-hyperbolic"
        )
    parts = []
    for name, part, points in found:
        values = part.radius(points).double().numpy()
        step = _SAME * values.max()
        values = np.round(values / step) * step if step > 0 else values
        if len(np.unique(values)) > 1:
            parts.append(_Part(name, part, points, values))
    if not parts:
        raise NotHere(
            "all points lie at one radius, which says nothing then; take a larger clip, or model.normalise_encoding=l2, so "
            "that they start inside of it"
        )
    return parts


def _correctness(subject: Subject, parts: list[_Part], options: ExplainConfig, progress: bool) -> tuple[list, dict]:
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
    values = {_named(part, parts): part.radius[asked] for part in parts}
    if subject.encodings is not None:
        values["norm of the encoding"] = subject.encodings[torch.from_numpy(asked)].double().norm(dim=1).numpy()
    values[_DISTANCE] = _nearest_distance(subject, asked, report.per_query["nearest"])
    classes = np.random.default_rng(options.seed).permutation(np.unique(labels))
    first = np.isin(labels, classes[: len(classes) // 2])
    halves = [wrong[own] for own in (first, ~first)]
    if any(len(own) == 0 or own.min() == own.max() for own in halves):
        return ["Correctness: there are too few classes, or too few wrong answers, to learn what the radius says."], {
            "queries": len(wrong),
            "error": float(wrong.mean()),
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
            _interval(own.interval),
            f"{own.excess:.4f}",
            f"{own.gain:+.4f}".replace("-", "−"),
            _interval(own.gain_interval),
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
    fitted = calibrate(values[name], 1 - wrong, first)
    bins = in_bins(values[name][~first], 1 - halves[1])
    blocks += [
        f"In {len(bins.counts)} bins by radius, of {bins.counts.min():,} to {bins.counts.max():,} queries, from "
        f"{100 * bins.rates.min():.1f} % to {100 * bins.rates.max():.1f} % are right. "
        f"As a probability of being right, a logistic map of the {name}, fitted on the first half of the classes, has an "
        f"expected calibration error of {100 * fitted.error:.1f} % on the other half, and a Brier score of "
        f"{fitted.brier:.4f}; always saying the first half's rate has {100 * fitted.constant_error:.1f} % and "
        f"{fitted.constant_brier:.4f}. "
        + (
            "The map knows more than the rate does."
            if fitted.brier < 0.99 * fitted.constant_brier
            else "The map knows no more than the rate does."
        ),
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


def _named(part: _Part, parts: list[_Part]) -> str:
    return "radius" if len(parts) == 1 else f"radius of {part.name}"


def _direction(sign: int) -> str:
    return "large" if sign > 0 else "small"


def _nearest_distance(subject: Subject, queries: np.ndarray, nearest: np.ndarray) -> np.ndarray:
    x, y = (subject.points[torch.from_numpy(index)].split(8192) for index in (queries, nearest))
    with torch.no_grad():
        return torch.cat([subject.space.distance(a.double(), b.double()) for a, b in zip(x, y, strict=True)]).numpy()


def _verdicts(found: SelectionReport, signs: Mapping[str, int]) -> list[str]:
    """What the intervals allow to say, and no more."""
    if found.classes < _FEW:
        return [
            f"{found.classes} classes are too few for intervals over classes to mean much, so nothing is concluded here."
        ]
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
        says = [f"As an order, the {name} says nothing about correctness here: its interval holds a random order's."]
    for other in others:
        if other in found.differences:
            difference, (low, high) = found.differences[other]
            better = "better than" if high < 0 else "worse than" if low > 0 else "a tie with"
            says.append(f"As a confidence it is {better} the {other} (AURC {difference:+.4f}, {_interval((low, high))}).")
    return [" ".join(says).replace("AURC -", "AURC −")]


def _depth(subject: Subject, parts: list[_Part], options: ExplainConfig) -> tuple[list, dict]:
    """Does the radius grow with the depth in the label tree?"""
    tree = tree_of(subject.classes, subject.superclasses, options)
    if tree is None:
        return ["Depth in a tree of labels: the data set has no superclasses; give a tree over the classes with --tree."], {}
    blocks, numbers = [], {}
    for part in parts:
        try:
            found = radius_by_depth(
                part.points, subject.labels, part.space, tree, draws=options.bootstrap, seed=options.seed
            )
        except InputError as error:
            return [f"Depth in the tree of labels: {error}."], {}
        count, name = len(np.unique(subject.labels)), _named(part, parts)
        rows = [
            [f"{name} of", "rank correlation with depth", "95 %", "what the interval is"],
            ["midpoints of classes", _number(found.classes), _interval(found.intervals.get("classes")), "over classes"],
            ["images", _number(found.images), _interval(found.intervals.get("images")), "over classes"],
            ["midpoints of all nodes", _number(found.nodes), _interval(found.shuffled), "of trees with shuffled classes"],
        ]
        blocks += [Table(rows[0], rows[1:]), *_depth_verdicts(found)]
        inner = [tree.names[node] for node in found.node[count:]]
        blocks.append(
            Picture(
                f"radius-depth-{part.name}",
                "The radius of a midpoint against the depth of its node in the label tree. Midpoints of many points lie "
                "nearer to the origin in any tree.",
                insight.radius_at_depth(found.depth, found.radius, count, ["", *[""] * (count - 1), *inner]),
            )
        )
        numbers[part.name] = found.to_dict()
    return blocks, {"depth": numbers}


def _depth_verdicts(found: RadiusByDepth) -> list[str]:
    says = []
    for what, name in (("classes", "The midpoints of deeper classes"), ("images", "The images of deeper classes")):
        if what in found.intervals:
            low, high = found.intervals[what]
            where = "farther out" if low > 0 else "nearer to the origin" if high < 0 else "neither farther out nor nearer"
            says.append(f"{name} lie {where}{'' if low > 0 or high < 0 else ', as far as these classes can tell'}.")
    if not says:
        says.append("All classes lie at one depth, so only the nodes above them can be compared.")
    if found.nodes is not None and found.shuffled is not None:
        if found.nodes > found.shuffled[1]:
            says.append("Nodes near the root lie nearer to the origin, and more so than where the classes are shuffled.")
        else:
            says.append(
                "That nodes near the root lie nearer to the origin is no more than averaging brings: where the classes of "
                "the tree are shuffled it is so, too."
            )
    return [" ".join(says)]


def _examples(subject: Subject, part: _Part, options: ExplainConfig) -> tuple[list, dict]:
    """The images of some classes with the smallest and the largest radius."""
    if subject.image is None:
        return [], {}
    sizes = np.bincount(subject.labels, minlength=len(subject.classes))
    enough = np.flatnonzero(sizes >= min(2 * _IMAGES, sizes.max()))
    chosen = np.sort(np.random.default_rng(options.seed).permutation(enough)[:_CLASSES])
    rows = []
    for label in chosen:
        own = np.flatnonzero(subject.labels == label)
        own = own[part.radius[own].argsort(kind="stable")]
        k = min(_IMAGES, len(own) // 2)
        shown = [*own[:k], *own[len(own) - k :]]
        if k:
            rows.append((subject.classes[label], [(subject.image(int(i)), f"{part.radius[i]:.3g}") for i in shown]))
    if not rows:
        return [], {}
    k = min(_IMAGES, len(rows[0][1]) // 2)
    caption = (
        "Images of some classes with the smallest radii, on the left, and with the largest, on the right; under each its "
        f"{part.name} radius, the distance to the origin."
    )
    return [Picture("radius-examples", caption, insight.image_sheet(rows, gap_after=k))], {}


def _number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:+.3f}".replace("-", "−")


def _interval(bounds: tuple[float, float] | None) -> str:
    return "" if bounds is None else f"{bounds[0]:.4f} to {bounds[1]:.4f}".replace("-", "−")
