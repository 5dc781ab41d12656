"""What the radius of a query says: how far out it is, and, where items have classes, whether that tells right from wrong."""

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from ..errors import InputError
from ..evaluation import areas_under_roc, calibrate, disguise, too_few
from ..files import write_text
from ..index import SearchIndex
from ..spaces import Hyperbolic, Mixed, Space

NAME = "radii.json"
_FORMAT = 1
#: Items whose radii are read, and items that are searched for among all.
_SAMPLE, _QUERIES, _BATCH = 20_000, 2000, 256
#: Radii are rounded to this share of the largest: float32 must not rank points at the clip.
_STEP = 1e-5


@dataclass(frozen=True)
class Worth:
    """Whether the radius tells right answers from wrong ones, on half of the classes, as the other half suggested.

    An answer is right where the nearest item is of the query's class.

    Attributes:
        slope, intercept: of the log-odds of being right at a radius.
        brier_gain: of that probability over always saying the rate, (low, high) 95 % over classes.
        area, distance_area: areas under the ROC curve of the radius and of the nearest distance: the chance that a right
            answer is surer than a wrong one.
        interval, distance_interval: their 95 % intervals over classes.
        right: the share of right answers.
        queries, classes: that it was judged on.
    """

    slope: float
    intercept: float
    brier_gain: tuple[float, float]
    area: float
    interval: tuple[float, float]
    distance_area: float
    distance_interval: tuple[float, float]
    right: float
    queries: int
    classes: int

    @property
    def told(self) -> bool:
        """Whether the radius says more than nothing, and enough classes say so."""
        return self.brier_gain[0] > 0 and self.interval[0] > 0.5 and too_few(self.classes) is None

    def says(self) -> str:
        """What the numbers allow to say, and no more."""
        numbers = (
            f"of a right and a wrong answer the radius puts the right one first in {_percent(self.area, self.interval)} of "
            f"pairs, the distance to the nearest in {_percent(self.distance_area, self.distance_interval)}, a coin in 50 %"
        )
        if few := too_few(self.classes):
            return f"Whether a radius means sure is not known here: {few} On these, {numbers}."
        if self.told:
            side = "far out" if self.slope > 0 else "near the origin"
            return f"Here a query {side} is more often right: {numbers}."
        return f"The radius does not tell right answers from wrong ones here: {numbers}."


@dataclass(frozen=True, eq=False)
class Radii:
    """The radii of a collection, and what the radius of a query says.

    Attributes:
        space: of the collection.
        part: whose radius it is: the first hyperbolic part's, else that of the first part with an origin.
        quantiles: of the collection's radii, (q,) ascending.
        worth: None where it cannot be known.
        reason: why not, in a sentence; "" where it can.
    """

    space: Space
    part: str
    quantiles: NDArray[np.float64]
    worth: Worth | None
    reason: str = ""

    def of(self, points: Tensor) -> NDArray[np.float64]:
        """The radii (n,) of points (n, p): their distances to the part's origin."""
        return _rounded(_radius(self.space, points), self.quantiles[-1])

    def percentile(self, radius: float) -> float:
        """The share of the collection that is nearer to the origin, in percent; of equal radii half counts."""
        below, upto = (np.searchsorted(self.quantiles, radius, side) for side in ("left", "right"))
        return float(50 * (below + upto) / len(self.quantiles))

    def confidence(self, radius: float) -> float | None:
        """The probability that a query of this radius has its nearest item right; None where the radius does not tell."""
        if self.worth is None or not self.worth.told:
            return None
        return float(1 / (1 + np.exp(-(self.worth.slope * radius + self.worth.intercept))))

    @property
    def sentence(self) -> str:
        """What a radius is worth here."""
        return self.reason if self.worth is None else self.worth.says()


def radii(index: SearchIndex, folder: Path, progress: bool = False) -> Radii | None:
    """The radii of an index, from the cache in its folder or measured anew; None without an origin, and without items."""
    if not index.space.has_origin or not len(index):
        return None
    path = folder / NAME
    if (kept := _read(path, index)) is not None:
        return kept
    found = measure(index, progress)
    values: dict[str, Any] = {"format": _FORMAT, "items": len(index), "part": found.part, "reason": found.reason}
    values |= {"quantiles": found.quantiles.tolist(), "worth": None if found.worth is None else asdict(found.worth)}
    with suppress(OSError):  # a folder that cannot be written has no cache
        write_text(path, json.dumps(values, indent=2) + "\n")
    return found


def forget(folder: Path) -> None:
    """Measure the radii anew when they are next asked for: items have changed."""
    (folder / NAME).unlink(missing_ok=True)


def _read(path: Path, index: SearchIndex) -> Radii | None:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["format"] != _FORMAT or values["items"] != len(index):
            return None
        if (worth := values["worth"]) is not None:
            worth = Worth(**worth | {name: tuple(worth[name]) for name in ("brier_gain", "interval", "distance_interval")})
        return Radii(index.space, values["part"], np.array(values["quantiles"], np.float64), worth, values["reason"])
    except (OSError, ValueError, KeyError, TypeError):
        return None  # none yet, or damaged: it can be measured again


def measure(index: SearchIndex, progress: bool = False, *, seed: int = 0, draws: int = 1000) -> Radii:
    """Measure the radii of a sample of the items, and what they are worth by searching for some of them among all."""
    ids, rng = np.array(index.ids, object), np.random.default_rng(seed)
    sample = rng.permutation(len(ids))[:_SAMPLE]
    chosen = ids[np.sort(sample)].tolist()
    points = index.points(chosen)
    space, name = index.space, _part(index.space)[0]
    values = _radius(space, points)
    values = _rounded(values, values.max())
    quantiles = np.quantile(values, np.linspace(0, 1, min(len(values), 1001)), method="nearest")
    try:
        worth, reason = _worth(index, chosen, points, values, rng, progress, seed, draws), ""
    except InputError as error:
        worth, reason = None, f"Whether a radius means sure is not known here: {error}."
    return Radii(space, name, np.sort(quantiles), worth, reason)


def _worth(
    index: SearchIndex,
    ids: list[str],
    points: Tensor,
    radius: NDArray[np.float64],
    rng: np.random.Generator,
    progress: bool,
    seed: int,
    draws: int,
) -> Worth:
    """Search for items leave-one-out. Raises InputError, in a few words, where it says nothing."""
    if "class" not in index.fields(1):
        raise InputError("the items have no classes")
    _, part, own = _part(index.space, points)
    mean = radius.mean()
    clipped = part.telemetry(own.contiguous()).get("clip_fraction")
    if reason := disguise(None, clipped, radius.std() / mean if mean > 0 else 0.0):
        raise InputError(reason[1])
    sizes = dict(index.fields(len(index))["class"].values)
    classes = np.array([item.get("class") for item in index.metadata(ids)], object)
    # One alone of its class has no right answer.
    asked = rng.permutation(np.flatnonzero([name is not None and sizes[name] > 1 for name in classes]))[:_QUERIES]
    if not len(asked):
        raise InputError("no class has two items")
    right, distances = np.zeros(len(asked), bool), np.zeros(len(asked))
    bar = tqdm(total=len(asked), desc="what radii are worth", unit="query", disable=not progress, leave=False)
    with bar:
        for start in range(0, len(asked), _BATCH):
            rows = slice(start, start + _BATCH)
            hits = index.search(points[torch.from_numpy(asked[rows])], k=2)
            # An item finds itself, and its copies, first.
            other = np.array([int(hits.ids[i, 0] == ids[query]) for i, query in enumerate(asked[rows])])
            nearest = np.take_along_axis(hits.ids, other[:, None], 1)[:, 0].tolist()
            distances[rows] = np.take_along_axis(hits.distances, other[:, None], 1)[:, 0]
            found = [item.get("class") for item in index.metadata(nearest)]
            right[rows] = [a == b for a, b in zip(found, classes[asked[rows]], strict=True)]
            bar.update(len(nearest))
    labels, values = np.unique(classes[asked].astype(str), return_inverse=True)[1], radius[asked]
    drawn = rng.permutation(labels.max() + 1)
    first = np.isin(labels, drawn[: len(drawn) // 2])
    if any(len(own) == 0 or own.all() or not own.any() for own in (right[first], right[~first])):
        raise InputError(f"{len(drawn):,} classes with {100 * right.mean():.1f} % right answers are too few of the one kind")
    fitted = calibrate(values, right, first, labels, draws=draws, seed=seed)
    sign = 1 if fitted.slope > 0 else -1
    scores = {"radius": sign * values[~first], "distance": -distances[~first]}
    areas = areas_under_roc(scores, right[~first], labels[~first], draws=draws, seed=seed)
    return Worth(
        fitted.slope,
        fitted.intercept,
        cast(tuple[float, float], fitted.gain_interval),
        areas.values["radius"],
        areas.intervals["radius"],
        areas.values["distance"],
        areas.intervals["distance"],
        float(right.mean()),
        int((~first).sum()),
        len(drawn) - len(drawn) // 2,
    )


def _part(space: Space, points: Tensor | None = None) -> tuple[str, Space, Any]:
    """Name, space and points of the part whose radius it is."""
    if not isinstance(space, Mixed):
        return space.name, space, points
    own = [None] * len(space.parts) if points is None else space.split(points)
    parts = zip(space.names, space.parts, own, space.weights, strict=True)
    with_origin = [(name, part, own, weight) for name, part, own, weight in parts if part.has_origin]
    # The first that counts, a hyperbolic one before a flat one.
    name, part, own, _ = min(with_origin, key=lambda part: (not part[3], not isinstance(part[1], Hyperbolic)))
    return name, part, own


def _radius(space: Space, points: Tensor) -> NDArray[np.float64]:
    _, part, own = _part(space, points)
    with torch.no_grad():
        return part.radius(own.double()).numpy()


def _rounded(radii: NDArray[np.float64], largest: float) -> NDArray[np.float64]:
    step = _STEP * largest
    return np.round(radii / step) * step if step else radii


def _percent(value: float, interval: tuple[float, float]) -> str:
    low, high = interval
    return f"{100 * value:.0f} % ({100 * low:.0f} to {100 * high:.0f} %)"
