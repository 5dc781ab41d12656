"""Boxes for images that have none: region proposals, made once and kept in the cache folder."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset
from torchvision.ops import nms
from tqdm import tqdm

from ...errors import InputError
from ...files import alone, cache_folder, replacing
from ..crops import open_scene
from ..decoding import UnreadableImage
from ..loading import prepared
from .dataset import SceneData

_FORMAT = 1  # of the files of boxes; in their key
_TASK = 16  # images a worker takes at a time, and a file holds


def with_proposals(
    data: SceneData,
    *,
    least: float = 56.0,
    most: int = 100,
    overlap: float = 0.7,
    side: int = 320,
    method: str = "selective-search",
    workers: int = 0,
    progress: bool = False,
) -> SceneData:
    """The same images with boxes of proposed regions, without classes, in place of the boxes there were.

    least: smallest side of a box, pixels. most: boxes an image. overlap: of two boxes whose intersection is a larger share
    of their union than this, one is left out; the whole image counts as such a box. side: the longer side that images are
    shrunk to for the search. method: one of `METHODS`. An image that cannot be read is left out and counted in `dropped`.

    The boxes depend on the image and the options only. They are kept in the cache folder, by the images' fingerprint: a
    search that was stopped goes on where it was, and a second process waits for the first. Raises InputError.
    """
    if method not in METHODS:
        raise InputError(f"Unknown method {method!r} of proposals; expected {', '.join(METHODS)}.")
    if least <= 0 or most < 1 or not 0 < overlap <= 1 or side < 1:
        raise InputError(
            f"least {least}, most {most}, overlap {overlap}, side {side}; expected a least side above 0, at least 1 box, "
            "an overlap above 0 and up to 1, and a side of at least 1 pixel."
        )
    about = {"format": _FORMAT, "method": method, "least": least, "most": most, "overlap": overlap, "side": side}
    about |= {"ids": data.ids.tolist(), "sizes": data.sizes.tolist(), "images": data.images.fingerprint()}
    folder = cache_folder() / "proposals" / hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:32]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with alone(folder / "lock", "which searches the same images"):
            boxes = _all_boxes(_Search(data, METHODS[method], least, most, overlap, side), folder, workers, progress)
    except OSError as error:
        raise InputError(
            f"boxes cannot be kept in {folder}: {error.strerror or error}; set $HOROSPHERE_CACHE to another folder"
        ) from error
    readable = np.array([each is not None for each in boxes], bool)
    found = tuple(np.zeros((0, 4), np.float32) if each is None else each for each in boxes)
    if not sum(map(len, found)):
        raise InputError(
            f"{data.name}: no region of {least:g} × {least:g} pixels in {len(data)} images, of which "
            f"{len(data) - readable.sum()} cannot be read. Lower the least side."
        )
    dropped = {} if readable.all() else {"unreadable images": int((~readable).sum())}
    return replace(
        data,
        boxes=found,
        labels=tuple(np.full(len(each), -1) for each in found),
        masks=None,
        classes=(),
        superclasses=None,
        dropped=dropped,
    ).take(readable)


def selective_search(pixels: np.ndarray) -> np.ndarray:
    """OpenCV's fast selective search: from pixels uint8 (h, w, 3) to boxes float64 (m, 4), whose order says nothing."""
    try:
        import cv2

        make = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation
    except (ImportError, AttributeError) as error:  # plain opencv-python has no ximgproc
        raise InputError(
            "selective search needs OpenCV with its contributed modules: pip install 'horosphere[scenes]'"
        ) from error
    cv2.setNumThreads(1)  # the images are shared out over processes
    search = make()
    search.setBaseImage(np.ascontiguousarray(pixels[..., ::-1]))  # BGR
    search.switchToSelectiveSearchFast()
    boxes = np.asarray(search.process(), np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return boxes


METHODS = {"selective-search": selective_search}


class _Search(Dataset):
    """Maps a task (first, end) to the boxes of these images, float32 (m, 4) each; None where one cannot be read."""

    def __init__(self, data, search, least, most, overlap, side):
        self.data, self.search = data, search
        self.least, self.most, self.overlap, self.side = least, most, overlap, side

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index) -> tuple[int, list[np.ndarray | None]] | InputError:
        try:
            return index[0], [self._boxes(i) for i in range(*index)]
        except InputError as error:
            return error  # raised by the parent: from a worker it would arrive wrapped in a traceback's text

    def _boxes(self, i: int) -> np.ndarray | None:
        try:
            pixels = open_scene(self.data.images.read(i), self.data.sizes[i], 3, name=str(self.data.ids[i])).pixels(3)
        except UnreadableImage:
            return None
        size = self.data.sizes[i]
        shown = np.maximum(1, np.rint(size * min(1.0, self.side / size.max()))).astype(int)
        if (shown != size).any():
            pixels = np.asarray(Image.fromarray(pixels).resize(tuple(shown.tolist()), Image.Resampling.BICUBIC))
        boxes = self.search(pixels) * np.tile(size / shown, 2)
        return chosen(boxes, (int(size[0]), int(size[1])), self.least, self.most, self.overlap)


def chosen(boxes: np.ndarray, size: tuple[int, int], least: float, most: int, overlap: float) -> np.ndarray:
    """At most `most` of the boxes (m, 4), in random order, none like another: float32 (k, 4).

    The order comes from the boxes themselves, whatever order they are given in: OpenCV ranks by C's random numbers, which
    differ from run to run.
    """
    boxes = np.unique(np.clip(boxes, 0, np.tile(size, 2)).astype(np.float32), axis=0)
    boxes = boxes[((boxes[:, 2:] - boxes[:, :2]) >= least).all(1)]
    boxes = np.random.default_rng(0).permutation(boxes)
    image = np.array([[0, 0, *size]], np.float32)
    ranked = torch.from_numpy(np.concatenate([image, boxes]))
    kept = nms(ranked, torch.arange(len(ranked), 0, -1, dtype=torch.float32), overlap)
    return ranked[kept[1:][:most]].numpy()


def _all_boxes(search: _Search, folder: Path, workers: int, progress: bool) -> list[np.ndarray | None]:
    """The boxes of all images, from the folder's files, one for each task; those that are missing are made first."""
    tasks = [(first, min(first + _TASK, len(search))) for first in range(0, len(search), _TASK)]

    def file(first: int) -> Path:
        return folder / f"{first:09d}.npz"

    missing = [task for task in tasks if not file(task[0]).is_file()]
    done = len(search) - sum(end - first for first, end in missing)
    title = f"regions of {search.data.name}"
    with tqdm(total=len(search), initial=done, desc=title, unit="img", disable=not progress, dynamic_ncols=True) as bar:
        for first, boxes in prepared(search, iter(missing), workers):
            counts = np.array([-1 if each is None else len(each) for each in boxes])
            together = np.concatenate([np.zeros((0, 4), np.float32), *(each for each in boxes if each is not None)])
            with replacing(file(first)) as temporary:
                np.savez(temporary, counts=counts, boxes=together)
            bar.update(len(boxes))
    found: list[np.ndarray | None] = []
    for first, _ in tasks:
        with np.load(file(first)) as kept:
            ends = kept["counts"].clip(0).cumsum()
            parts = np.split(kept["boxes"], ends[:-1])
            found += [None if count < 0 else part for count, part in zip(kept["counts"], parts, strict=True)]
    return found
