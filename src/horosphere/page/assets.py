"""The page's own files, read once from the package: nothing that a request names is ever looked up on the disk."""

import gzip
import hashlib
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

from starlette.requests import Request
from starlette.responses import Response

from .bodies import refuse

_TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "png": "image/png",
    "svg": "image/svg+xml",
}


@dataclass(frozen=True)
class Asset:
    """A file as it is sent."""

    content: bytes
    compressed: bytes
    kind: str
    etag: str


def read_assets() -> dict[str, Asset]:
    """Every file below static/ of a known type, by its name there, such as "disk/view.js"."""
    return dict(_walk(files("horosphere.page") / "static", ""))


def _walk(folder: Traversable, prefix: str):
    for entry in folder.iterdir():
        suffix = entry.name.rpartition(".")[2]
        if entry.is_dir():
            yield from _walk(entry, f"{prefix}{entry.name}/")
        elif suffix in _TYPES:
            content = entry.read_bytes()
            etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
            yield prefix + entry.name, Asset(content, gzip.compress(content, mtime=0), _TYPES[suffix], etag)


def answer(asset: Asset | None, request: Request) -> Response:
    """The file, compressed where the browser takes that, or 304 where it has it already."""
    if asset is None:
        refuse(404, "there is no such file")
    headers = {"ETag": asset.etag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding", "Content-Type": asset.kind}
    if asset.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(asset.compressed, headers=headers | {"Content-Encoding": "gzip"})
    return Response(asset.content, headers=headers)
