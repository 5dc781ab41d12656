"""Work off the event loop, bounded: a few threads, a short queue before them, and an honest no beyond it."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from .bodies import refuse


class Room:
    """A count of what is under way, with a most."""

    def __init__(self, most: int):
        self.most, self.taken = most, 0

    @contextmanager
    def place(self):
        """Take a place for as long as the block runs; without a free one the request is refused with 429."""
        if self.taken >= self.most:
            refuse(429, "the server has as much work as it takes; try again in a second", **{"Retry-After": "1"})
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1


class Pool:
    """Threads that run calls, at most `most` of them running or waiting."""

    def __init__(self, name: str, threads: int, most: int, seconds: float):
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._room, self._seconds = Room(most), seconds

    async def run(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """What the call returns. Refuses with 429 where all places are taken, with 503 where it takes too long."""
        with self._room.place():
            return await within(self._seconds, asyncio.get_running_loop().run_in_executor(self._threads, call, *arguments))

    def close(self) -> None:
        """Let what runs finish, and drop what waits."""
        self._threads.shutdown(cancel_futures=True)


class Batcher:
    """One thread that runs `call` on all things that wait, up to `batch` at a time, in order of arrival."""

    def __init__(self, name: str, call: Callable[[Sequence], Sequence], batch: int, seconds: float):
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._call, self._batch, self._seconds = call, batch, seconds
        self._waiting: deque[tuple[Any, asyncio.Future]] = deque()
        self._task: asyncio.Task | None = None

    async def run(self, thing: Any) -> Any:
        """What `call` returns for this thing. Raises what it raises; refuses with 503 where it takes too long."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((thing, future))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._drain())
        return await within(self._seconds, future)

    async def _drain(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(self._batch, len(self._waiting)))]
            batch = [(thing, future) for thing, future in batch if not future.done()]
            if not batch:
                continue
            try:
                things = [thing for thing, _ in batch]
                results = await asyncio.get_running_loop().run_in_executor(self._thread, self._call, things)
            except Exception as error:
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
            else:
                for (_, future), result in zip(batch, results, strict=True):
                    if not future.done():
                        future.set_result(result)

    def close(self) -> None:
        """Let what runs finish."""
        self._thread.shutdown(cancel_futures=True)


async def within(seconds: float, future: asyncio.Future) -> Any:
    """What comes of `future`, or 503 where it takes longer."""
    try:
        async with asyncio.timeout(seconds):
            return await future
    except TimeoutError:
        refuse(503, f"no answer within {seconds:g} seconds; try again later", **{"Retry-After": "5"})
