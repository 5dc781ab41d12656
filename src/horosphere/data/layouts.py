"""`load_data`: any of the layouts below from a folder, the folder above it, or a zip, to RetrievalData."""

import csv
import difflib
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ..errors import InputError
from .dataset import RetrievalData
from .features import labels_and_classes, load_arrays
from .published import MARKERS, ORIGINS, assemble, find_layout, load_published
from .sources import ArrayImages, FileImages
from .trees import Tree, first_few, is_image, open_tree

_SPLIT_NAMES = {
    "train": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "query": "query",
    "gallery": "gallery",
}
_TABLES = (".csv", ".parquet")
_FEATURES = (".npz", ".safetensors")


def load_data(layout: str = "auto", root: str | Path | None = None, **options) -> RetrievalData:
    """Load a data set.

    layout: "cub", "cars", "sop", "inshop", "omniglot": the published folders with their published splits;
    "folder": any nested folder of images. The folder that holds the images is the class, those above it are its
    ancestors. Folders train, test (or query and gallery) at the top give the split; without them `train_classes` does;
    "table": CSV or Parquet, a row an image. Options image="image" (path relative to the table), label="label",
    split="split" (used if there), superclasses=() (columns, coarse to fine), train_classes;
    "features": .npz or .safetensors with features, labels and optionally classes, split, superclasses, ids;
    option train_classes where the file has no split;
    "digits": scikit-learn's 8 × 8 digits, 0–4 train, 5–9 test, no root;
    "auto": whichever of these `root` is.

    root: a file, a folder, the folder above, or a zip of any, read in place. `train_classes`: how many classes, in
    sorted order, or which ones by name, are for training, the others for test; the first half (rounded up) if not
    given. Raises InputError.
    """
    if layout == "auto":
        layout = _recognise(root)
    if layout not in LAYOUTS:
        near = difflib.get_close_matches(layout, ["auto", *LAYOUTS], 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise InputError(f"Unknown layout {layout!r}; expected auto, {', '.join(LAYOUTS)}.{hint}")
    load, allowed = LAYOUTS[layout]
    unknown = [name for name in options if name not in allowed]
    if unknown:
        near = difflib.get_close_matches(unknown[0], allowed, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise InputError(f"Layout {layout!r} has no option {unknown[0]!r}; it has {', '.join(allowed) or 'none'}.{hint}")
    if root is None and layout != "digits":
        raise InputError(f"Layout {layout!r} needs a root: the folder, file or zip where the data is.")
    data = load(root, **options)
    if ("query" in data.split) != ("gallery" in data.split):
        raise InputError(f"{data.name}: query and gallery come together; the data has only one of the two.")
    return data


def load_images(root: str | Path) -> RetrievalData:
    """Every image of a folder, a zip or one file, in sorted order, without labels (all are of one class "").

    Raises InputError where there is none.
    """
    path = Path(root)
    if path.is_file() and is_image(path.name):
        images = FileImages(path.parent, [path.name])
    else:
        tree = open_tree(root)
        names = [name for name in tree.files() if is_image(name)]
        if not names:
            raise InputError(f"{root} holds no images; expected a folder or zip with images such as .jpg or .png in it.")
        images = tree.images(names)
    count = len(images)
    return RetrievalData(path.name, images, None, np.zeros(count, np.int64), ("",), None, np.full(count, "test"))


def _recognise(root) -> str:
    if root is None:
        raise InputError("The layout is to be recognised, but there is no root; give the folder, file or zip, or a layout.")
    suffix = Path(root).suffix.lower()
    if suffix in _TABLES or suffix in _FEATURES:
        return "table" if suffix in _TABLES else "features"
    tree = open_tree(root)
    for layout in MARKERS:
        if find_layout(tree, layout) is not None:
            return layout
    tables = [name for name in tree.names() if name.lower().endswith(_TABLES)]
    if len(tables) == 1 and {"image", "label"} <= set(_columns(tree, tables[0])):
        return "table"
    if any(map(is_image, tree.files())):
        return "folder"
    looked = "; ".join(f"{layout}: {' or '.join(markers)}" for layout, markers in MARKERS.items())
    raise InputError(
        f"{tree}: no known layout. Looked for {looked}; a table with columns image and label; image files. "
        f"Found {first_few(tree.names())}. Check the path, or name the layout."
    )


def _load_folder(root, train_classes: int | Sequence[str] | None = None) -> RetrievalData:
    tree = open_tree(root)
    name = tree.name
    # A single folder that only wraps the rest says nothing; a single "train" does.
    while len(tree.names()) == 1 and tree.names()[0] not in _SPLIT_NAMES and tree.is_folder(tree.names()[0]):
        if any(is_image(inner) for inner in tree.sub(tree.names()[0]).names()):
            break  # one class of images
        tree = tree.sub(tree.names()[0])
    paths = [path for path in tree.files() if is_image(path)]
    tops = {path.split("/")[0] for path in paths}
    by_folder = bool(paths) and tops <= set(_SPLIT_NAMES)
    if "train" in tops and not by_folder:
        raise InputError(
            f"{tree}: images both in train/ and in {first_few(sorted(tops - set(_SPLIT_NAMES)))}; expected only "
            f"{', '.join(_SPLIT_NAMES)} at the top, or no train/ at all."
        )
    if by_folder and train_classes is not None:
        raise InputError(f"{tree}: the folders {', '.join(sorted(tops))} already give the split; leave train_classes out.")
    levels = [path.split("/")[by_folder:-1] for path in paths]
    stray = [path for path, above in zip(paths, levels, strict=True) if not above]
    if stray or not paths:
        found = f"{len(stray)} images outside any class folder, first {stray[0]}" if stray else "no image at all"
        raise InputError(f"{tree}: {found}; expected CLASS/image.jpg (or train/CLASS/image.jpg and test/CLASS/image.jpg).")
    places = sorted({tuple(above) for above in levels})
    position = {place: i for i, place in enumerate(places)}
    labels = np.array([position[tuple(above)] for above in levels])
    short = [place[-1] for place in places]
    classes = short if len(set(short)) == len(short) else ["/".join(place) for place in places]
    ancestors = [place[:-1] for place in places] if any(len(place) > 1 for place in places) else None
    if by_folder:
        split = [_SPLIT_NAMES[path.split("/")[0]] for path in paths]
    else:
        split = _split_by_class(labels, classes, train_classes)
    return assemble(tree, name, paths, labels, classes, split, ancestors)


def _load_table(
    root,
    image: str = "image",
    label: str = "label",
    split: str = "split",
    superclasses: Sequence[str] = (),
    train_classes: int | Sequence[str] | None = None,
) -> RetrievalData:
    if isinstance(superclasses, str):
        superclasses = (superclasses,)
    path = Path(root)
    if path.suffix.lower() in _TABLES:
        tree, table = open_tree(path.parent), path.name
        if not tree.exists(table):
            raise InputError(f"{path} does not exist; expected a CSV or Parquet table. Check the path.")
    else:
        tree = open_tree(root)
        tables = [name for name in tree.names() if name.lower().endswith(_TABLES)]
        if len(tables) != 1:
            raise InputError(f"{tree}: {len(tables)} tables ({first_few(tables)}); name the one CSV or Parquet file itself.")
        table = tables[0]
    columns = _columns(tree, table)
    absent = [name for name in (image, label, *superclasses) if name not in columns]
    if absent:
        near = [f"{name}={got[0]!r}" for name in absent for got in [difflib.get_close_matches(name, columns, 1)] if got]
        raise InputError(
            f"{table} has no column {', '.join(map(repr, absent))}; it has {first_few(list(columns), 12)}. Name the "
            f"columns with image=, label=, split=, superclasses={'. Near: ' + ', '.join(near) if near else ''}."
        )
    names = columns[label]
    empty = [i for i, (a, b) in enumerate(zip(columns[image], names, strict=True)) if not a or not b]
    if empty or not names:
        raise InputError(f"{table}: {len(empty)} of {len(names)} rows lack an image or a label, first row {empty[:1]}.")
    classes = sorted(set(names), key=_number_or_name(names))
    position = {name: i for i, name in enumerate(classes)}
    labels = np.array([position[name] for name in names])
    ancestors = _ancestors(table, names, classes, [columns[c] for c in superclasses]) if superclasses else None
    if split in columns:
        if train_classes is not None:
            raise InputError(f"{table}: the column {split!r} already gives the split; leave train_classes out.")
        unknown = sorted(set(columns[split]) - set(_SPLIT_NAMES))
        if unknown:
            raise InputError(f"{table}: {split} holds {first_few(unknown)}; expected {', '.join(_SPLIT_NAMES)}.")
        parts = [_SPLIT_NAMES[part] for part in columns[split]]
    else:
        parts = _split_by_class(labels, classes, train_classes)
    return assemble(tree, Path(table).stem, columns[image], labels, classes, parts, ancestors)


def _columns(tree: Tree, table: str) -> dict[str, list[str]]:
    """The table's columns as text."""
    content = tree.read(table)
    if table.lower().endswith(".csv"):
        rows = [row for row in csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")) if row]
        ragged = [i + 1 for i, row in enumerate(rows) if len(row) != len(rows[0])]
        if not rows or ragged:
            what = f"line {ragged[0]} has another number of columns than the header" if ragged else "the file is empty"
            raise InputError(f"{table}: {what}; expected comma-separated values with a header line.")
        return {name.strip(): [row[i].strip() for row in rows[1:]] for i, name in enumerate(rows[0])}
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise InputError(
            f"{table}: reading Parquet needs pyarrow: pip install 'horosphere[parquet]', or save as CSV."
        ) from error
    read = pyarrow.parquet.read_table(io.BytesIO(content))
    return {
        name: ["" if value is None else str(value) for value in read.column(name).to_pylist()] for name in read.column_names
    }


def _number_or_name(names: Sequence[str]) -> Callable:
    """Sort key: by value if all are whole numbers ("2" before "10"), by name otherwise."""
    return int if all(name.isdecimal() for name in names) else str


def _ancestors(table: str, names, classes, columns) -> list[tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for name, *above in zip(names, *columns, strict=True):
        if found.setdefault(name, tuple(above)) != tuple(above):
            raise InputError(f"{table}: class {name!r} has superclasses {found[name]} and {tuple(above)}; expected one.")
    return [found[name] for name in classes]


def _split_by_class(labels: np.ndarray, classes: Sequence[str], train_classes) -> np.ndarray:
    """Disjoint classes: `train_classes` of them (a number or names; default the first half, rounded up) train."""
    if train_classes is None:
        train_classes = (len(classes) + 1) // 2
    if isinstance(train_classes, int):
        if not 0 <= train_classes <= len(classes):
            raise InputError(f"train_classes={train_classes}; expected 0 to {len(classes)}, the number of classes.")
        train_classes = classes[:train_classes]
    unknown = [str(name) for name in train_classes if str(name) not in classes]
    if unknown:
        near = difflib.get_close_matches(unknown[0], classes, 3)
        raise InputError(f"train_classes names no class {first_few(unknown)}; nearest: {first_few(near or list(classes))}.")
    chosen = {str(name) for name in train_classes}
    return np.where(np.isin(labels, [i for i, name in enumerate(classes) if name in chosen]), "train", "test")


def _load_features(root, train_classes: int | Sequence[str] | None = None) -> RetrievalData:
    arrays = load_arrays(root, required=("features", "labels"))
    labels, classes = labels_and_classes(root, arrays)
    superclasses = None
    if "superclasses" in arrays:
        rows = arrays["superclasses"]
        rows = rows[:, None] if rows.ndim == 1 else rows
        superclasses = tuple(tuple(str(a) for a in row if a != "") for row in rows)
    split = arrays.get("split")
    if split is None:
        split = _split_by_class(labels, classes, train_classes)
    elif train_classes is not None:
        raise InputError(f"{root}: the file's split already says which items train; leave train_classes out.")
    return RetrievalData(Path(root).stem, None, arrays["features"], labels, classes, superclasses, split, arrays.get("ids"))


def _load_digits(root=None) -> RetrievalData:
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)  # grey values come as 0 to 16
    split = np.where(digits.target < 5, "train", "test")
    return RetrievalData("digits", ArrayImages(images), None, digits.target, tuple("0123456789"), None, split)


def _published(layout: str) -> Callable:
    def load(root) -> RetrievalData:
        if not Path(root).exists():
            raise InputError(
                f"{root} does not exist. Give the folder or zip of the set as data.root. Where to get it: {ORIGINS[layout]}"
            )
        return load_published(open_tree(root), layout)

    return load


# Layout → (loader, its options).
LAYOUTS: dict[str, tuple[Callable, tuple[str, ...]]] = {
    **{layout: (_published(layout), ()) for layout in MARKERS},
    "folder": (_load_folder, ("train_classes",)),
    "table": (_load_table, ("image", "label", "split", "superclasses", "train_classes")),
    "features": (_load_features, ("train_classes",)),
    "digits": (_load_digits, ()),
}
