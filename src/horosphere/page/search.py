"""From what a request asks for to the neighbours it gets, under each of a collection's geometries."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..collection import Collection, confusions
from ..errors import InputError
from ..index import Hits
from ..spaces import Mixed
from .bodies import check_keys, decode_point, encode_point, refuse
from .limits import Limits

#: How far "less" moves a query away: beyond it, by half the way from the mean of what is to be less.
_AWAY = 1.5
#: What a column has of each hit, and what a hit calls it; the first is the id.
_OF_HITS = {"ids": "id", "distances": "distance", "shares": "weight"}


@dataclass(frozen=True)
class Query:
    """A point (p,) to search from, and the items that the answer leaves out because the query names them."""

    point: Tensor
    left_out: frozenset[str]


def read_query(collection: Collection, query: Any, limits: Limits) -> Query:
    """What Q of the API means: {"point"}, {"id"}, or {"more", "less"} of such."""
    if not isinstance(query, dict) or "more" not in query:
        return _single(collection, query, "query")
    check_keys(query, "query", {"more"}, {"less"})
    chosen = [query["more"], query.get("less", [])]
    if not all(isinstance(side, list) for side in chosen) or not chosen[0]:
        refuse(422, 'query.more is no list with at least one {"id"} or {"point"}; choose something to search from')
    if sum(map(len, chosen)) > limits.chosen:
        refuse(422, f"query has more than {limits.chosen} items in more and less; choose fewer")
    more, less = ([_single(collection, each, "an item of more or less") for each in side] for side in chosen)
    space = collection.space
    point = _mean(collection, more)
    if less:
        point = space.geodesic(_mean(collection, less), point, _AWAY)
    return Query(space.project(point).float(), frozenset().union(*(each.left_out for each in (*more, *less))))


def _single(collection: Collection, query: Any, name: str) -> Query:
    if isinstance(query, dict) and "id" in query:
        id = check_keys(query, name, {"id"})["id"]
        check_item(collection, id)
        return Query(collection.index.points([id])[0], frozenset([id]))
    point = torch.from_numpy(decode_point(check_keys(query, name, {"point"})["point"], collection.index.dim))
    try:
        collection.space.check(point[None])
    except ValueError as error:
        refuse(422, str(error))
    return Query(point, frozenset())


def check_item(collection: Collection, id: Any) -> None:
    """Refuse what is no item's id."""
    if not isinstance(id, str):
        refuse(422, "an id is no string; expected one of the collection's ids")
    if id not in collection.index:
        refuse(404, "no item has this id; GET /api/items?like=TEXT finds ids")


def _mean(collection: Collection, chosen: Sequence[Query]) -> Tensor:
    if len(chosen) == 1:
        return chosen[0].point.double()
    points = torch.stack([each.point for each in chosen]).double()
    return collection.space.centroids(points, torch.zeros(len(chosen), dtype=torch.int64), 1)[0]


def parts(collection: Collection) -> list[tuple[str, Any, float]]:
    """Each part of the collection's space: name, space and trained weight; a space that is no mixture is its only part."""
    space = collection.space
    if isinstance(space, Mixed):
        return list(zip(space.names, space.parts, space.weights, strict=True))
    return [(space.name, space, 1.0)]


def search(
    collection: Collection, query: Query, k: int, weights: Sequence[float] | None, where: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The `k` nearest items under every geometry, the trained one with other `weights` where they are given.

    Each hit has its distance, its distance in each part alone and its place under the other geometries.
    """
    geometries = list(collection.geometries.items())
    if weights is not None:
        geometries[0] = (geometries[0][0], tuple(weights))
    columns = {name: _column(collection, query, k, own, where) for name, own in geometries}
    return _answer(collection, query, columns)


def own_class(collection: Collection, query: dict[str, Any]) -> str | None:
    """The class of the item that a query is; None where it is none, or has none."""
    label = collection.index.metadata([query["id"]])[0].get("class") if "id" in query else None
    return None if label is None else str(label)


def confuse(collection: Collection, query: Query, label: str | None, k: int) -> dict[str, Any]:
    """The `k` nearest items of other classes than `label`, and of each the share of its weight p(x⁻) in theirs."""
    started = time.perf_counter()
    try:
        found = confusions(collection, query.point, label, k, left_out=query.left_out)
    except InputError as error:
        refuse(422, without_folder(collection, error))
    milliseconds = 1e3 * (time.perf_counter() - started) / len(found.hits)
    columns = {}
    for name, hits in found.hits.items():
        column = _told(collection, hits, collection.geometries[name]) | {"milliseconds": milliseconds}
        columns[name] = column | {"shares": found.weights[name].tolist()}
    return _answer(collection, query, columns) | {"class": found.own_class, "sentence": found.sentence}


def _answer(collection: Collection, query: Query, columns: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Columns of ids and what is known of each, as the API words them."""
    found = list(dict.fromkeys(id for column in columns.values() for id in column["ids"]))
    described = describe_items(collection, query.point, found)
    places = {name: {id: 1 + i for i, id in enumerate(column["ids"])} for name, column in columns.items()}
    for column in columns.values():
        own = {key: column.pop(name) for name, key in _OF_HITS.items() if name in column}
        column["hits"] = [
            {
                **dict(zip(own, hit, strict=True)),
                **described[hit[0]],
                "ranks": {name: at.get(hit[0]) for name, at in places.items()},
            }
            for hit in zip(*own.values(), strict=True)
        ]
    everywhere = [id for id in found if all(id in at for at in places.values())]
    most = max(map(len, places.values()))
    return {
        "point": encode_point(query.point.numpy()),
        "geometries": [{"name": name, **column} for name, column in columns.items()],
        "agreement": {"all": everywhere, "share": len(everywhere) / most if most else 0.0},
    }


def _column(collection: Collection, query: Query, k: int, weights: Any, where: Any) -> dict[str, Any]:
    started = time.perf_counter()
    try:
        hits = collection.index.search(query.point, k + len(query.left_out), where=where, weights=weights)
    except InputError as error:
        refuse(422, without_folder(collection, error))
    milliseconds = 1e3 * (time.perf_counter() - started)
    return _told(collection, hits.without(query.left_out, k), weights) | {"milliseconds": milliseconds}


def _told(collection: Collection, hits: Hits, weights: Sequence[float] | None) -> dict[str, Any]:
    """What a column says of itself, its ids and distances."""
    distances = hits.distances[0]
    if not np.isfinite(distances).all():
        refuse(422, "the query lies so far out that its distances are beyond float64; expected a point that a model made")
    if weights is None:
        weights = trained_weights(collection)
    return {
        "weights": None if weights is None else list(weights),
        "exact": hits.exact,
        "ids": hits.ids[0].tolist(),
        "distances": distances.tolist(),
    }


def without_folder(collection: Collection, error: InputError) -> str:
    """What an error says, for those who need not know where on this machine the collection is."""
    return str(error).replace(str(collection.folder), collection.name)


def trained_weights(collection: Collection) -> list[float] | None:
    """Those of the mixture's parts; None where the space is no mixture."""
    return collection.space.weights if isinstance(collection.space, Mixed) else None


def describe_items(collection: Collection, point: Tensor, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Of each item its metadata and, part by part, its unweighted distance to `point` (p,)."""
    if not ids:
        return {}
    points, metadata = collection.index.points(ids).double(), collection.index.metadata(ids)
    space, query = collection.space, point.double()
    split = space.split if isinstance(space, Mixed) else lambda x: (x,)
    apart = [
        part.distance(own, theirs).tolist()
        for (_, part, _), own, theirs in zip(parts(collection), split(query), split(points), strict=True)
    ]
    return {id: {"metadata": own, "parts": list(each)} for id, own, *each in zip(ids, metadata, *apart, strict=True)}
