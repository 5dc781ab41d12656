"""Who may ask, and what every answer tells the browser."""

import asyncio
import hmac
import secrets
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Names under which a browser on this machine reaches a server on loopback.
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})

_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
#: What needs no token: the page itself, which has no data, and the way to give the token.
_OPEN = ("/", "/api/health", "/api/session")


class Session:
    """A token, and the cookie that stands for it until the server stops."""

    def __init__(self, token: str):
        self._token, self._value = token.encode(), secrets.token_urlsafe(32)

    def is_token(self, text: str) -> bool:
        """Compared in constant time."""
        return hmac.compare_digest(text.encode(errors="surrogateescape"), self._token)

    @staticmethod
    def cookie_name(scope: Scope) -> str:
        """With the port: cookies are shared by all servers of one host."""
        return f"horosphere-{(scope.get('server') or ('', 0))[1]}"

    def cookie(self, scope: Scope) -> str:
        """The Set-Cookie header."""
        return f"{self.cookie_name(scope)}={self._value}; Path=/; HttpOnly; SameSite=Strict"

    def admits(self, scope: Scope, headers: Headers) -> bool:
        """Whether a request has the token, or the cookie."""
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self.is_token(given.strip()):
            return True
        # As browsers do: of other servers' cookies on this host some may be no cookies by the standard.
        value = cookie_parser(headers.get("cookie", "")).get(self.cookie_name(scope), "")
        return hmac.compare_digest(value.encode(), self._value.encode())


class Guard:
    """The first to see a request and the last to see its answer.

    Args:
        app: what answers.
        session: who has its token or cookie may ask; None where everyone on this machine may.
        hosts: names that the Host header may have, so that no other site's name can be made to point here (DNS
            rebinding); None for any.
    """

    def __init__(self, app: ASGIApp, session: Session | None, hosts: frozenset[str] | None):
        self.app, self.session, self.hosts = app, session, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        started = False

        async def send_guarded(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        refusal = self._refusal(scope, Headers(scope=scope))
        try:
            await (refusal or self.app)(scope, receive, send_guarded)
        except asyncio.CancelledError:
            # Only a server that stops cancels.
            if started:
                raise
            await _turned_away("the server is stopping; ask again once it is back")(scope, receive, send_guarded)

    def _refusal(self, scope: Scope, headers: Headers) -> JSONResponse | None:
        if scope.get("state", {}).get("full"):
            return _turned_away("the server has as many connections as it takes; try again in a second")
        host = headers.get("host", "")
        if self.hosts is not None and _name(host) not in self.hosts:
            known = ", ".join(sorted(self.hosts))
            return JSONResponse({"error": f"the Host header names another server; expected one of {known}"}, 400)
        origin = headers.get("origin")
        if scope["method"] not in ("GET", "HEAD") and origin is not None and _netloc(origin) != host.lower():
            return JSONResponse({"error": "a page of another site may not ask this; open the server's own page"}, 403)
        is_open = scope["path"] in _OPEN or scope["path"].startswith("/static/")
        if self.session is not None and not is_open and not self.session.admits(scope, headers):
            error = "this server asks for its token; send Authorization: Bearer TOKEN, or open the address that it printed"
            return JSONResponse({"error": error}, 401, headers={"WWW-Authenticate": "Bearer"})
        return None


def _turned_away(error: str) -> JSONResponse:
    return JSONResponse({"error": error}, 503, headers={"Retry-After": "1", "Connection": "close"})


def _name(host: str) -> str | None:
    """The name in a Host header, without port."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def _netloc(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None
