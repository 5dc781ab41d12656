"""Scenes and their objects as a model sees them: whole images and boxes, resized to its square input without chance."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from ...errors import InputError
from ..crops import open_scene, whole
from ..decoding import Picture, UnreadableImage
from ..loading import prepared
from ..transforms import Preprocessing, crop
from .dataset import SceneData


def scene_and_objects(pixels: np.ndarray, boxes: Sequence | np.ndarray, preprocessing: Preprocessing) -> torch.Tensor:
    """The whole image uint8 (H, W[, C]), then what is in each of m boxes, uint8 (1 + m, C, size, size).

    Resized without keeping their shapes, as in training (`scene_views`), but for colours and flips.
    """
    height, width = pixels.shape[:2]
    picture = Picture(pixels)
    return torch.stack([crop(picture, whole(box), preprocessing) for box in ((0, 0, width, height), *boxes)])


def mapped(
    function: Callable[[int], object], count: int, workers: int = 0
) -> Iterator[tuple[int, Any, UnreadableImage | None]]:
    """Yield (i, function(i), None) for i from 0 to `count`, by worker processes, in order.

    Where the function raises UnreadableImage this is (i, None, the error). With workers the function must pickle.
    """
    yield from prepared(_Mapped(function), range(count), workers)


class _Mapped(Dataset):
    def __init__(self, function):
        self.function = function

    def __getitem__(self, index):
        try:
            return index, self.function(index), None
        except UnreadableImage as error:
            return index, None, error
        except InputError as error:
            return error  # raised by the parent: from a worker it would arrive wrapped in a traceback's text


def read_scene(data: SceneData, i: int, channels: int = 3) -> np.ndarray:
    """The pixels of image `i`, uint8 (H, W[, C]). Raises UnreadableImage, also where its boxes are for another size."""
    return open_scene(data.images.read(i), data.sizes[i], channels, name=str(data.ids[i])).pixels(channels)
