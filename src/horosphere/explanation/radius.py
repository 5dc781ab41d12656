"""What the radius says: whether an answer is right, how deep a class lies in a tree, and what a typical image is."""

import numpy as np

from .. import insight
from ..config import ExplainConfig
from ..errors import InputError
from ..evaluation import RadiusByDepth, radius_by_depth, too_few
from ..report.document import Picture, Section, Table
from .correctness import correctness
from .labels import tree_of
from .radii import Part, interval, named, parts_with_radius
from .subject import NotHere, Subject

#: Classes shown, and images of each with the smallest and with the largest radius.
_CLASSES, _IMAGES = 6, 5


def radius(subject: Subject, options: ExplainConfig, progress: bool) -> Section:
    """The section on the radius; see `ExplainConfig`. Raises NotHere for one class, and where no radius differs."""
    if len(np.unique(subject.labels)) < 2:
        raise NotHere("all points are of one class, so there is nothing that a radius could tell apart; give labels")
    parts, left_out = parts_with_radius(subject)
    blocks: list = [f"{reason[0].upper()}{reason[1:]}." for reason in left_out]
    numbers = {}
    for own, found in (
        correctness(subject, parts, options, progress),
        _depth(subject, parts, options),
        _examples(subject, parts[0], options),
    ):
        blocks += own
        numbers |= found
    return Section("Radius", blocks, numbers)


def _depth(subject: Subject, parts: list[Part], options: ExplainConfig) -> tuple[list, dict]:
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
        count, name = len(np.unique(subject.labels)), named(part, parts)
        rows = [
            [f"{name} of", "rank correlation with depth", "95 %", "what the interval is"],
            ["midpoints of classes", _number(found.classes), interval(found.intervals.get("classes")), "over classes"],
            ["images", _number(found.images), interval(found.intervals.get("images")), "over classes"],
            ["midpoints of all nodes", _number(found.nodes), interval(found.shuffled), "of trees with shuffled classes"],
        ]
        blocks += [Table(rows[0], rows[1:]), _depth_verdicts(found, count)]
        inner = [tree.names[node] for node in found.node[count:]]
        blocks.append(
            Picture(
                f"radius-depth-{part.name}",
                "The radius of a midpoint against the depth of its node in the label tree. A class's midpoint is of "
                f"{found.each:,} of its images, as many as the smallest class has; a node's is of its classes' midpoints, "
                "and midpoints of many points lie nearer to the origin in any tree.",
                insight.radius_at_depth(found.depth, found.radius, count, ["", *[""] * (count - 1), *inner]),
            )
        )
        numbers[part.name] = found.to_dict()
    return blocks, {"depth": numbers}


def _depth_verdicts(found: RadiusByDepth, classes: int) -> str:
    """What the intervals allow to say, and no more."""
    if few := too_few(classes):
        return few
    says = []
    for what, name, value in (
        ("classes", "The midpoints of deeper classes", found.classes),
        ("images", "The images of deeper classes", found.images),
    ):
        if what in found.intervals:
            low, high = found.intervals[what]
            if low > 0 or high < 0:
                says.append(f"{name} lie {'farther out' if low > 0 else 'nearer to the origin'}.")
            else:
                says.append(
                    f"{name} cannot be told to lie farther out or nearer on these {classes:,} classes (rank correlation "
                    f"{_number(value)}, {interval((low, high))})."
                )
    if not says:
        says.append("All classes lie at one depth, so only the nodes above them can be compared.")
    if found.nodes is not None and found.shuffled is not None:
        if found.nodes <= 0:
            says.append(f"Nodes near the root do not lie nearer to the origin (rank correlation {_number(found.nodes)}).")
        elif found.nodes > found.shuffled[1]:
            says.append("Nodes near the root lie nearer to the origin, and more so than where the classes are shuffled.")
        else:
            says.append(
                "Nodes near the root lie nearer to the origin, but not more so than averaging brings: the interval where "
                "the classes of the tree are shuffled reaches as far."
            )
    return " ".join(says)


def _examples(subject: Subject, part: Part, options: ExplainConfig) -> tuple[list, dict]:
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
