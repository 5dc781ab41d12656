"""ImageNet-ReaL: what annotators see in each of ImageNet's validation images (Beyer et al. 2020)."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import InputError

_NUMBER = re.compile(r"ILSVRC2012_val_(\d{8})")


def real_labels(path: str | Path) -> list[list[int]]:
    """The labels of each image, in the order of ImageNet's numbering; images without a label have an empty list."""
    try:
        labels = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read the labels {path}: {error.strerror}") from None
    except ValueError as error:
        raise InputError(f"{path} is not JSON: {error}") from None
    if not isinstance(labels, list) or not all(
        isinstance(each, list) and all(isinstance(label, int) for label in each) for each in labels
    ):
        raise InputError(f"{path} is not ReaL's file; expected a list of lists of class numbers, one list an image")
    return labels


def real_counts(path: str | Path, ids: Sequence[str]) -> np.ndarray:
    """How many labels each of these images has, int64 (n,): by the number in its name, ILSVRC2012_val_00000001.JPEG.

    Raises InputError where a name has no number, or one that the file does not know.
    """
    labels = real_labels(path)
    found = [_NUMBER.search(str(name)) for name in ids]
    strange = [
        str(name) for name, match in zip(ids, found, strict=True) if not match or not 0 < int(match[1]) <= len(labels)
    ]
    if strange:
        raise InputError(
            f"{len(strange)} of {len(ids)} images are not in {path}, first {strange[0]}; expected ImageNet's validation "
            f"images under their own names, ILSVRC2012_val_00000001.JPEG to {len(labels):08d}"
        )
    return np.array([len(labels[int(match[1]) - 1]) for match in found if match], np.int64)
