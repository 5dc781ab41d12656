"""SQLite files: how they are opened, in folders that can be written and in those that cannot."""

import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

from .errors import InputError


def connected(path: Path | None) -> sqlite3.Connection:
    """A connection to the database `path`, which is there, or to a new one in memory."""
    if path is None:
        return sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
    if writable(path):
        return _opened(path, "mode=rw")
    if not _log(path).exists():
        # Nobody is writing, so no other file is needed beside it, nor may one be left there.
        return _opened(path, "mode=ro&immutable=1")
    # Whoever writes, or was stopped while writing, has left a log, which counts.
    connection = _opened(path, "mode=ro")
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        connection.close()
        if unfinished(path):
            raise InputError(
                f"{path} was being written when its process ended, and its folder is read-only; load it where it can be "
                "written"
            ) from None
        return _opened(path, "mode=ro&immutable=1")
    except sqlite3.DatabaseError:
        pass  # no database at all, which whoever reads it will say
    return connection


def _opened(path: Path, how: str) -> sqlite3.Connection:
    name = f"file:{quote(str(path.absolute()))}?{how}"
    try:
        return sqlite3.connect(name, uri=True, check_same_thread=False, isolation_level=None)
    except sqlite3.Error as error:
        raise InputError(f"cannot open {path}: {error}") from None


def writable(path: Path) -> bool:
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)


def unfinished(path: Path) -> bool:
    """Whether something was committed that is not in the file itself yet."""
    log = _log(path)
    return log.is_file() and log.stat().st_size > 0


def without_logs(path: Path) -> Path:
    """Remove what a former database of this name has left beside it: SQLite would take it for the new one's."""
    for end in ("-wal", "-shm", "-journal"):
        path.with_name(path.name + end).unlink(missing_ok=True)
    return path


def _log(path: Path) -> Path:
    return path.with_name(path.name + "-wal")
