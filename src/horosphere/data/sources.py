"""Where images come from: files in a folder, members of a zip, rows of an array. All pickle, so workers may be
spawned."""

import hashlib
import os
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np

from ..errors import InputError
from .decoding import UnreadableImage


class ImageSource(Protocol):
    """n images by position: encoded bytes, or uint8 arrays (H, W) or (H, W, C)."""

    def __len__(self) -> int: ...

    def name(self, i: int) -> str:
        """A stable name: a relative path, or a row number."""
        ...

    def read(self, i: int) -> bytes | np.ndarray:
        """Encoded bytes or a uint8 array. Raises UnreadableImage where the bytes cannot be had."""
        ...

    def take(self, indices: Sequence[int]) -> "ImageSource":
        """The images at these positions."""
        ...

    def fingerprint(self) -> str:
        """A short text that changes when the images do, without decoding them."""
        ...


class FileImages:
    """Image files: `paths` are relative to `root`, with forward slashes."""

    def __init__(self, root: str | Path, paths: Sequence[str]):
        self.root = str(root)
        self.paths = tuple(paths)

    def __len__(self) -> int:
        return len(self.paths)

    def name(self, i: int) -> str:
        """The path relative to the root."""
        return self.paths[i]

    def read(self, i: int) -> bytes:
        """The file's bytes."""
        try:
            with open(os.path.join(self.root, self.paths[i]), "rb") as file:
                return file.read()
        except OSError as error:
            raise UnreadableImage(self.paths[i], error.strerror or str(error)) from error

    def take(self, indices: Sequence[int]) -> "FileImages":
        """The files at these positions."""
        return FileImages(self.root, [self.paths[i] for i in indices])

    def fingerprint(self) -> str:
        """Changes when a file's size or time of change does."""

        def lines():
            for path in self.paths:
                try:
                    stat = os.stat(os.path.join(self.root, path))
                    yield f"{path} {stat.st_size} {stat.st_mtime_ns}"
                except OSError:
                    yield f"{path} missing"

        return _digest(lines())


class ZipImages:
    """Members of a zip, read in place. Each process opens the zip once for itself."""

    def __init__(self, path: str | Path, members: Sequence[str]):
        self.path = str(path)
        self.members = tuple(members)
        self._stamp = os.stat(self.path).st_mtime_ns
        known = self._archive().NameToInfo
        absent = [member for member in self.members if member not in known]
        if absent:
            raise InputError(f"{path} has no member {absent[0]!r}; list its members with `unzip -l`.")

    def _archive(self) -> zipfile.ZipFile:
        return _open_zip(self.path, self._stamp, os.getpid())

    def __len__(self) -> int:
        return len(self.members)

    def name(self, i: int) -> str:
        """The member's path inside the zip."""
        return self.members[i]

    def read(self, i: int) -> bytes:
        """The member's bytes, checked against its CRC."""
        try:
            return self._archive().read(self.members[i])
        # zipfile raises RuntimeError for an encrypted member, NotImplementedError for an unknown compression.
        except (OSError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
            raise UnreadableImage(self.members[i], f"damaged zip member: {error}") from error

    def take(self, indices: Sequence[int]) -> "ZipImages":
        """The members at these positions."""
        return ZipImages(self.path, [self.members[i] for i in indices])

    def fingerprint(self) -> str:
        """Changes when the zip's members do."""
        known = self._archive().NameToInfo
        return _digest(f"{member} {known[member].CRC} {known[member].file_size}" for member in self.members)


def open_zip(path: str | Path) -> zipfile.ZipFile:
    """The zip, opened once for each process: a forked worker that shared its parent's handle would share its place."""
    return _open_zip(str(path), os.stat(path).st_mtime_ns, os.getpid())


@lru_cache(maxsize=8)
def _open_zip(path: str, stamp: int, process: int) -> zipfile.ZipFile:
    """The zip at `path` as it was at time `stamp`, for one process."""
    return zipfile.ZipFile(path)


class ArrayImages:
    """Images held in memory: uint8, (n, H, W) or (n, H, W, C). `names` default to row numbers."""

    def __init__(self, array: np.ndarray, names: Sequence[str] | None = None):
        if array.dtype != np.uint8 or array.ndim not in (3, 4):
            raise InputError(
                f"Images of {array.dtype} and shape {array.shape}; expected uint8 of shape (n, H, W) or (n, H, W, C). "
                "Scale the values to 0..255 and convert."
            )
        self.array = array
        self.names = tuple(names) if names is not None else tuple(map(str, range(len(array))))

    def __len__(self) -> int:
        return len(self.array)

    def name(self, i: int) -> str:
        """The image's name, or its row number in the original array."""
        return self.names[i]

    def read(self, i: int) -> np.ndarray:
        """(H, W) or (H, W, C), uint8."""
        return self.array[i]

    def take(self, indices: Sequence[int]) -> "ArrayImages":
        """The rows at these positions (copied)."""
        return ArrayImages(self.array[np.asarray(indices, dtype=np.int64)], [self.names[i] for i in indices])

    def fingerprint(self) -> str:
        """Changes when the pixels do."""
        return hashlib.sha256(np.ascontiguousarray(self.array).data).hexdigest()


def _digest(lines: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for line in lines:
        digest.update(line.encode() + b"\n")
    return digest.hexdigest()
