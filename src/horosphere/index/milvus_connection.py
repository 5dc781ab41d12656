"""A connection to a Milvus server: every request has a timeout, and every failure says what to do."""

import logging
import re
import socket
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from ..errors import InputError

#: What a server says while one of its services is not there: it has ended, starts, or was too busy to be taken for alive.
_AWAY = re.compile("no available|not available|not ready|unavailable", re.IGNORECASE)


class Connection:
    """Requests to a server.

    Args:
        uri, token: of the server.
        timeout: seconds for each request, and how long one is asked again while the server, or a service of its own, is not
            there. So a request must be one that may come twice.
    """

    def __init__(self, uri: str, *, token: str = "", timeout: float = 30.0):
        if not re.match(r"https?://\S|tcp://\S", uri):
            raise InputError(f"uri={uri!r}; expected the server's address, such as http://127.0.0.1:19530")
        try:
            from pymilvus import MilvusClient  # ty: ignore[import-not-found]
        except ImportError:
            raise InputError("the Milvus engine needs pymilvus: pip install 'horosphere[milvus]'") from None
        # What it would print is in the errors raised here.
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
        self.uri, self.timeout = uri, timeout
        with self._told("be connected to"):
            if not _listens(uri, timeout):
                raise ConnectionError("nothing listens at this address")
            self.client = MilvusClient(uri, token=token, timeout=timeout)

    def close(self) -> None:
        self.client.close()

    def ask(self, task: str, request: Callable[..., Any]) -> Any:
        """The answer to a request that takes a timeout; `task` says what it is for."""
        return self.again(task, partial(request, timeout=self.timeout))

    def again(self, task: str, request: Callable[[], Any]) -> Any:
        from pymilvus.exceptions import MilvusException  # ty: ignore[import-not-found]

        start = time.monotonic()
        with self._told(task):
            while True:
                try:
                    return request()
                except MilvusException as error:
                    if not _AWAY.search(str(error)) or time.monotonic() - start > self.timeout:
                        raise
                time.sleep(1)

    @contextmanager
    def _told(self, task: str) -> Generator[None]:
        """What goes wrong between here and the server becomes an InputError."""
        import grpc
        from pymilvus.exceptions import MilvusException  # ty: ignore[import-not-found]

        try:
            yield
        except (MilvusException, grpc.RpcError, OSError) as error:
            text = getattr(error, "message", "") or str(error)
            # To a wrong token a client says no more than that its parameters are illegal, and to a dead server the same.
            if _listens(self.uri, 1) and re.search("auth|illegal connection|token|password|permission", text, re.IGNORECASE):
                advice = (
                    "it does not answer as Milvus does to this token; give token='user:password' or an API key, if it asks"
                )
            elif re.search(
                "unavailable|connect|deadline|timeout|timed out|retry|closed|no available|not ready|not loaded",
                text,
                re.IGNORECASE,
            ):
                advice = (
                    f"no usable answer within {self.timeout:g} s; see that the server runs at this address and is healthy "
                    "(a restarted one takes up to a minute), then try again"
                )
            else:
                advice = "the server's log may say more"
            raise InputError(f"Milvus at {self.uri} could not {task}: {advice} ({text.strip()[:300]})") from None


def _listens(uri: str, timeout: float) -> bool:
    address = urlsplit(uri)
    try:
        port = address.port or (443 if address.scheme == "https" else 19530)
        socket.create_connection((address.hostname or "", port), timeout).close()
    except (OSError, ValueError):
        return False
    return True
