"""The API: what each address answers. `openapi.yaml` is its description."""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any

import yaml
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from ..collection import Collection
from ..collection.disk import CollectionDisk
from . import about
from .bodies import check_keys, check_text, read_bytes, read_json, refuse, whole_number
from .disk import SharedDisk
from .images import Embedding
from .limits import Limits
from .safety import Session
from .search import Query, check_item, confuse, own_class, read_query, search
from .workers import Pool, Room

_SPECIFICATION = yaml.safe_load((files("horosphere.page") / "openapi.yaml").read_text(encoding="utf-8"))


class Api:
    """The handlers of one collection, and the threads that they work in."""

    def __init__(self, collection: Collection, limits: Limits, session: Session | None):
        self.collection, self.limits, self.session = collection, limits, session
        self.disk = SharedDisk(collection)
        self._searches = Pool("search", min(4, os.cpu_count() or 1), limits.searches, limits.answer)
        # Thumbnails come by the dozen, from pages that cannot ask again.
        self._reads = Pool("read", 2, limits.connections, limits.answer)
        self._receiving = Room(limits.images)
        self._embedding = Embedding(collection, limits)
        self.routes = [
            Route("/api/health", self.health),
            Route("/api/openapi.json", self.specification),
            Route("/api/session", self.open_session, methods=["POST"]),
            Route("/api/collection", self.describe),
            Route("/api/queries", self.embed, methods=["POST"]),
            Route("/api/search", self.search, methods=["POST"]),
            Route("/api/confusions", self.confuse, methods=["POST"]),
            Route("/api/items", self.items),
            Route("/thumbnails", self.thumbnail),
            Route("/api/disk", self.lay_out),
            Route("/api/disk/points", self.disk_points),
            Route("/api/disk/items", self.disk_items),
        ]

    @asynccontextmanager
    async def lifespan(self, _: Any) -> AsyncGenerator[None]:
        """Ends with the threads: what runs is finished first."""
        yield
        self.disk.stop()
        self._embedding.close()
        self._searches.close()
        self._reads.close()

    async def health(self, _: Request) -> Response:
        return JSONResponse({"status": "ok", "items": len(self.collection)})

    async def specification(self, _: Request) -> Response:
        return JSONResponse(_SPECIFICATION)

    async def open_session(self, request: Request) -> Response:
        body = check_keys(await read_json(request, self.limits), "the body", {"token"})
        if self.session is None:
            return JSONResponse({"ok": True})
        if not isinstance(body["token"], str) or not self.session.is_token(body["token"]):
            refuse(401, "the token is not this server's; copy it from the address that the server printed")
        return JSONResponse({"ok": True}, headers={"Set-Cookie": self.session.cookie(request.scope)})

    async def describe(self, _: Request) -> Response:
        return JSONResponse(await self._reads.run(about.describe, self.collection, self.limits))

    async def embed(self, request: Request) -> Response:
        if not self.collection.takes_images:
            refuse(422, "this collection's run was trained on features, so it takes no images; search from an item")
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if not kind.startswith("image/") and kind != "application/octet-stream":
            refuse(415, "the body is not declared as an image; send its bytes with Content-Type: image/jpeg, say")
        with self._receiving.place():
            data = await read_bytes(request, self.limits.bytes, self.limits.arrival)
            return JSONResponse(await self._embedding.run(data))

    async def search(self, request: Request) -> Response:
        body = check_keys(await read_json(request, self.limits), "the body", {"query"}, {"k", "weights", "where"})
        k, weights, where = self._k(body), self._weights(body), self._where(body)

        def answer() -> dict[str, Any]:
            query = read_query(self.collection, body["query"], self.limits)
            return search(self.collection, query, k, weights, where) | self._about_query(query)

        return JSONResponse(await self._searches.run(answer))

    async def confuse(self, request: Request) -> Response:
        body = check_keys(await read_json(request, self.limits), "the body", {"query"}, {"class", "k"})
        k, label = self._k(body), body.get("class")
        if label is not None and not isinstance(label, str):
            refuse(422, "class is no string; expected one of the classes, or null for the query's own")

        def answer() -> dict[str, Any]:
            query = read_query(self.collection, body["query"], self.limits)
            own = own_class(self.collection, body["query"]) if label is None else label
            return confuse(self.collection, query, own, k) | self._about_query(query)

        return JSONResponse(await self._searches.run(answer))

    async def items(self, request: Request) -> Response:
        given = request.query_params
        if ("id" in given) == ("like" in given):
            refuse(422, "expected either id=ID, for one item, or like=TEXT, for ids that contain it")
        if "id" in given:
            return JSONResponse(await self._reads.run(self._item, given["id"]))
        text, limit = given["like"], given.get("limit", "20")
        most = whole_number(int(limit) if limit.isdecimal() and len(limit) < 9 else limit, "limit", 1, 1000)
        return JSONResponse({"ids": await self._reads.run(about.ids_like, self.collection, text, most)})

    async def thumbnail(self, request: Request) -> Response:
        id = request.query_params.get("id", "")
        check_text(id)
        image = await self._reads.run(self.collection.thumbnail, id)
        if image is None:
            refuse(404, "there is no thumbnail of this id")
        return Response(image, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600"})

    async def lay_out(self, _: Request) -> Response:
        return StreamingResponse(self.disk.lines(), media_type="application/x-ndjson")

    async def disk_points(self, _: Request) -> Response:
        positions = self._laid_out().positions
        return Response(positions.astype("<f4").tobytes(), media_type="application/octet-stream")

    async def disk_items(self, _: Request) -> Response:
        self._laid_out()
        return Response(self.disk.items, media_type="application/json")

    def _laid_out(self) -> CollectionDisk:
        if self.disk.made is None:
            refuse(
                503, "the disk is not laid out yet; GET /api/disk makes it and says how far it is", **{"Retry-After": "5"}
            )
        return self.disk.made

    def _item(self, id: str) -> dict[str, Any]:
        check_text(id)
        check_item(self.collection, id)
        point = self.collection.index.points([id])[0]
        radius = about.radius(self.collection, point)
        return {
            "id": id,
            "metadata": self.collection.index.metadata([id])[0],
            "radius": radius,
            "disk": self.disk.place(point),
        }

    def _about_query(self, query: Query) -> dict[str, Any]:
        return {"radius": about.radius(self.collection, query.point), "disk": self.disk.place(query.point)}

    def _k(self, body: dict[str, Any]) -> int:
        return whole_number(body.get("k", 10), "k", 1, self.limits.k)

    def _weights(self, body: dict[str, Any]) -> list[float] | None:
        weights = body.get("weights")
        if weights is not None and (
            not isinstance(weights, list)
            or any(isinstance(weight, bool) or not isinstance(weight, int | float) for weight in weights)
            or not all(0 <= weight <= 1e6 for weight in weights)
        ):
            refuse(
                422, "weights is no list of numbers from 0 to 1,000,000; expected one a part, or null for the trained ones"
            )
        return weights

    def _where(self, body: dict[str, Any]) -> dict[str, Any] | None:
        where = body.get("where")
        if where is not None and not isinstance(where, dict):
            refuse(422, 'where is no object; expected one such as {"class": "cat"}, or null')
        if where and _leaves(where) > self.limits.conditions:
            refuse(422, f"where has more than {self.limits.conditions} values; ask for fewer")
        return where


def _leaves(value: Any) -> int:
    if isinstance(value, (dict, list)):
        return sum(map(_leaves, value.values() if isinstance(value, dict) else value))
    return 1
