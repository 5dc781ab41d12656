"""`horosphere serve`: a collection opened, its model warmed, and the page served until it is stopped."""

import errno
import os
import secrets
import signal
import socket
import threading
import webbrowser
from contextlib import ExitStack

import torch
import uvicorn

from ..collection import Collection
from ..config import ServeConfig
from ..errors import InputError
from ..index import read_token
from .app import Page
from .connections import Connection
from .limits import Limits
from .safety import LOOPBACK

#: Seconds that running requests get to finish once the server is told to stop.
_GRACE = 5
_SHORTEST_TOKEN = 16
#: Connections that wait to be taken.
_BACKLOG = 512


def serve(config: ServeConfig) -> None:
    """Serve until Ctrl-C or SIGTERM; then finish what runs, and return.

    Raises:
        InputError: for a folder that is no collection, a token that is too short, and an address that cannot be had.
    """
    token = _token(config)
    with ExitStack() as stack:
        listening = stack.enter_context(_listen(config.host, config.port))
        print(f"opening {config.index} …", flush=True)
        milvus = read_token(config.milvus_token_file)
        collection = stack.enter_context(Collection.open(config.index, device=config.device, token=milvus))
        if collection.takes_images:
            print("warming its model …", flush=True)
            _warm(collection)
        _ = collection.radii  # measured here where they were not yet, and not by the first to search
        limits = Limits(bytes=config.max_megabytes * 2**20, pixels=config.max_megapixels * 10**6)
        page = Page(collection, token=token, hosts=LOOPBACK | {config.host} if config.on_loopback else None, limits=limits)
        server = _Server(page, config.log)
        host, port = listening.getsockname()[:2]
        print(_banner(collection, config, host, port, token), flush=True)
        if config.open:
            threading.Timer(0.5, webbrowser.open, [_address(host, port, token)]).start()
        server.serve_on(listening)
        laid = page.api.disk.close(_GRACE)
    print("stopped", flush=True)
    if not laid:
        # A thread that is still in torch would abort the interpreter as it ends; it has written nothing.
        os._exit(0)


class _Server(uvicorn.Server):
    """uvicorn's, whose streams end when it is told to stop."""

    def __init__(self, page: Page, log: bool):
        super().__init__(
            uvicorn.Config(
                page,
                http=Connection,
                ws="none",
                lifespan="on",
                access_log=log,
                log_level="info" if log else "warning",
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=_GRACE,
            )
        )
        self._page = page

    def handle_exit(self, sig, frame) -> None:
        self._page.api.disk.stop()
        super().handle_exit(sig, frame)

    def serve_on(self, listening: socket.socket) -> None:
        """Run until a signal, which ends here: uvicorn would raise it again once it has stopped."""
        before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            self.run(sockets=[listening])
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _warm(collection: Collection) -> None:
    """Load the model and run it once, so that the first image does not wait."""
    preprocessing = collection.model.preprocessing
    assert preprocessing is not None
    side = preprocessing.size
    collection.embed(torch.zeros(1, preprocessing.channels, side, side, dtype=torch.uint8))


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises InputError where the address cannot be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # With its protocol named: asyncio turns Nagle's algorithm off only then, and with it on an answer waits for 40 ms.
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(_BACKLOG)
        except OSError:
            listening.close()
            raise
        return listening
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise InputError(
                f"port {port} on {host} is taken, perhaps by another `horosphere serve`; stop that, or give another --port "
                "(0 takes any that is free)"
            ) from None
        raise InputError(f"cannot listen on {host}, port {port}: {error.strerror}; give another --host or --port") from None


def _token(config: ServeConfig) -> str | None:
    if config.token_file is None:
        return None if config.on_loopback else secrets.token_urlsafe(32)
    try:
        token = config.token_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the token in {config.token_file}: {error}; give a text file") from None
    if len(token) < _SHORTEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise InputError(
            f"the token in {config.token_file} is no word of {_SHORTEST_TOKEN} or more plain characters; "
            "`openssl rand -hex 32` makes a good one"
        )
    return token


def _address(host: str, port: int, token: str | None) -> str:
    name = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{name}:{port}/" + (f"#token={token}" if token else "")


def _banner(collection: Collection, config: ServeConfig, host: str, port: int, token: str | None) -> str:
    lines = [f"\n{_address(host, port, token)}", f"serving {len(collection):,} items of {collection.name}"]
    if token and not config.on_loopback:
        lines.append("for everyone who has this address with its token; the connection is not encrypted")
    return "\n".join([*lines, "Ctrl-C stops it"])
