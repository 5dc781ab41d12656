"""The hard-negative lens: which items of other classes a query is nearest to, and how much each would weigh in its loss."""

from collections.abc import Sequence, Set
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError
from ..index import Hits
from .collection import Collection


@dataclass(frozen=True)
class Confusions:
    """Items of other classes, nearest first, under each geometry.

    Attributes:
        own_class: the class that they are not of.
        hits: by geometry; none where there is no item of another class.
        weights: of each hit, (m,), by geometry; see `negative_shares`.
        temperatures: that divided the distances, by geometry.
    """

    own_class: str
    hits: dict[str, Hits]
    weights: dict[str, NDArray[np.float64]]
    temperatures: dict[str, float]

    @property
    def sentence(self) -> str:
        """What is shown, and what the shares p of it are."""
        told = ", ".join(f"{name} at τ = {tau:g}" for name, tau in self.temperatures.items())
        return (
            f"What the model could mistake this for: items of other classes than {self.own_class}, nearest first. p: how "
            f"hard the loss pushes each away, as its share among those shown ({told})."
        )


def confusions(
    collection: Collection,
    query: Tensor,
    own_class: str | None = None,
    k: int = 10,
    *,
    left_out: Set[str] = frozenset(),
    geometries: Sequence[str] = (),
) -> Confusions:
    """The `k` items nearest to a query (p,) that are of other classes than `own_class`, under each geometry.

    own_class: by default that of the item nearest to the query in the trained space.
    left_out: ids of items that are not looked at, such as the query's own.
    geometries: names of some; by default all of `Collection.geometries`.

    Raises:
        InputError: where items have no classes, or there is no such class.
    """
    index = collection.index
    fields = index.fields(len(index) + 1)
    if "class" not in fields:
        raise InputError("the items have no classes, so none can be confused: add them with --metadata, or a folder a class")
    if own_class is None:
        nearest = index.search(query, 1 + len(left_out)).without(left_out, 1).ids[0].tolist()
        own_class = next((str(item["class"]) for item in index.metadata(nearest) if "class" in item), None)
        if own_class is None:
            raise InputError("the nearest item has no class: say which one the query is of")
    elif own_class not in dict(fields["class"].values):
        raise InputError(
            f"there is no class {own_class!r}; expected one of the collection's, such as {fields['class'].values[0][0]!r}"
        )
    names = list(geometries) or list(collection.geometries)
    temperatures = {name: collection.temperature(name) for name in names}
    counts = dict(fields["class"].values)
    # An item without a class is of no other class either.
    all_have = sum(counts.values()) == len(index)
    others = {"class": {"not": own_class} if all_have else [name for name in counts if name != own_class]}
    most, ways = k + len(left_out), collection.geometries
    hits = {name: index.search(query, most, where=others, weights=ways[name]).without(left_out, k) for name in names}
    weights = {name: negative_shares(hits[name].distances[0], temperatures[name]) for name in names}
    return Confusions(own_class, hits, weights, temperatures)


def negative_shares(distances: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """The share of each negative's weight p(x⁻) (HypMix, Eq. 9) in that of the negatives at `distances` (m,), nearest first.

        p_i / Σ_j p_j = exp(−D_i/τ) / Σ_j exp(−D_j/τ)

    What all of them have in common, the positive's term and the negatives that are not shown, cancels.
    """
    if not len(distances):
        return distances
    weights = np.exp((distances[0] - distances) / temperature)
    return weights / weights.sum()
