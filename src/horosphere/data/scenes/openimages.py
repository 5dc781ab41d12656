"""OpenImages' tables: a row a box, edges as shares of the image."""

import csv
import io
import re
from collections import defaultdict

from ...errors import InputError
from ..trees import Tree, first_few
from .dataset import SceneData
from .reading import Scenes, split_of

_BOXES = re.compile(r"(^|/)[^/]*annotations-bbox[^/]*\.csv$")
_CLASSES = re.compile(r"(^|/)[^/]*class-descriptions[^/]*\.csv$")
_EDGES = ("XMin", "YMin", "XMax", "YMax")


def find_openimages(tree: Tree) -> list[str]:
    """The tables of boxes."""
    return [name for name in tree.files() if _BOXES.search(name)]


def load_openimages(tree: Tree) -> SceneData:
    """The images of OpenImages' tables, such as train-annotations-bbox.csv, as far as they are there.

    The table's name says the split. Classes have their names from class-descriptions-boxable.csv (or
    class-descriptions.csv), otherwise their codes. Rows of a group (IsGroupOf) are crowds, left out and counted. The tables
    do not say how large the images are: their headers do.
    """
    tables = find_openimages(tree)
    if not tables:
        raise InputError(
            f"{tree}: no table in the layout openimages; expected such as train-annotations-bbox.csv. "
            f"Found {first_few(tree.names())}."
        )
    scenes = Scenes(tree, tree.name)
    names = _names(tree)
    position: dict[str, int] = {}
    for table in tables:
        split = split_of(table) or "train"
        for image, rows in _rows(scenes, table).items():
            path = scenes.find(image, split)
            size = None if path is None else scenes.size(path)
            if path is None or size is None:
                continue
            boxes, labels = [], []
            for code, edges, group in rows:
                box = _box(edges, size)
                if group == "1":
                    scenes.dropped["crowds"] += 1
                elif not code:
                    scenes.dropped["boxes of an unknown class"] += 1
                elif box is None:
                    scenes.dropped["malformed boxes"] += 1
                else:
                    boxes.append(box)
                    labels.append(position.setdefault(code, len(position)))
            scenes.add(path, size, split, boxes, labels, source=table)
    return scenes.data([names.get(code, code) for code in position])


def _rows(scenes: Scenes, table: str) -> dict[str, list[tuple[str, tuple[str, ...], str]]]:
    """Image → its rows (class code, edges, whether a group), of the images that are there; the others are counted.

    Read line by line: the table of all training images has 14.6 million rows.
    """
    by_image, missing = defaultdict(list), set()
    with scenes.tree.open(table) as file:
        reader = csv.reader(io.TextIOWrapper(file, "utf-8-sig", newline=""))
        columns = {name.strip(): i for i, name in enumerate(next(reader, []))}
        absent = [name for name in ("ImageID", "LabelName", *_EDGES) if name not in columns]
        if absent:
            raise InputError(f"{scenes.tree}: {table} has no column {', '.join(absent)}; expected OpenImages' columns.")
        image, code, group = columns["ImageID"], columns["LabelName"], columns.get("IsGroupOf")
        edges = [columns[name] for name in _EDGES]
        for row in reader:
            if len(row) != len(columns):
                scenes.dropped["malformed boxes"] += bool(row)
            elif scenes.knows(row[image]):
                by_image[row[image]].append(
                    (row[code], tuple(row[edge] for edge in edges), "0" if group is None else row[group])
                )
            else:
                missing.add(row[image])
    scenes.dropped["missing images"] += len(missing)
    return by_image


def _names(tree: Tree) -> dict[str, str]:
    """Class code → its name; the tables have no header line, or LabelName,DisplayName."""
    names = {}
    for table in filter(_CLASSES.search, tree.files()):
        for row in csv.reader(io.TextIOWrapper(io.BytesIO(tree.read(table)), "utf-8-sig", newline="")):
            if len(row) == 2:
                names[row[0]] = row[1]
    return names


def _box(edges: tuple[str, ...], size: tuple[int, int]) -> tuple[float, float, float, float] | None:
    try:
        left, top, right, bottom = map(float, edges)
    except ValueError:
        return None
    return left * size[0], top * size[1], right * size[0], bottom * size[1]
