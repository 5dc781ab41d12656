"""The tree that points mean, against the true one; and how far off in the true one mistakes are."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from .. import insight
from ..config import ExplainConfig
from ..errors import InputError
from ..evaluation import (
    Dendrogram,
    HierarchicalReport,
    LabelTree,
    TreeAgreement,
    average_linkage,
    class_bootstrap,
    decode,
    hierarchical_retrieval,
    too_few,
    tree_agreement,
)
from ..report.document import Picture, Section, Table
from ..spaces import Hyperbolic, Space
from .labels import groups_of, tree_of
from .proxies import proxies_of
from .subject import NotHere, Subject

#: Leaves of a drawn tree, and of a measured one, at most: where there are more classes, some are drawn by lot.
_DRAWN, _MEASURED = 100, 1000
_KS = (1, 5, 20)
_DEPTHS = "how much shallower than the deepest the common ancestor is (distance)"
_LINKED, _LINKAGE = ", average linkage", "mean distance at which groups join, less the smallest"


def hierarchy(subject: Subject, options: ExplainConfig, progress: bool) -> Section:
    """The section on the hierarchy; see `ExplainConfig`. Raises NotHere for fewer than three classes."""
    present, owner = np.unique(subject.labels, return_inverse=True)
    if len(present) < 3:
        raise NotHere(f"a tree needs three classes or more, and there are {len(present)}; explain images of more classes")
    tree = tree_of(subject.classes, subject.superclasses, options)
    ways = {name: way for name, way in subject.ways.items() if " by cosine" not in name}
    chosen = _by_lot(len(present), options.seed)
    means = {
        name: (space, space.centroids(points, torch.from_numpy(owner), len(present))[torch.from_numpy(chosen)])
        for name, (_, space, points) in ways.items()
    }
    classes = present[chosen]
    groups = groups_of(subject.classes, subject.superclasses, tree, classes)
    blocks, numbers = [], {}
    if tree is None:
        blocks.append(
            "The data set has no superclasses, so there is no true tree to compare with: give one with --tree, a JSON file."
        )
    else:
        trees = _trees({name: (space, own, None) for name, (space, own) in means.items()})
        found, own = _agreement(trees, tree, classes, groups, options, len(present))
        blocks += found
        numbers["agreement"] = own
    blocks += _pictures(subject, classes, groups, means)
    if tree is not None:
        found, own = _mistakes(subject, tree, options, progress)
        blocks += found
        numbers["neighbours"] = own
    found, own = _proxies(subject, options)
    return Section("Hierarchy", blocks + found, numbers | own)


def _by_lot(count: int, seed: int) -> np.ndarray:
    """Places of as many of `count` classes as are measured, in order."""
    if count <= _MEASURED:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, _MEASURED, replace=False))


def _of(drawn: int, count: int) -> str:
    return f"{count:,}" if drawn == count else f"{drawn:,} of {count:,}, drawn by lot"


def _trees(means: dict[str, tuple[Space, Tensor, Tensor | None]]) -> dict[str, tuple[Dendrogram, str]]:
    """Trees over midpoints, by name, with what their heights are: first those that ancestors in a ball mean."""
    decoded, linked = {}, {}
    with torch.no_grad():
        for name, (space, points, norm) in means.items():
            points = points.double()
            linked[name + _LINKED] = average_linkage(-space.pairwise(points).numpy()), _LINKAGE
            if isinstance(space, Hyperbolic):
                depths = space.pairwise_ancestor_depth(points, norm=norm)
                decoded[f"{name}, ancestors' depth"] = decode(depths.numpy()), _DEPTHS
                linked[f"{name}, ancestors' mean depth"] = average_linkage(depths.numpy()), _DEPTHS
    return decoded | linked


def _agreement(
    trees: dict[str, tuple[Dendrogram, str]],
    tree: LabelTree,
    classes: np.ndarray,
    groups: Sequence[str] | None,
    options: ExplainConfig,
    count: int,
) -> tuple[list, dict]:
    """Of trees over `classes`, which are all of `count`, or drawn from them."""
    found = tree_agreement(
        {name: own for name, (own, _) in trees.items()}, tree, classes, groups, draws=options.bootstrap, seed=options.seed
    )
    header = ["tree over the classes", "Dasgupta", "95 %", "first minus this, 95 %"]
    header += [] if groups is None else ["purity", "95 %", "first minus this, 95 %"]
    rows = []
    for name, own in found.items():
        row = [name if name != "random" else "random trees"]
        for measure in ("dasgupta", "purity")[: 1 if groups is None else 2]:
            difference = own.differences.get(measure)
            row += [
                _number(getattr(own, measure)),
                _interval(own.intervals.get(measure)),
                "" if difference is None else f"{_number(difference[0])} ({_interval(difference[1])})",
            ]
        rows.append(row)
    head = (
        f"Classes: {_of(len(classes), count)}. Dasgupta: the share of the way, in Dasgupta's cost over the label tree's "
        "similarities, from a random tree (0) to the label tree (1)."
    )
    if groups is not None:
        head += (
            f" Purity: the mean share of a pair's own superclass, of {len(set(groups))}, below its lowest common ancestor, "
            "over pairs of one superclass; 1 where superclasses are subtrees."
        )
    return [head, Table(header, rows, frozenset({rows[0][0]})), _tree_verdict(found, len(classes))], {
        name: own.to_dict() for name, own in found.items()
    }


def _tree_verdict(found: dict[str, TreeAgreement], classes: int) -> str:
    if few := too_few(classes):
        return few
    first, *others = found
    says = []
    for other in others:
        difference = found[other].differences.get("dasgupta")
        if difference is not None:
            low, high = difference[1]
            word = (
                "nearer to the label tree than that of"
                if low > 0
                else "farther from it than that of"
                if high < 0
                else "not told apart from that of"
            )
            says.append(f"{word} {other}" if other != "random" else f"{word.removesuffix(' that of')} random trees")
    return f"By Dasgupta's cost the tree of {first} is {'; '.join(says)}." if says else ""


def _pictures(
    subject: Subject, classes: np.ndarray, groups: Sequence[str] | None, means: dict[str, tuple[Space, Tensor]]
) -> list:
    """The first tree, and the first by average linkage, of the classes or, where they are too many, of the superclasses."""
    what, names = "The midpoints of the classes", [subject.classes[label] for label in classes]
    if len(classes) > _DRAWN:
        known, owner = np.unique(groups or [], return_inverse=True)
        if not 3 <= len(known) <= _DRAWN:
            return [f"{len(classes):,} classes are too many to draw."]
        above = torch.from_numpy(owner)
        means = {way: (space, space.centroids(own, above, len(known))) for way, (space, own) in means.items()}
        what, names, groups = f"The midpoints of the superclasses of {len(classes):,} classes", known.tolist(), None
    colours = " Where all leaves of a branch are of one superclass, it is thick and coloured." if groups else ""
    trees = _trees({name: (space, own, None) for name, (space, own) in means.items()})
    first, linked = next(iter(trees)), next(name for name in trees if name.endswith(_LINKED))
    shown = {"hierarchy": first} | ({"hierarchy-linkage": linked} if linked != first else {})
    return [
        Picture(picture, f"{what}: {name}.{colours}", insight.dendrogram(trees[name][0], names, groups, trees[name][1]))
        for picture, name in shown.items()
    ]


def _mistakes(subject: Subject, tree: LabelTree, options: ExplainConfig, progress: bool) -> tuple[list, dict]:
    """How far from a query's class in the tree its neighbours' classes are."""
    searched = len(subject) if subject.gallery is None else len(subject.gallery)
    ks = [k for k in _KS if k < searched]
    if not ks:
        return [], {}
    found = {
        name: hierarchical_retrieval(
            points,
            subject.labels,
            space,
            tree,
            ks,
            queries=subject.queries,
            gallery=subject.gallery,
            bootstrap=options.bootstrap,
            seed=options.seed,
            progress=progress,
        )
        for name, (_, space, points) in subject.ways.items()
    }
    first = next(iter(found.values()))
    last = ks[-1]
    head = (
        "Hierarchical distance of two classes: the height of their lowest common ancestor in the label tree over the "
        "root's, 0 for one class and 1 for two that only the root joins. The table has its mean over the k nearest of each "
        f"of {first.queries:,} queries; hierarchical precision at {last}, 1 for the best order; and the distance of the "
        "nearest where it is of another class, which says how bad mistakes are, however many."
    )
    header = ["rank by", *(f"distance@{k}" for k in ks), f"95 % @{last}", f"precision@{last}", "of mistakes", "95 %"]
    rows = [
        [
            name,
            *(f"{own.distance[k]:.3f}" for k in ks),
            _interval(own.intervals.get(f"distance@{last}")),
            f"{own.precision[last]:.3f}",
            _number(own.severity),
            _interval(own.intervals.get("severity")),
        ]
        for name, own in found.items()
    ]
    rows.append(["a random order", *[f"{first.chance:.3f}"] * len(ks), "", "", _number(first.chance_severity), ""])
    rows.append(["the best order", *(f"{first.best[k]:.3f}" for k in ks), "", "1.000", "", ""])
    return [head, Table(header, rows, frozenset({rows[0][0]})), *_mistakes_verdict(found, last, options)], {
        name: own.to_dict() for name, own in found.items()
    }


def _mistakes_verdict(found: dict[str, HierarchicalReport], k: int, options: ExplainConfig) -> list[str]:
    """The first way against each other one, paired by query."""
    (first, own), *others = found.items()
    if few := too_few(len(np.unique(own.per_query["label"]))):
        return [few]
    says = []
    for name, other in others:
        apart = (own.per_query["distance"] - other.per_query["distance"])[:, -1:]
        ((low, high),) = class_bootstrap(apart, own.per_query["label"], draws=options.bootstrap, seed=options.seed)
        word = "less than" if high < 0 else "more than" if low > 0 else "not told apart from that by"
        says.append(f"{word} {name} ({_number(float(apart.mean()))}, {_interval((low, high))})")
    return [f"The mean distance of the {k} nearest by {first} is {'; '.join(says)}."] if says else []


def _proxies(subject: Subject, options: ExplainConfig) -> tuple[list, dict]:
    """The tree over what the loss has learned to stand for the training classes."""
    try:
        learned = proxies_of(subject)
        if learned is None:
            return [], {}
        data, found = learned
        tree = tree_of(data.classes, data.superclasses, options)  # with --data, a file's is perhaps not over these
    except InputError as error:
        return [f"Proxies: {error}."], {}
    present = np.unique(data.labels)
    if len(present) < 3:
        return ["Proxies: a tree needs three training classes or more."], {}
    chosen = _by_lot(len(present), options.seed)
    classes = present[chosen]
    trees = _trees({name: (space, own[torch.from_numpy(chosen)], norm) for name, (space, own, norm) in found.items()})
    groups = groups_of(data.classes, data.superclasses, tree, classes)
    blocks: list = ["The same of the proxies that the loss has learned for its training classes."]
    numbers = {}
    if tree is not None:
        own, values = _agreement(trees, tree, classes, groups, options, len(present))
        blocks += own
        numbers["proxies"] = values
    name, (drawn, says) = next(iter(trees.items()))
    if len(classes) > _DRAWN:
        blocks.append(f"{len(present):,} training classes are too many to draw.")
    else:
        names = [data.classes[label] for label in classes]
        blocks.append(
            Picture("hierarchy-proxies", f"The training classes: {name}.", insight.dendrogram(drawn, names, groups, says))
        )
    return blocks, numbers


def _number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.3f}".replace("-", "−")


def _interval(bounds: tuple[float, float] | None) -> str:
    return "" if bounds is None else f"{_number(bounds[0])} to {_number(bounds[1])}"
