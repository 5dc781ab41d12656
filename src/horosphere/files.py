"""Files that are whole or not there: written to a temporary name beside the target, then renamed; and the cache folder."""

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Generator[Path]:
    """A temporary path to write to; on leaving it takes the place of `path`, and after an error it is gone."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file, all of it or nothing."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def from_root(path: str | None) -> str | None:
    """The path from the root, so that it holds in another folder too; None stays None."""
    return None if path is None else str(Path(path).expanduser().resolve())


@contextmanager
def alone(path: Path, other: str) -> Generator[None]:
    """Hold a lock that ends with its process; where it takes waiting, say that it is for the `other` process."""
    from filelock import FileLock, Timeout  # a tenth of the command line's start

    lock = FileLock(path)
    try:
        held = lock.acquire(timeout=0)
    except Timeout:
        print(f"waiting for another process, {other}", file=sys.stderr)
        held = lock.acquire()
    with held:
        yield


def cache_folder() -> Path:
    """Where what can be computed again is kept: $HOROSPHERE_CACHE, or horosphere/ in the user's cache folder."""
    if own := os.environ.get("HOROSPHERE_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "horosphere"
