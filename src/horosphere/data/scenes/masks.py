"""COCO's masks: polygons or run lengths, and their pixels. pycocotools does the work."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...errors import InputError


def run_lengths(mask: Any, size: Sequence[int]) -> dict:
    """A mask as COCO stores it (polygons, or run lengths of either kind) as compressed run lengths; `size` is width, height.

    Raises InputError for a mask that is neither, and without pycocotools.
    """
    coco, (width, height) = _pycocotools(), map(int, size)
    try:
        if isinstance(mask, list):
            return coco.merge(coco.frPyObjects(mask, height, width))
        return coco.frPyObjects(mask, height, width) if isinstance(mask["counts"], list) else mask
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise InputError(f"a mask is no list of polygons and no run lengths ({error!r}); repair the annotation") from None


def encode_masks(pixels: np.ndarray) -> list[dict]:
    """Masks (m, height, width) of truth values as compressed run lengths."""
    coco = _pycocotools()
    return [coco.encode(np.asfortranarray(each, np.uint8)) for each in pixels]


def decode_mask(mask: Any, size: Sequence[int]) -> np.ndarray:
    """A mask as COCO stores it as uint8 pixels of 0 and 1 (height, width)."""
    return _pycocotools().decode(run_lengths(mask, size))


def _pycocotools():
    try:
        from pycocotools import mask
    except ImportError:
        raise InputError("masks need pycocotools: pip install 'horosphere[detection]'") from None
    return mask
