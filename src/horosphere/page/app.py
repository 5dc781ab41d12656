"""The page and its API as one ASGI application."""

from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ..collection import Collection
from .api import Api
from .assets import answer, read_assets
from .limits import Limits
from .safety import Guard, Session

_PLAIN = {
    404: "there is nothing at this address; GET /api/openapi.json lists what there is",
    405: "this address takes no such method; GET /api/openapi.json lists what there is",
}


class Page:
    """An ASGI application over an open collection.

    Args:
        collection: what is searched; who made the page closes it.
        token: who has it may ask; None where everyone who reaches the server may.
        hosts: names that the Host header may have; None for any.
        limits: what a request may ask for.
    """

    def __init__(
        self,
        collection: Collection,
        *,
        token: str | None = None,
        hosts: frozenset[str] | None = None,
        limits: Limits | None = None,
    ):
        session = None if token is None else Session(token)
        self.api = Api(collection, limits or Limits(), session)
        self._assets = read_assets()
        routes = [Route("/", self._front), Route("/static/{name:path}", self._static), *self.api.routes]
        app = Starlette(
            routes=routes,
            exception_handlers={HTTPException: _refusal, Exception: _fault},
            lifespan=self.api.lifespan,
        )
        self._guard = Guard(app, session, hosts)
        self.routes = routes

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._guard(scope, receive, send)

    async def _front(self, request: Request) -> Response:
        return answer(self._assets.get("index.html"), request)

    async def _static(self, request: Request) -> Response:
        return answer(self._assets.get(request.path_params["name"]), request)


async def _refusal(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    # What the router refuses has no words of its own.
    told = _PLAIN.get(error.status_code) if error.detail in ("Not Found", "Method Not Allowed") else None
    return JSONResponse({"error": told or error.detail}, error.status_code, headers)


async def _fault(_: Request, __: Exception) -> Response:
    """Of a fault in the server, the error itself goes to the server's own output alone."""
    return JSONResponse({"error": "the server failed at this; its own output says why"}, 500)
