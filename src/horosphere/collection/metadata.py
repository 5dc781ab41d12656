"""What is known of an item beside its point: its class and those above it, and a user's own columns."""

import csv
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from ..data import RetrievalData
from ..errors import InputError

Metadata = dict[str, str | int | float | bool]

#: Columns that name classes, whatever their names look like.
_CLASS = re.compile(r"class|superclass[0-9]*")
#: Plain numbers alone: what else Python reads as one, such as 007, 1_000 or 2e7, is rather a code.
_NUMBERS = {int: re.compile(r"-?(0|[1-9][0-9]*)"), float: re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?")}


def of_labels(data: RetrievalData) -> list[Metadata]:
    """Each item's class as "class"; its ancestors from the nearest up as "superclass", "superclass2", …"""
    above = data.superclasses or ((),) * len(data.classes)
    levels = [
        {f"superclass{level if level > 1 else ''}": name for level, name in enumerate(reversed(names), 1)} for names in above
    ]
    return [{"class": data.classes[label], **levels[label]} for label in data.labels.tolist()]


def of_folders(data: RetrievalData) -> list[Metadata]:
    """Of images without labels: the folder that an image lies in is its class; one at the top has none."""
    folders = [PurePosixPath(id).parent.name for id in data.ids.tolist()]
    return [{"class": folder} if folder else {} for folder in folders]


def read_table(path: Path, known: Sequence[str]) -> dict[str, Metadata]:
    """id → metadata from a CSV with a header line: a row an item, whose id is in the column "id", or else in the first.

    A column of whole numbers, of plain decimals, or of true and false is read as such, any other as text; so are "class",
    "superclass", "superclass2", … Empty cells are left out.
    `known` are the ids that there are; items without a row have none of the columns.

    Raises:
        InputError: for no such file, no column beside the id, columns or rows that are there twice, rows of another length
            than the header, and ids that are not `known`.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            lines = [(number, row) for number, row in enumerate(csv.reader(file), 1) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"--metadata {path} cannot be read: {error}; expected a CSV in UTF-8 with a header line") from error
    if not lines:
        raise InputError(f"--metadata {path} is empty; expected a header line, and a line an item")
    (_, header), rows = lines[0], lines[1:]
    header = [name.strip() for name in header]
    _refuse(
        path, [name for name, count in Counter(header).items() if count > 1], "columns with the same name", "rename them"
    )
    if "" in header or len(header) < 2:
        raise InputError(
            f"--metadata {path} has the columns {', '.join(map(repr, header))}; expected a column of ids and one or more "
            "others, each with a name"
        )
    _refuse(path, [str(number) for number, row in rows if len(row) != len(header)], "lines of another length", "repair them")
    place = header.index("id") if "id" in header else 0
    ids = [row[place] for _, row in rows]
    _refuse(path, [id for id, count in Counter(ids).items() if count > 1], "ids that come twice", "leave one line an id")
    there = set(known)
    example = f"expected ids as the index has them, such as {known[0]!r}" if known else "there are no items"
    _refuse(path, [id for id in ids if id not in there], "ids that are no item's", example)
    cells = {name: [row[i].strip() for _, row in rows] for i, name in enumerate(header) if i != place}
    columns = {name: _texts(column) if _CLASS.fullmatch(name) else _typed(column) for name, column in cells.items()}
    return {
        id: {name: value for name, values in columns.items() if (value := values[i]) is not None} for i, id in enumerate(ids)
    }


def _refuse(path: Path, found: Sequence[str], what: str, todo: str) -> None:
    if found:
        more = f" and {len(found) - 5:,} more" if len(found) > 5 else ""
        raise InputError(f"--metadata {path} has {what}: {', '.join(found[:5])}{more}; {todo}")


def _typed(column: list[str]) -> Sequence[str | int | float | bool | None]:
    """Texts as what all of them are; None where there is none."""
    given = [text for text in column if text]
    truth: Mapping[str, bool] = {"true": True, "false": False}
    if given and all(text.lower() in truth for text in given):
        return [truth[text.lower()] if text else None for text in column]
    for kind, pattern in _NUMBERS.items():
        if all(map(pattern.fullmatch, given)):
            values = [kind(text) if text else None for text in column]
            if all(value is None or abs(value) < 2**63 for value in values):
                return values
    return _texts(column)


def _texts(column: list[str]) -> list[str | None]:
    return [text or None for text in column]
