"""`horosphere search`: queries on the command line, answered as tables."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ..config import SearchConfig
from ..data import UnreadableImage
from ..errors import InputError
from ..index import Field
from ..report.document import Table, printable
from .collection import Collection


@dataclass(frozen=True)
class Neighbour:
    """An item that was found, at its distance."""

    id: str
    distance: float
    metadata: Mapping[str, Any]


@dataclass(frozen=True)
class Answer:
    """What was found for one query.

    Attributes:
        query: the file, or the item's id.
        radius: what its radius says; "" where points have none.
        neighbours: nearest first, by geometry.
    """

    query: str
    radius: str
    neighbours: dict[str, list[Neighbour]]

    def text(self) -> str:
        """A table: rank, distance, id and class under one geometry, or several side by side."""
        if len(self.neighbours) == 1:
            (found,) = self.neighbours.values()
            names = list(dict.fromkeys(name for each in found for name in each.metadata))
            names = ["class"] * ("class" in names) + [name for name in names if name != "class"]
            header = ["rank", "distance", "id", *names]
            rows = [
                [str(i), f"{each.distance:.4f}", each.id, *(str(each.metadata.get(name, "")) for name in names)]
                for i, each in enumerate(found, 1)
            ]
        else:
            header = ["rank", *(cell for name in self.neighbours for cell in (name, ""))]
            most = max(map(len, self.neighbours.values()))
            rows = [[str(i + 1)] for i in range(most)]
            for found in self.neighbours.values():
                for row, each in zip(rows, found, strict=True):
                    kind = f" ({each.metadata['class']})" if "class" in each.metadata else ""
                    row += [f"{each.distance:.4f}", each.id + kind]
        table = Table(header, rows).text() if rows else "nothing matches"
        return f"{printable(self.query)}\n{table}" + (f"\n{self.radius}" if self.radius else "")

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values."""
        return {
            "query": self.query,
            "geometries": {
                name: [{"id": each.id, "distance": each.distance, "metadata": dict(each.metadata)} for each in found]
                for name, found in self.neighbours.items()
            },
        }


def search(collection: Collection, config: SearchConfig) -> list[Answer]:
    """Answer each query of `config`.

    Raises:
        InputError: for a query that is neither a file nor an item, an image that cannot be read, and what does not fit.
    """
    where = read_where(config.where, collection.index.fields(1)) or None
    if config.geometries:
        ways = collection.geometries
    elif config.weights is not None:
        ways = {f"weights {' '.join(f'{weight:g}' for weight in config.weights)}": config.weights}
    else:
        ways = dict(list(collection.geometries.items())[:1])
    answers = []
    for query, point, own in _points(collection, config):
        neighbours = {}
        for name, weights in ways.items():
            hits = collection.index.search(point, config.k + len(own), where=where, weights=weights).without(own, config.k)
            ids = hits.ids[0].tolist()
            found = zip(ids, hits.distances[0].tolist(), collection.index.metadata(ids), strict=True)
            neighbours[name] = [Neighbour(*each) for each in found]
        answers.append(Answer(query, _radius(collection, point), neighbours))
    return answers


def _points(collection: Collection, config: SearchConfig) -> list[tuple[str, Tensor, frozenset[str]]]:
    """Each query with its point (1, p), and its own id where it is an item, which does not find itself."""
    found = []
    for query in config.queries:
        if os.path.isfile(query):  # Path's raises where the name is too long for one
            try:
                found.append((query, collection.embed([Path(query).read_bytes()]), frozenset()))
            except UnreadableImage as error:
                raise InputError(f"{query} cannot be read: {error.reason}; expected an image") from None
        else:
            found.append((query, _point(collection, query, " and no file"), frozenset([query])))
    return found + [(id, _point(collection, id), frozenset([id])) for id in config.id]


def _point(collection: Collection, id: str, more: str = "") -> Tensor:
    if id not in collection.index:
        example = next(iter(collection.index.ids), None)
        raise InputError(f"{id!r} is no item of {collection.folder}{more}; its ids are such as {example!r}")
    return collection.index.points([id])


def _radius(collection: Collection, point: Tensor) -> str:
    radii = collection.radii
    if radii is None:
        return ""
    (value,) = radii.of(point)
    sure = radii.confidence(value)
    odds = "" if sure is None else f"; its nearest item is right with probability {sure:.2f}"
    return f"radius {value:.3g}, farther out than {radii.percentile(value):.0f} % of the items{odds}"


def read_where(pairs: Sequence[str], fields: Mapping[str, Field]) -> dict[str, Any]:
    """A filter from FIELD VALUE pairs: VALUE, !VALUE, or LOW..HIGH for numbers; of a field that comes twice any value."""
    asked: dict[str, list[str]] = {}
    for name, value in zip(pairs[::2], pairs[1::2], strict=True):
        asked.setdefault(name, []).append(value)
    where: dict[str, Any] = {}
    for name, values in asked.items():
        kind = fields[name].kind if name in fields else "text"
        ranges = [value for value in values if kind == "number" and ".." in value]
        others = [value[1:] for value in values if value.startswith("!")]
        if (ranges and len(values) > 1) or (others and len(others) < len(values)):
            raise InputError(f"--where {name} {' '.join(values)}: expected values, or !values, or one LOW..HIGH")
        if ranges:
            low, _, high = ranges[0].partition("..")
            ends = {"min": low, "max": high}
            where[name] = {end: _value(name, text, kind) for end, text in ends.items() if text}
        else:
            plain = [_value(name, value, kind) for value in others or values]
            where[name] = {"not": plain} if others else plain
    return where


def _value(name: str, text: str, kind: str) -> str | float | bool:
    if kind == "text":
        return text
    if kind == "boolean" and text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return float(text) if kind == "number" else {}[text]
    except (ValueError, KeyError):
        expected = "a number, or LOW..HIGH" if kind == "number" else "true or false"
        raise InputError(f"--where {name} {text}: expected {expected}") from None


def about_text(collection: Collection) -> str:
    """What the collection is, in a few lines."""
    index, radii = collection.about["index"], collection.radii
    weights = getattr(collection.space, "weights", None)
    space = ", ".join(list(collection.geometries)[1:]) or collection.space.name
    lines = {
        "name": collection.name,
        "run": collection.about["run"],
        "items": f"{len(collection):,}",
        "space": space if weights is None else f"{space}, weighed {', '.join(f'{weight:.3g}' for weight in weights)}",
        "engine": index["engine"],
        "searches": index["search"]["sentence"],
        "fields": ", ".join(
            f"{name} ({field.distinct:,} values)" if field.kind == "text" else f"{name} ({field.kind})"
            for name, field in collection.index.fields(1).items()
        ),
        "queries": "image files, or ids of items" if collection.takes_images else "ids of items",
    }
    if radii is not None:
        lines["radius"] = radii.sentence
    width = max(map(len, lines))
    return "\n".join(f"{name:<{width}}  {value or 'none'}" for name, value in lines.items())
