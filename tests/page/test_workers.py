"""Bounded work: what waits, what is refused, what goes together."""

import asyncio
import threading

import pytest
from starlette.exceptions import HTTPException

from horosphere.page.workers import Batcher, Pool


def test_beyond_its_places_a_pool_refuses_and_then_takes_more():
    async def main():
        pool, go = Pool("test", 1, 3, 10.0), threading.Event()
        running = [asyncio.create_task(pool.run(lambda i=i: go.wait(10) and i)) for i in range(3)]
        await asyncio.sleep(0.05)
        for _ in range(2):
            with pytest.raises(HTTPException) as refused:
                await pool.run(lambda: None)
            assert refused.value.status_code == 429 and refused.value.headers["Retry-After"] == "1"
        go.set()
        assert await asyncio.gather(*running) == [0, 1, 2]
        assert await pool.run(lambda: "more") == "more"
        pool.close()

    asyncio.run(main())


def test_what_takes_too_long_is_given_up():
    async def main():
        go = threading.Event()
        for worker in (Pool("test", 1, 3, 0.05), Batcher("test", lambda things: go.wait(10) and things, 2, 0.05)):
            go.clear()
            arguments = [lambda: go.wait(10)] if isinstance(worker, Pool) else ["thing"]
            with pytest.raises(HTTPException) as refused:
                await worker.run(*arguments)
            assert refused.value.status_code == 503 and "Retry-After" in refused.value.headers
            go.set()
            worker.close()

    asyncio.run(main())


def test_what_waits_for_the_model_goes_together():
    async def main():
        batches, go = [], threading.Event()

        def call(things):
            batches.append(list(things))
            go.wait(10)
            return [2 * thing for thing in things]

        batcher = Batcher("test", call, 4, 10.0)
        first = asyncio.create_task(batcher.run(0))
        await asyncio.sleep(0.05)
        others = [asyncio.create_task(batcher.run(i)) for i in range(1, 8)]
        await asyncio.sleep(0.05)
        others[2].cancel()
        go.set()
        assert await first == 0
        found = await asyncio.gather(*others, return_exceptions=True)
        assert [x for i, x in enumerate(found) if i != 2] == [2, 4, 8, 10, 12, 14]
        assert batches == [[0], [1, 2, 4], [5, 6, 7]]
        assert await batcher.run(21) == 42
        batcher.close()

    asyncio.run(main())


def test_an_error_reaches_everyone_of_its_batch_and_no_one_else():
    async def main():
        def call(things):
            if 1 in things:
                raise ValueError("no")
            return things

        batcher = Batcher("test", call, 2, 10.0)
        found = await asyncio.gather(*map(batcher.run, [0, 1, 2, 3]), return_exceptions=True)
        assert [type(each) for each in found[:2]] == [ValueError, ValueError] and found[2:] == [2, 3]
        batcher.close()

    asyncio.run(main())
