"""Which negatives each geometry finds hard, and how much they weigh."""

from collections.abc import Mapping
from itertools import combinations

import numpy as np

from .. import build, insight
from ..config import ExplainConfig
from ..errors import InputError
from ..insight import Negatives
from ..report.document import Picture, Section, Table
from ..spaces import Mixed
from .subject import NotHere, Subject

#: Negatives of an anchor that are compared and shown, as in HypMix's Figure 1; and anchors on the sheet.
_HARDEST, _SHOWN = 6, 4
#: Of the k hardest negatives, the share of the weight is told.
_SHARES = (1, 6, 10, 100)
#: Distances held while temperatures are matched, at most: of fewer anchors where there are more.
_HELD = 2**24
#: Where at least this share of the anchors agrees, something is said of the geometry.
_MOST = 0.75


def negatives(subject: Subject, options: ExplainConfig, progress: bool) -> Section:
    """The weight p(x⁻) of each negative, and each geometry's hardest negatives (HypMix, Figures 1 and 3)."""
    trained = {} if subject.run is None else build.temperatures(subject.run.config, subject.space)
    temperatures = sorted({*options.temperatures, *trained.values()})
    try:
        anchors = insight.anchors_among(subject.labels, options.anchors, options.seed)
        found = {
            name: insight.weigh_negatives(
                space,
                points,
                subject.labels,
                temperatures,
                anchors,
                hardest=_HARDEST,
                shares=_SHARES,
                progress=progress,
            )
            for name, (_, space, points) in subject.ways.items()
        }
    except InputError as error:
        raise NotHere(str(error)) from None
    drawn = [name for name in found if " by cosine" not in name][:5]
    blocks: list[str | Table | Picture] = [
        "A loss pulls an anchor to its positive and pushes it from its negatives, the images of other classes. Each counts "
        f"by its weight p(x⁻) (HypMix, Eq. 9). Here {len(anchors):,} anchors have all {len(subject):,} images as one batch; "
        "a training batch is smaller, and its weights sit on fewer negatives. The temperature τ divides distances as they "
        f"are, 2 − 2 cosine on a sphere.{_training(subject, trained)} The weight on negatives is Σp(x⁻): what is left of 1 "
        "is the positive's. The effective number is (Σp)²/Σp²: so many equal weights would be as uneven.",
        _weights_table(found, trained),
        Picture(
            "weights",
            "The weight of each negative, the nearest first: the mean over anchors, with a band from quantile 0.1 to 0.9. "
            "The steeper a line, the fewer the negatives that the geometry would learn from"
            + (", if it did: these are judged images, which no loss ever saw." if subject.run and not options.data else "."),
            insight.weights_by_rank({name: found[name] for name in drawn}),
        ),
    ]
    numbers = {
        "images": len(subject),
        "anchors": len(anchors),
        "geometries": {name: each.to_dict() for name, each in found.items()},
        f"overlap_of_{_HARDEST}_hardest": {
            name: {other: float(each.overlap(found[other]).mean()) for other in found} for name, each in found.items()
        },
    }
    if trained:
        numbers["trained_at"] = trained
    if trained and len(found) > 1:
        words, numbers["matched"] = _matched(subject, anchors, trained)
        blocks.append(words)
    if len(found) > 1:
        pair = _pair(subject, found)
        blocks += [*_findings(found, pair), _overlap_table(found)]
        numbers["compared"] = list(pair)
        if subject.image is not None:
            shown = _disagreed(subject, found, pair)
            if len(shown):
                blocks.append(_sheet(subject, found, pair, shown))
            else:
                blocks.append(
                    f"Under {pair[0]} and {pair[1]} every anchor has the same hardest negatives: no sheet shows them."
                )
            numbers["shown"] = [str(subject.ids[anchor]) for anchor in anchors[shown]]
    return Section("Negatives", blocks, numbers)


def _training(subject: Subject, trained: Mapping[str, float]) -> str:
    """What the run's own loss divided by its temperatures, in words."""
    if not trained:
        return ""
    if len(trained) > 1:
        told = " and ".join(f"{name} at τ = {temperature:g}" for name, temperature in trained.items())
        return f" The run was trained with a loss a part, {told}: none saw the distance of the whole space."
    words = f" The run was trained at τ = {next(iter(trained.values())):g}"
    if not isinstance(subject.space, Mixed):
        return f"{words}."
    shares = " + ".join(f"{w:.3g} D({name})" for w, name in zip(subject.space.weights, subject.space.names, strict=True))
    return (
        f"{words}, on the distance of the whole space, {shares}: in it a part counts with weight · D/τ. No loss saw a part "
        "alone, which has D/τ here."
    )


def _matched(subject: Subject, anchors: np.ndarray, trained: Mapping[str, float]) -> tuple[str, dict]:
    """At which temperature each geometry weighs as many negatives as the first that was trained does at its own."""
    first, own = next(iter(trained.items()))
    some = anchors[:: -(-len(anchors) * len(subject) // _HELD)]
    ways = {name: (space, points) for name, (_, space, points) in subject.ways.items()}
    number, others = insight.matched_temperatures(ways, subject.labels, some, first, own)
    told = [f"{name} at {'no τ' if tau is None else f'τ = {tau:.3g}'}" for name, tau in others.items()]
    words = (
        f"At its own τ = {own:g} {first} weighs {_count(number)} negatives, in the median of {len(some):,} anchors. As many "
        f"are weighed by {', '.join(told)}: there geometries differ in which negatives are hard, not in how many."
    )
    return words, {"geometry": first, "temperature": own, "effective": number, "temperatures": others}


def _weights_table(found: Mapping[str, Negatives], trained: Mapping[str, float]) -> Table:
    header = ["geometry", "τ", "weight on negatives", "effective number, median (80 % of anchors)"]
    rows = []
    for name, each in found.items():
        for temperature, weights in each.weights.items():
            low, median, high = np.quantile(weights.effective, [0.1, 0.5, 0.9])
            effective = f"{_count(median)} ({_count(low)} to {_count(high)})"
            shares = [f"{100 * share.mean():.1f} %" for share in weights.shares.values()]
            own = " (trained)" if trained.get(name) == temperature else ""
            rows.append([name, f"{temperature:g}{own}", f"{100 * weights.total.mean():.1f} %", effective, *shares])
    return Table([*header, *(f"on the {k} hardest" if k > 1 else "on the hardest" for k in _SHARES)], rows)


def _overlap_table(found: Mapping[str, Negatives]) -> Table:
    rows = [
        [name, *(f"{100 * each.overlap(other).mean():.0f} %" for other in found.values())] for name, each in found.items()
    ]
    return Table([f"in common of the {_HARDEST} hardest", *found], rows)


def _count(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _pair(subject: Subject, found: Mapping[str, Negatives]) -> tuple[str, str]:
    """The two geometries compared: of the space's parts those that agree least; or the one space and its control."""
    if isinstance(subject.space, Mixed) and len(subject.space.parts) > 1:
        return min(combinations(subject.space.names, 2), key=lambda pair: found[pair[0]].overlap(found[pair[1]]).mean())
    first, second = list(found)[:2]
    return first, second


def _findings(found: Mapping[str, Negatives], pair: tuple[str, str]) -> list[str]:
    """What the numbers carry, in sentences."""
    sentences = []
    for temperature in found[pair[0]].weights:
        effective = {name: found[name].weights[temperature].effective for name in pair}
        medians = {name: float(np.median(values)) for name, values in effective.items()}
        few, many = sorted(pair, key=medians.__getitem__)
        share = float((effective[few] < effective[many]).mean())
        numbers = f"{_count(medians[few])} against {_count(medians[many])} in the median"
        numbers += f", fewer for {100 * share:.0f} % of the anchors"
        if share >= _MOST:
            sentences.append(
                f"At τ = {temperature:g} the weight of {few} sits on fewer negatives than that of {many}: {numbers}."
            )
        else:
            sentences.append(
                f"At τ = {temperature:g} neither of {few} and {many} clearly weighs fewer negatives: {numbers}."
            )
    sentences.append(
        "Larger distances weigh fewer negatives, as a lower temperature does: this alone is no property of a geometry."
    )
    one, other = (found[name] for name in pair)
    overlap = one.overlap(other).mean()
    which = (
        f"Which negatives are hard does not depend on the temperature: of an anchor's {one.hardest.shape[1]} hardest under "
        f"{pair[0]}, {100 * overlap:.0f} % are among those of {pair[1]} too."
    )
    if overlap > 0.99:
        which += " The two find the same negatives hard."
    return [" ".join(sentences), which]


def _disagreed(subject: Subject, found: Mapping[str, Negatives], pair: tuple[str, str]) -> np.ndarray:
    """The anchors, by place, of least overlap, below 1; of equals those whose negatives weigh most; one a class."""
    one, other = (found[name] for name in pair)
    weight = np.sum([weights.total for each in (one, other) for weights in each.weights.values()], 0)
    overlap = one.overlap(other)
    order = np.lexsort((-weight, overlap))
    order = order[overlap[order] < 1]
    _, first = np.unique(subject.labels[one.anchors[order]], return_index=True)
    return order[np.sort(first)[:_SHOWN]]


def _sheet(subject: Subject, found: Mapping[str, Negatives], pair: tuple[str, str], shown: np.ndarray) -> Picture:
    assert subject.image is not None  # the caller asked
    one = found[pair[0]]
    return Picture(
        "hard-negatives",
        f"Anchors with the next image of their class, and the hardest negatives of {pair[0]} and {pair[1]}, the nearest "
        f"first. Framed, “only here”: not among the other's {one.hardest.shape[1]}. These are the anchors on which the two "
        "agree least.",
        insight.negative_sheet(
            subject.image,
            one.anchors[shown].tolist(),
            one.positives[shown].tolist(),
            [(name, found[name].hardest[shown]) for name in pair],
            subject.class_of,
        ),
    )
