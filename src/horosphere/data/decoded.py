"""Images decoded once and kept as pixels: in memory, or in a file of the cache folder that processes and runs share."""

import hashlib
import io
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import torch
from torch.utils.data import Dataset
from tqdm import tqdm

from ..config import Augmentation
from ..errors import InputError
from ..files import alone, cache_folder, replacing, write_text
from .dataset import RetrievalData
from .decoding import Picture, UnreadableImage
from .loading import Failures, prepared, require_preprocessing
from .transforms import Preprocessing, evaluation_view, useful_side

_FORMAT = 1  # of the file of pixels; in its key
_TASK = 8  # images a worker decodes at a time, which may be large
_SAMPLE = 32  # images whose mean says how much room all of them need


class DecodedImages:
    """Upright uint8 images of any sizes, one after the other: an image source, like files.

    pixels: uint8 (total,), or a file of them, which is mapped: processes share it, and pickled it travels as its path.
    starts: int64 (n,), where each image begins. sizes: int64 (n, 2), height and width. channels: 1 or 3.
    """

    def __init__(
        self, pixels: np.ndarray | Path, starts: np.ndarray, sizes: np.ndarray, channels: int, names: Sequence[str]
    ):
        self._given = pixels
        # A plain array of the mapped memory: slices of numpy's memmap class cost more than small images do.
        self._pixels = np.asarray(np.memmap(pixels, np.uint8, "r")) if isinstance(pixels, Path) else pixels
        self._starts, self._sizes, self._channels, self.names = starts, sizes, channels, tuple(names)

    def __reduce__(self):
        return type(self), (self._given, self._starts, self._sizes, self._channels, self.names)

    def __len__(self) -> int:
        return len(self._starts)

    def name(self, i: int) -> str:
        """The image's id in the data it was decoded from."""
        return self.names[i]

    def read(self, i: int) -> np.ndarray:
        """(H, W, 3) or (H, W), uint8; read-only where it is a file's."""
        start, (height, width) = int(self._starts[i]), self._sizes[i].tolist()
        shape = (height, width) if self._channels == 1 else (height, width, self._channels)
        return self._pixels[start : start + height * width * self._channels].reshape(shape)

    def take(self, indices: Sequence[int]) -> "DecodedImages":
        """The images at these positions, of the same pixels."""
        chosen = np.asarray(indices, dtype=np.int64)
        names = [self.names[i] for i in chosen]
        return DecodedImages(self._given, self._starts[chosen], self._sizes[chosen], self._channels, names)

    def fingerprint(self) -> str:
        """Changes when the pixels do."""
        digest = hashlib.sha256(self._sizes.tobytes())
        for i in range(len(self)):
            digest.update(np.ascontiguousarray(self.read(i)).data)
        return digest.hexdigest()


def decode_once(
    data: RetrievalData,
    preprocessing: Preprocessing | None,
    augmentation: Augmentation | None,
    *,
    where: Literal["memory", "disk"],
    workers: int = 0,
    progress: bool = False,
) -> tuple[RetrievalData, Preprocessing | None, Failures]:
    """The same data with its images decoded; how to see those; and what could not be read, which is left out.

    Training views are the same as from the files. With random crops whole images are kept. Only a JPEG of more pixels than
    the smallest crop can use is halved, once or more: at least 3 pixels remain for each pixel of any view and side, so
    that views keep 48 dB. Without random crops, all training views are made from the evaluation view. Then that is what is
    kept, and the preprocessing returned does not resize it again. Data of features is returned as it is.

    where: "memory"; or "disk", a file in the cache folder. A later run finds it by the ids, the images' fingerprint and what
    is kept of them. A second process that wants the same file waits for the first. A kill leaves no file, or a whole one.
    progress: show a bar that says how much room is needed, the rate and the time left.

    Raises InputError where there is too little room, or no image can be read.
    """
    if data.features is not None:
        return data, preprocessing, []
    preprocessing = require_preprocessing(preprocessing)
    if augmentation is not None and augmentation.crops:
        pixels = _Pixels(data, preprocessing, useful_side(preprocessing, augmentation))
    else:
        pixels = _Pixels(data, preprocessing, None)
        preprocessing = replace(preprocessing, resize=preprocessing.size)
    keep = _in_memory if where == "memory" else _on_disk
    stored, sizes, failures = keep(pixels, workers, progress)
    lengths = sizes.prod(1) * preprocessing.channels
    images = DecodedImages(stored, lengths.cumsum() - lengths, sizes, preprocessing.channels, data.ids.tolist())
    return replace(data, images=images).take(sizes[:, 0] > 0), preprocessing, failures


class _Pixels(Dataset):
    """Maps a task (first, end) to (pixels uint8 (total,), sizes, failures) of these images.

    `side` is what a reduced image's shorter side keeps; None for evaluation views. An unreadable image has size 0, 0.
    """

    def __init__(self, data, preprocessing, side):
        self.data, self.preprocessing, self.side = data, preprocessing, side

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index):
        arrays, sizes, failures = [], [], []
        for i in range(*index):
            name = str(self.data.ids[i])
            try:
                array = self._decoded(i, name)
            except UnreadableImage as error:
                failures.append((name, error.reason))
                sizes.append((0, 0))
            else:
                arrays.append(array.reshape(-1))
                sizes.append(array.shape[:2])
        return torch.from_numpy(np.concatenate([np.zeros(0, np.uint8), *arrays])), sizes, failures

    def _decoded(self, i: int, name: str) -> np.ndarray:
        image = self.data.images.read(i)
        if self.side is None:
            return evaluation_view(image, self.preprocessing, name=name).permute(1, 2, 0).numpy()
        return Picture(image, name).pixels(self.preprocessing.channels, target=(self.side, self.side))

    def needed(self) -> int:
        """About how many bytes all images take."""
        sample = np.unique(np.linspace(0, len(self) - 1, min(len(self), _SAMPLE)).astype(int)).tolist()
        return sum(len(self[i, i + 1][0]) for i in sample) * len(self) // max(1, len(sample))

    def key(self) -> str:
        """A short text that changes when the file of pixels would."""
        kept = asdict(self.preprocessing) if self.side is None else {"side": self.side}
        about = {
            "format": _FORMAT,
            "ids": self.data.ids.tolist(),
            "images": self.data.images.fingerprint(),
            "kept": kept | {"mean": None, "std": None, "channels": self.preprocessing.channels},
        }
        return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:32]


def _in_memory(pixels: _Pixels, workers: int, progress: bool) -> tuple[np.ndarray, np.ndarray, Failures]:
    words = _room(pixels, "memory", os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    buffer = io.BytesIO()
    sizes, failures = _write(pixels, buffer, workers, words if progress else None)
    return np.frombuffer(buffer.getbuffer(), np.uint8), sizes, failures


def _on_disk(pixels: _Pixels, workers: int, progress: bool) -> tuple[Path, np.ndarray, Failures]:
    """The index, written last, holds sizes and failures; the file of pixels counts only beside it."""
    path = cache_folder() / "decoded" / f"{pixels.key()}.pixels"
    index = path.with_suffix(".json")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with alone(path.with_suffix(".lock"), "which decodes the same images"):
            if not (path.is_file() and index.is_file()) or _readable_now(pixels, index):
                for left in path.parent.glob(f".{path.name}.*"):
                    left.unlink()  # of a process that was killed: whoever is alive holds the lock
                words = _room(pixels, f"disk in {path.parent}", shutil.disk_usage(path.parent).free)
                with replacing(path) as temporary, open(temporary, "wb") as file:
                    sizes, failures = _write(pixels, file, workers, words if progress else None)
                write_text(index, json.dumps({"sizes": sizes.tolist(), "failures": failures}))
    except OSError as error:
        raise InputError(
            f"decoded images cannot be kept in {path.parent}: {error.strerror or error}; set $HOROSPHERE_CACHE to another "
            "folder, or data.decoded to memory or no"
        ) from error
    content = json.loads(index.read_text(encoding="utf-8"))
    return path, np.array(content["sizes"], np.int64), [(name, reason) for name, reason in content["failures"]]


def _readable_now(pixels: _Pixels, index: Path) -> bool:
    """Whether an image that could not be read when the file was written can be read now."""
    failed = {name for name, _ in json.loads(index.read_text(encoding="utf-8"))["failures"]}
    return any(not pixels[i, i + 1][2] for i, name in enumerate(pixels.data.ids.tolist()) if str(name) in failed)


def _write(pixels: _Pixels, file: BinaryIO, workers: int, progress: str | None) -> tuple[np.ndarray, Failures]:
    """Write all pixels in order; sizes int64 (n, 2) and failures. `progress` names a bar."""
    tasks = ((first, min(first + _TASK, len(pixels))) for first in range(0, len(pixels), _TASK))
    sizes, failures = [], []
    with tqdm(total=len(pixels), desc=progress, unit="img", disable=progress is None, dynamic_ncols=True) as bar:
        for part, part_sizes, failed in prepared(pixels, tasks, workers):
            file.write(part.numpy().data)
            sizes += part_sizes
            failures += failed
            bar.update(len(part_sizes))
    if len(failures) == len(pixels):
        raise InputError(
            f"none of the {len(pixels)} images of {pixels.data.name} can be read, first {': '.join(failures[0])}"
        )
    return np.array(sizes, np.int64).reshape(-1, 2), failures


def _room(pixels: _Pixels, where: str, there: int) -> str:
    """What is decoded and how much room it takes, in words. Raises InputError where there is less."""
    needed, name = pixels.needed(), pixels.data.name
    if needed > there:
        raise InputError(
            f"the {len(pixels):,} images of {name} take about {needed / 1e9:,.1f} GB decoded, but there is "
            f"{there / 1e9:,.1f} GB of {where}: set data.decoded to no, or to disk with $HOROSPHERE_CACHE on a larger disk"
        )
    return f"decoding {name}, about {needed / 1e6:,.0f} MB of {where}"
