"""Filters in Milvus's language."""

import json
from collections.abc import Iterator, Mapping, Sequence

from ..errors import InputError
from .where import Condition, Value

#: Milvus compares numbers as float64, so whole numbers beyond this are not told apart.
_LARGEST = 2**53


def among(ids: Sequence[str]) -> str:
    """A filter for rows with one of these ids."""
    return f"id in [{', '.join(map(_literal, ids))}]"


def expression(where: Sequence[Condition]) -> str:
    """Conditions in Milvus's language for filters; every name and value is a literal of it."""
    return " and ".join(f"({clause})" for condition in where for clause in _clauses(condition))


def check_numbers(ids: Sequence[str], metadata: Sequence[Mapping[str, Value]]) -> None:
    """Raises InputError for a number that a filter could not tell from others."""
    for id, item in zip(ids, metadata, strict=True):
        if large := [name for name, value in item.items() if isinstance(value, int) and abs(value) > _LARGEST]:
            raise InputError(
                f"metadata of {id!r}: {large[0]!r} is {item[large[0]]}, a whole number that Milvus does not compare "
                "exactly; expected at most 2**53, or text"
            )


def _clauses(condition: Condition) -> Iterator[str]:
    field = f"metadata[{_literal(condition.name)}]"
    if condition.values is not None:
        clause = " or ".join(f"{field} in [{', '.join(map(_literal, some))}]" for some in _alike(condition.values))
        yield f"not ({clause})" if condition.negated else clause
    for sign, bound in ((">=", condition.low), ("<=", condition.high)):
        if bound is not None:
            yield f"{field} {sign} {_literal(bound)}"


def _alike(values: Sequence[Value]) -> list[Sequence[Value]]:
    """The values in lists of one type each, as Milvus asks; a number in both of its types, where it has both."""
    numbers = [value for value in values if not isinstance(value, str | bool)]
    if not numbers:
        return [values]
    whole = [int(value) for value in numbers if value == int(value) and abs(value) <= _LARGEST]
    return [some for some in (whole, list(map(float, numbers))) if some]


def _literal(value: str | float) -> str:
    """Milvus reads literals as JSON does."""
    return json.dumps(value, ensure_ascii=False)
