"""Connections, of which there are only so many: none is kept open by a client that does not finish what it began to send."""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol


class Connection(H11Protocol):
    """uvicorn's, closed where the client takes longer over a request's headers than over a body, `Limits.arrival` seconds.

    The first beyond `Limits.connections` and those after it are told so, in the words of `Guard`, and closed.
    """

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        limits = self.config.app.api.limits  # ty: ignore[missing-attribute]
        self._arrival = limits.arrival
        if len(self.connections) > limits.connections:
            self.app_state = self.app_state | {"full": True}
        self._expect()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is None or self.cycle.response_complete:
            self._expect()
        else:
            # What runs is bounded by itself.
            self._forget()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)

    def _expect(self) -> None:
        """From now on; what comes drop by drop does not begin anew."""
        if self._late is None:
            self._late = self.loop.call_later(self._arrival, self.transport.close)

    def _forget(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
