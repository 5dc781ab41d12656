"""The index in a folder, whatever its engine."""

import json
import os
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..files import write_text
from ..spaces import Space
from .embedded import Index
from .interface import SearchIndex

#: In the folder of an index that is on a server: where it is there.
ENGINE = "engine.json"
TOKEN = "HOROSPHERE_MILVUS_TOKEN"


def open_index(folder: str | Path, *, token: str = "") -> SearchIndex:
    """The index that `folder` holds, or that is on the server that engine.json names, which may ask for a `token`.

    Raises InputError where there is none that can be read, or the server is not there.
    """
    folder = Path(folder)
    if not (folder / ENGINE).is_file():
        return Index.load(folder)
    from .milvus import MilvusIndex

    where = server_of(folder)
    return MilvusIndex.connect(where["uri"], where["name"], token=token)


def create_on_server(
    folder: str | Path, uri: str, name: str, space: Space, dim: int, *, token: str = "", **options: Any
) -> SearchIndex:
    """A new index of points of `dim` columns on a Milvus server, which engine.json in `folder` names from now on.

    `options` are those of `MilvusIndex.create`. A kill on the way leaves a folder for which the same call goes on.

    Raises InputError where the server is not there, or has a collection of this name that is not this folder's.
    """
    from .milvus import MilvusIndex

    path = Path(folder) / ENGINE
    began = path.is_file()
    if began:
        try:
            return MilvusIndex.connect(uri, name, token=token)
        except InputError:
            pass  # a kill came before the server had it; what else is wrong `create` tells
    else:
        write_text(path, json.dumps({"engine": "milvus", "uri": uri, "name": name}, indent=2) + "\n")
    try:
        return MilvusIndex.create(uri, name, space, dim, token=token, **options)
    except InputError:
        if not began:
            path.unlink()
        raise


def server_of(folder: Path) -> dict[str, str]:
    """What engine.json says: engine, uri and name. Raises InputError where it is damaged."""
    path = folder / ENGINE
    try:
        where = json.loads(path.read_text(encoding="utf-8"))
        if where["engine"] == "milvus" and all(isinstance(where[key], str) for key in ("uri", "name")):
            return where
    except (ValueError, KeyError, TypeError):
        pass
    raise InputError(f'{path} is damaged; expected {{"engine": "milvus", "uri": ..., "name": ...}}')


def read_token(path: Path | None) -> str:
    """A server's token from a file, or else from $HOROSPHERE_MILVUS_TOKEN; "" where there is none."""
    if path is None:
        return os.environ.get(TOKEN, "")
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise InputError(f"--token-file {path} cannot be read: {error.strerror}") from None
