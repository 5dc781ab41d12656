"""Arrays in one file, written atomically: cached features and points with their labels and names."""

import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..files import replacing

# One entry an item; the others describe classes.
_PER_ITEM = ("features", "points", "labels", "split", "ids")


def save_arrays(path: str | Path, **arrays: np.ndarray | Sequence) -> None:
    """Write named arrays to a .npz or .safetensors file, whole or not at all.

    Usual names: `features` or `points` (n, d), `labels` (n,), and optionally `classes` (C,), `split` (n,), `ids` (n,)
    and `superclasses`, which may be C tuples of different lengths. Strings are kept as unicode arrays (npz) or in the
    header (safetensors). Raises InputError for lengths that disagree, NaN, and other suffixes.
    """
    path = Path(path)
    named = {name: _as_array(name, value) for name, value in arrays.items() if value is not None}
    _check(path, named)
    if path.suffix == ".npz":
        buffer = io.BytesIO()
        np.savez(buffer, **named)  # ty: ignore[invalid-argument-type]
        content = buffer.getvalue()
    elif path.suffix == ".safetensors":
        from safetensors.numpy import save

        texts = {name: json.dumps(array.tolist()) for name, array in named.items() if array.dtype.kind == "U"}
        numbers = {name: np.ascontiguousarray(array) for name, array in named.items() if name not in texts}
        content = save(numbers, metadata=texts)
    else:
        raise InputError(f"{path}: cannot write {path.suffix or 'a file without suffix'}; use .npz or .safetensors.")
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def load_arrays(path: str | Path, required: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """Read a file that `save_arrays` or another program wrote: arrays by name, strings as unicode arrays.

    `superclasses` come back as a unicode array (C, levels), "" beyond an entry's own levels. Nothing is ever unpickled.
    Raises InputError where the file is damaged, a required name is missing, lengths disagree or numbers are not finite.
    """
    path = Path(path)
    if path.suffix not in (".npz", ".safetensors"):
        raise InputError(f"{path}: cannot read {path.suffix or 'a file without suffix'}; expected .npz or .safetensors.")
    if not path.exists():
        raise InputError(f"{path} does not exist; expected a .npz or .safetensors file. Check the path.")
    try:
        arrays = _read_npz(path) if path.suffix == ".npz" else _read_safetensors(path)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        hint = " Arrays of objects are not read: save strings as unicode arrays." if "pickle" in str(error) else ""
        raise InputError(f"{path} cannot be read: {error}.{hint} Write the file again.") from error
    absent = [name for name in required if name not in arrays]
    if absent:
        raise InputError(f"{path} has no {', '.join(absent)}; it holds {', '.join(sorted(arrays)) or 'nothing'}.")
    _check(path, arrays)
    return arrays


def labels_and_classes(path: str | Path, arrays: dict[str, np.ndarray]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels as positions in the class names, and those names, from arrays with `labels` and perhaps `classes`.

    Raises InputError where there are classes and the labels are no whole numbers.
    """
    labels = arrays["labels"]
    if "classes" not in arrays:
        # Labels may be any numbers or names: they become positions in their sorted list.
        values, labels = np.unique(labels, return_inverse=True)
        return labels, tuple(map(str, values.tolist()))
    if labels.dtype.kind not in "iu":
        raise InputError(f"{path}: labels of {labels.dtype} beside classes; expected whole numbers, positions in classes.")
    return labels, tuple(map(str, arrays["classes"].tolist()))


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as content:
        return {name: content[name] for name in content.files}


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as content:
            arrays = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118 - not a dict
            texts = content.metadata() or {}
    except (SafetensorError, TypeError) as error:
        raise ValueError(error) from error
    for name, text in texts.items():
        try:
            value = json.loads(text)
        except ValueError:
            continue  # another program's note, such as {"format": "pt"}
        if isinstance(value, list):
            arrays[name] = np.array(value, dtype=np.str_)
    return arrays


def _as_array(name: str, value) -> np.ndarray:
    if name == "superclasses" and not isinstance(value, np.ndarray):
        levels = max(map(len, value), default=0)
        value = [(*ancestors, *[""] * (levels - len(ancestors))) for ancestors in value]
        return np.array(value, dtype=np.str_).reshape(len(value), levels)
    array = np.asarray(value)
    if array.dtype.kind == "O":
        raise InputError(f"{name}: an array of Python objects; expected numbers or strings. Convert it first.")
    return array


def _check(path: Path, arrays: dict[str, np.ndarray]) -> None:
    lengths = {name: len(arrays[name]) if arrays[name].ndim else None for name in _PER_ITEM if name in arrays}
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise InputError(f"{path}: lengths disagree ({said}); expected one entry an item in each.")
    for name in ("features", "points"):
        if name in arrays and arrays[name].ndim != 2:
            raise InputError(f"{path}: {name} of shape {arrays[name].shape}; expected (n, d).")
        if name in arrays and not np.isfinite(arrays[name]).all():
            rows = np.flatnonzero(~np.isfinite(arrays[name]).all(axis=1))
            raise InputError(
                f"{path}: {name} hold NaN or infinity in {len(rows)} of {len(arrays[name])} rows, first row {rows[0]}; "
                "leave those rows out or compute them again."
            )
    if "classes" in arrays and len(arrays.get("labels", ())) and arrays["labels"].dtype.kind in "iu":
        low, high, count = arrays["labels"].min(), arrays["labels"].max(), len(arrays["classes"])
        if low < 0 or high >= count:
            raise InputError(f"{path}: labels from {low} to {high}; expected 0 to {count - 1}, positions in classes.")
    if "superclasses" in arrays and "classes" in arrays and len(arrays["superclasses"]) != len(arrays["classes"]):
        raise InputError(f"{path}: {len(arrays['superclasses'])} superclasses for {len(arrays['classes'])} classes.")
