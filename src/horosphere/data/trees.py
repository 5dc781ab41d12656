"""A tree of files that may be a folder or a zip read in place: what the layouts look into."""

import os
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from ..errors import InputError
from .sources import FileImages, ImageSource, ZipImages, open_zip

IMAGE_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".jfif")
)


class FolderTree:
    """A folder. Paths are relative, with forward slashes."""

    def __init__(self, root: Path):
        self.root = Path(root)

    def __str__(self) -> str:
        return str(self.root)

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.root.resolve().name

    def names(self) -> list[str]:
        """Names at the top level, sorted, without hidden ones."""
        return sorted(name for name in os.listdir(self.root) if _counts(name))

    def exists(self, path: str) -> bool:
        """Whether there is such a file or folder."""
        return (self.root / path).exists()

    def is_folder(self, path: str) -> bool:
        """Whether there is such a folder."""
        return (self.root / path).is_dir()

    def read(self, path: str) -> bytes:
        """A file's bytes."""
        return (self.root / path).read_bytes()

    def open(self, path: str) -> BinaryIO:
        """A file to read from, for those too large to hold."""
        return open(self.root / path, "rb")

    def files(self) -> list[str]:
        """All files below, sorted, without hidden ones."""
        found = []
        for folder, below, names in os.walk(self.root, followlinks=True):
            below[:] = filter(_counts, below)
            start = Path(folder).relative_to(self.root)
            found += [(start / name).as_posix() for name in names if _counts(name)]
        return sorted(found)

    def sub(self, name: str) -> "FolderTree":
        """The tree below this folder."""
        return FolderTree(self.root / name)

    def missing(self, paths: Iterable[str]) -> list[str]:
        """Those of `paths` that are not there. Each folder is listed once, which is quick for 100,000 files."""
        listed: dict[str, frozenset[str]] = {}
        absent = []
        for path in paths:
            folder, name = os.path.split(path)
            if folder not in listed:
                try:
                    listed[folder] = frozenset(os.listdir(self.root / folder))
                except OSError:
                    listed[folder] = frozenset()
            if name not in listed[folder]:
                absent.append(path)
        return absent

    def images(self, paths: Sequence[str]) -> ImageSource:
        """A source of these images."""
        return FileImages(self.root, paths)


class ZipTree:
    """A zip, or a folder in it. Same methods as FolderTree."""

    def __init__(self, path: Path, prefix: str = "", members: frozenset[str] | None = None):
        self.path = Path(path)
        self.prefix = prefix
        if members is None:
            with zipfile.ZipFile(path) as archive:
                members = frozenset(name for name in archive.namelist() if not name.endswith("/"))
        self._members = members
        self._files = sorted(
            name[len(prefix) :]
            for name in members
            if name.startswith(prefix) and all(map(_counts, name[len(prefix) :].split("/")))
        )
        self._folders = {str(parent) for name in self._files for parent in PurePosixPath(name).parents}

    def __str__(self) -> str:
        return f"{self.path}:{self.prefix}" if self.prefix else str(self.path)

    @property
    def name(self) -> str:
        """The name of the zip without its suffix, or of the folder in it."""
        return PurePosixPath(self.prefix).name or self.path.stem

    def names(self) -> list[str]:
        """Names at the top level, sorted, without hidden ones."""
        return sorted({name.split("/", 1)[0] for name in self._files})

    def exists(self, path: str) -> bool:
        """Whether there is such a file or folder."""
        return self.prefix + path in self._members or path in self._folders

    def is_folder(self, path: str) -> bool:
        """Whether there is such a folder."""
        return path in self._folders

    def read(self, path: str) -> bytes:
        """A file's bytes."""
        return open_zip(self.path).read(self.prefix + path)

    def open(self, path: str) -> BinaryIO:
        """A file to read from, for those too large to hold."""
        return cast(BinaryIO, open_zip(self.path).open(self.prefix + path))

    def files(self) -> list[str]:
        """All files below, sorted, without hidden ones."""
        return list(self._files)

    def sub(self, name: str) -> "ZipTree":
        """The tree below this folder."""
        return ZipTree(self.path, f"{self.prefix}{name}/", self._members)

    def missing(self, paths: Iterable[str]) -> list[str]:
        """Those of `paths` that are not there."""
        return [path for path in paths if self.prefix + path not in self._members]

    def images(self, paths: Sequence[str]) -> ImageSource:
        """A source of these images, read in place."""
        return ZipImages(self.path, [self.prefix + path for path in paths])


Tree = FolderTree | ZipTree


def open_tree(root: str | Path) -> Tree:
    """The tree at `root`, a folder or a zip. Raises InputError."""
    path = Path(root).expanduser()
    if path.is_dir():
        return FolderTree(path)
    if not path.exists():
        raise InputError(f"{path} does not exist; expected a folder or a zip of images. Check the path.")
    if zipfile.is_zipfile(path):
        return ZipTree(path)
    raise InputError(f"{path} is neither a folder nor a zip; unpack other archives and give the folder.")


def is_image(path: str) -> bool:
    """Whether the suffix is an image's."""
    return os.path.splitext(path)[1].lower() in IMAGE_SUFFIXES


def first_few(names: Sequence[str], few: int = 5) -> str:
    """A list for a message: the first few names, and how many more."""
    more = f" and {len(names) - few} more" if len(names) > few else ""
    return (", ".join(map(str, names[:few])) or "nothing") + more


def _counts(name: str) -> bool:
    # Hidden files and the folder macOS adds to zips are nobody's images.
    return not name.startswith(".") and name != "__MACOSX"
