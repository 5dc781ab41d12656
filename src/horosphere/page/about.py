"""What a collection is, for the page: its space, its fields, and what its searches are worth."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ..collection import Collection
from ..spaces import Euclidean, Hyperbolic, Sphere
from .limits import Limits
from .search import parts, trained_weights

#: Values listed of a field; fields that the disk may be coloured by.
_VALUES, _FIELDS = 1000, 12
#: Of what the index says of its searches, what the page shows.
_SEARCH = ("promise", "exact", "recall", "k", "sample", "sentence")


def describe(collection: Collection, limits: Limits) -> dict[str, Any]:
    """The answer of GET /api/collection."""
    index, about = collection.index, collection.index.describe()
    weights = trained_weights(collection)
    return {
        "name": collection.name,
        "items": len(collection),
        "engine": about["engine"],
        "takes_images": collection.takes_images,
        "has_thumbnails": collection.has_thumbnails,
        "space": collection.space.describe(),
        "parts": [
            {
                "name": name,
                "kind": part.name,
                "weight": weight,
                "curvature": part.curvature if isinstance(part, Hyperbolic) else None,
            }
            for name, part, weight in parts(collection)
        ],
        "geometries": [
            {"name": name, "weights": weights if own is None else list(own), "meaning": _meaning(collection, name)}
            for name, own in collection.geometries.items()
        ],
        "fields": {name: _field(field) for name, field in index.fields(_VALUES).items()},
        "search": {key: about["search"][key] for key in _SEARCH},
        "limits": {"bytes": limits.bytes, "pixels": limits.pixels, "k": limits.k, "chosen": limits.chosen},
        "has_radius": collection.radii is not None,
    }


def _meaning(collection: Collection, name: str) -> str:
    """A geometry in one plain sentence."""
    own = {part_name: part for part_name, part, _ in parts(collection)}.get(name)
    if own is None:
        terms = " + ".join(f"{weight:g} × {part_name}" for part_name, _, weight in parts(collection))
        return f"The distance that the model was trained with: {terms}."
    if isinstance(own, Sphere):
        return "By direction alone: the distance follows from the cosine."
    if isinstance(own, Hyperbolic):
        return f"In hyperbolic space of curvature −{own.curvature:g}: by direction, which counts for more far out."
    assert isinstance(own, Euclidean)
    return "The straight line between two points."


def _field(field: Any) -> dict[str, Any]:
    if field.kind == "number":
        return {"kind": "number", "min": field.low, "max": field.high, "distinct": field.distinct}
    return {"kind": field.kind, "values": [list(pair) for pair in field.values], "distinct": field.distinct}


def radius(collection: Collection, point: Tensor) -> dict[str, Any] | None:
    """What a point's distance to the origin says; None where the space has no origin."""
    radii = collection.radii
    if radii is None:
        return None
    value = float(radii.of(point[None])[0])
    return {
        "value": value,
        "percentile": radii.percentile(value),
        "confidence": radii.confidence(value),
        "sentence": radii.sentence,
    }


def ids_like(collection: Collection, text: str, most: int) -> list[str]:
    """The first ids that contain a text, those that begin with it first, whatever their case."""
    text = text.casefold()
    found = [id for id in collection.index.ids if text in id.casefold()]
    return sorted(found, key=lambda id: not id.casefold().startswith(text))[:most]


def codes(collection: Collection, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Field → its values, and of each item the place of its value among them, −1 where it has none.

    Of the fields with fewest values, which colours can tell apart.
    """
    fields = collection.index.fields(0)
    metadata = collection.index.metadata(ids)
    out = {}
    for name in sorted(fields, key=lambda name: fields[name].distinct)[:_FIELDS]:
        own = [item.get(name) for item in metadata]
        values = sorted({value for value in own if value is not None})
        place = {value: i for i, value in enumerate(values)}
        out[name] = {"values": values, "codes": [place.get(value, -1) for value in own]}
    return out
