"""The files in an index's folder, and who may write them."""

from pathlib import Path

from filelock import FileLock, Timeout

from ..errors import InputError

DATABASE, GRAPH = "items.sqlite", "graph.faiss"
_LOCK = ".items.lock"


def locked(folder: Path) -> FileLock:
    """A lock of the folder's one writer, which ends with its process. What a killed one was writing is removed."""
    lock = FileLock(folder / _LOCK, thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(
            f"another process is writing to {folder}, and only one may; wait until it closes its index or ends"
        ) from None
    except OSError as error:
        raise InputError(f"cannot write to {folder}: {error.strerror}; copy the index to another folder") from None
    for unfinished in folder.glob(f".{GRAPH}.*"):
        unfinished.unlink(missing_ok=True)
    return lock
