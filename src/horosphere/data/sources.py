"""Where images come from: files in a folder, members of a zip, rows of an array. All pickle, so workers may be
spawned."""

import os
import struct
import zipfile
import zlib
from collections.abc import Sequence
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


class ZipImages:
    """Members of a zip, read in place.

    Only the members' offsets are kept: a read opens the file, seeks and inflates. So nothing is shared between threads
    or processes, a worker need not parse the zip's directory again, and a read costs less than `zipfile`'s.
    """

    def __init__(self, path: str | Path, members: Sequence[str]):
        self.path = str(path)
        self.members = tuple(members)
        with zipfile.ZipFile(path) as archive:
            known = {info.filename: info for info in archive.infolist()}
        absent = [member for member in self.members if member not in known]
        if absent:
            raise InputError(f"{path} has no member {absent[0]!r}; list its members with `unzip -l`.")
        infos = [known[member] for member in self.members]
        odd = [
            i.filename for i in infos if i.flag_bits & 1 or i.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
        ]
        if odd:
            raise InputError(
                f"{path}: {len(odd)} members are encrypted or compressed by another method than deflate, first "
                f"{odd[0]!r}; unpack the zip and give the folder, or pack it again."
            )
        # Columns: where the member's header begins, its compressed and full size in bytes, CRC-32, deflated or stored.
        self._entries = np.array(
            [(i.header_offset, i.compress_size, i.file_size, i.CRC, i.compress_type != 0) for i in infos],
            dtype=np.int64,
        ).reshape(-1, 5)

    def __len__(self) -> int:
        return len(self.members)

    def name(self, i: int) -> str:
        """The member's path inside the zip."""
        return self.members[i]

    def read(self, i: int) -> bytes:
        """The member's bytes, checked against its CRC."""
        offset, compressed, size, crc, deflated = self._entries[i].tolist()
        try:
            with open(self.path, "rb", buffering=0) as file:
                file.seek(offset)
                header = file.read(30)
                # The local header's name and extra field may differ in length from the central directory's.
                name_length, extra_length = struct.unpack("<HH", header[26:30])
                file.seek(name_length + extra_length, os.SEEK_CUR)
                data = file.read(compressed)
            if deflated:
                data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, max(size, 1))
        except (OSError, struct.error, zlib.error) as error:
            raise UnreadableImage(self.members[i], f"damaged zip member: {error}") from error
        if len(data) != size or zlib.crc32(data) != crc:
            raise UnreadableImage(self.members[i], "damaged zip member: its bytes do not match its checksum")
        return data

    def take(self, indices: Sequence[int]) -> "ZipImages":
        """The members at these positions."""
        taken = object.__new__(ZipImages)
        taken.path = self.path
        taken.members = tuple(self.members[i] for i in indices)
        taken._entries = self._entries[np.asarray(indices, dtype=np.int64)]
        return taken


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
