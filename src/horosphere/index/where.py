"""Filters: which items a search looks at, as plain JSON, checked against the fields that the index knows.

    {"class": "cat"}                        equal
    {"class": ["cat", "dog"]}               one of them
    {"class": {"not": "cat"}}               not equal, or without the field; also {"not": ["cat", "dog"]}
    {"year": {"min": 2000, "max": 2010}}    from 2000 to 2010, both included; either may be left out

All of a filter's conditions must hold. A field holds values of one kind: text, numbers, or true and false.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from ..errors import InputError

Value = str | int | float | bool

#: Values in one condition: each is a parameter of the database's query.
MOST_VALUES = 10_000
#: Whole numbers that both engines hold.
_LARGEST = 2**63 - 1


@dataclass(frozen=True)
class Condition:
    """What the field `name` must be: one of `values`, or none of them (`negated`); or, without values, within `low` and
    `high`, each included and None where open."""

    name: str
    values: tuple[Value, ...] | None = None
    negated: bool = False
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Field:
    """What items hold under one name: `kind` is "text", "number" or "boolean", `values` the most frequent values with how
    many items have them, `distinct` how many values there are; `low` and `high` are the range of numbers."""

    kind: str
    values: list[tuple[Value, int]]
    distinct: int
    low: float | None = None
    high: float | None = None


def kind_of(value: object) -> str | None:
    """The kind of a value that an item may hold: "text", "number" or "boolean"; None for anything else."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, str):
        return "text" if encodes(value) else None
    if isinstance(value, int):
        return "number" if abs(value) <= _LARGEST else None
    return "number" if isinstance(value, float) and math.isfinite(value) else None


def kinds_of(metadata: Iterable[Mapping[str, Value]], known: Mapping[str, str]) -> dict[str, str]:
    """The kind of every field of the items' `metadata`, and of those `known`.

    Raises InputError for a name or value that cannot be held, and for a field of two kinds.
    """
    kinds = dict(known)
    for number, item in enumerate(metadata):
        if not isinstance(item, Mapping):
            raise InputError(f"metadata of item {number} is {item!r}; expected a dictionary of names and values")
        for name, value in item.items():
            if not isinstance(name, str) or not name or not encodes(name):
                raise InputError(f"metadata of item {number} has the name {name!r}; expected text that is not empty")
            if (kind := kind_of(value)) is None:
                raise InputError(
                    f"metadata of item {number}: {name!r} is {value!r} ({type(value).__name__}); expected text, a finite "
                    "number (a whole one within 64 bits), or true or false; leave the name out where there is no value"
                )
            if kinds.setdefault(name, kind) != kind:
                raise InputError(
                    f"metadata of item {number}: {name!r} is {value!r}, but other items hold a {kinds[name]} there; a field "
                    "holds values of one kind"
                )
    return kinds


def conditions(where: Mapping[str, Any] | None, kinds: Mapping[str, str]) -> list[Condition]:
    """A filter's conditions. Raises InputError for a field that no item has, and for what a field cannot hold."""
    if where is None:
        return []
    if not isinstance(where, Mapping):
        raise InputError(f"where={where!r}; expected a dictionary such as {{'class': 'cat'}}")
    return [_condition(name, asked, kinds) for name, asked in where.items()]


def _condition(name: str, asked: Any, kinds: Mapping[str, str]) -> Condition:
    if name not in kinds:
        near = get_close_matches(str(name), kinds, 1, 0.5)
        known = f"did you mean {near[0]!r}? " if near else ""
        names = ", ".join(map(repr, sorted(kinds))) or "none, as no item has metadata"
        raise InputError(f"where: no item has the field {name!r}; {known}Fields: {names}")
    if not isinstance(asked, Mapping):
        return Condition(name, _values(name, asked, kinds[name]))
    if set(asked) == {"not"}:
        return Condition(name, _values(name, asked["not"], kinds[name]), negated=True)
    if not asked or not set(asked) <= {"min", "max"}:
        raise InputError(
            f"where: {name!r} is to be {dict(asked)!r}; expected a value, a list of values, {{'not': …}}, or "
            "{'min': …, 'max': …}"
        )
    if kinds[name] != "number":
        raise InputError(f"where: {name!r} holds a {kinds[name]} and has no range; give a value or a list of values")
    for bound in asked.values():
        if kind_of(bound) != "number":
            raise InputError(f"where: {name!r} is to be within {dict(asked)!r}; expected finite numbers")
    return Condition(name, low=asked.get("min"), high=asked.get("max"))


def _values(name: str, asked: Any, kind: str) -> tuple[Value, ...]:
    values = tuple(asked) if isinstance(asked, list | tuple | set | frozenset) else (asked,)
    if len(values) > MOST_VALUES:
        raise InputError(f"where: {len(values)} values for {name!r}; expected at most {MOST_VALUES}")
    for value in values:
        if kind_of(value) != kind:
            raise InputError(f"where: {name!r} holds a {kind}; given: {value!r}")
    return values


def encodes(text: str) -> bool:
    """Half of a surrogate pair, alone, is no text that can be written down."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
