"""Ctrl-C that leaves a usable state."""

import signal
import threading


class Interrupt:
    """Ctrl-C as a request that the loop meets at the end of a step; a second one stops at once.

    A request that comes after the loop has met its last raises KeyboardInterrupt when the context ends, so that none is
    lost. `hint` says how to go on.
    """

    def __init__(self, hint: str):
        self.hint = hint

    def __enter__(self) -> "Interrupt":
        self.requested = False
        self._handler = None
        if threading.current_thread() is threading.main_thread():
            self._handler = signal.signal(signal.SIGINT, self._request)
        return self

    def _request(self, *_) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True

    def __exit__(self, kind, *_) -> None:
        if self._handler is not None:
            signal.signal(signal.SIGINT, self._handler)
        if kind is None and self.requested:
            raise KeyboardInterrupt(self.hint)
