"""Micro-batches: first come, first served, nothing lost, and no place in the queue means no at once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from seefit.deploy.serve.batching import Batcher
from seefit.deploy.serve.refusals import Refusal


def test_jobs_share_batches_of_one_key_and_keep_their_order() -> None:
    begun, go = threading.Event(), threading.Event()
    seen: list[Any] = []

    def work(key: object, jobs: Sequence[int]) -> list[int]:
        begun.set()
        go.wait(5)
        seen.append((key, list(jobs)))
        return [10 * job for job in jobs]

    async def ask() -> list[int]:
        first = batcher.submit("a", [0])
        await asyncio.to_thread(begun.wait, 5)
        more = [*batcher.submit("a", [1, 2, 3]), *batcher.submit("b", [4])]
        assert len(batcher) == 4
        go.set()
        return await asyncio.gather(*first, *more)

    batcher: Batcher[int, int] = Batcher(work, threads=1, size=2, waiting=9)
    assert asyncio.run(ask()) == [0, 10, 20, 30, 40]
    batcher.close()
    assert seen == [("a", [0]), ("a", [1, 2]), ("a", [3]), ("b", [4])]


def test_a_full_queue_says_no_at_once_and_takes_all_or_nothing() -> None:
    begun, go = threading.Event(), threading.Event()

    def work(_: object, jobs: Sequence[int]) -> Sequence[int]:
        begun.set()
        go.wait(5)
        return jobs

    async def ask() -> None:
        under_way = batcher.submit("a", [0])
        await asyncio.to_thread(begun.wait, 5)
        waiting = batcher.submit("a", [1])
        with pytest.raises(Refusal) as caught:
            batcher.submit("a", [2, 3])
        assert (caught.value.status, caught.value.headers) == (503, {"Retry-After": "1"})
        assert caught.value.error.message == "Too busy: the server. Expected at most 2 images that wait, got 1 and 2 more."
        last = batcher.submit("a", [4])
        go.set()
        assert await asyncio.gather(*under_way, *waiting, *last) == [0, 1, 4]

    batcher: Batcher[int, int] = Batcher(work, threads=1, size=1, waiting=2)
    asyncio.run(ask())
    batcher.close()


def test_an_error_is_told_and_the_thread_lives_on() -> None:
    def work(_: object, jobs: Sequence[int]) -> list[int | Exception]:
        if jobs[0] == 0:
            raise MemoryError
        return [ValueError("this one") if job == 1 else job for job in jobs]

    async def ask() -> None:
        with pytest.raises(MemoryError):
            await batcher.submit("a", [0])[0]
        with pytest.raises(ValueError, match="this one"):
            await batcher.submit("a", [1])[0]
        assert await batcher.submit("a", [2])[0] == 2

    batcher: Batcher[int, int] = Batcher(work, threads=2, size=1, waiting=2)
    asyncio.run(ask())
    batcher.close()


def test_a_client_that_left_is_not_worked_for() -> None:
    begun, go = threading.Event(), threading.Event()
    seen: list[Any] = []

    def work(_: object, jobs: Sequence[int]) -> Sequence[int]:
        begun.set()
        go.wait(5)
        seen.extend(jobs)
        return jobs

    async def ask() -> None:
        first = batcher.submit("a", [0])[0]
        await asyncio.to_thread(begun.wait, 5)
        gone, last = batcher.submit("a", [1, 2])
        gone.cancel()
        go.set()
        assert list(await asyncio.gather(first, last)) == [0, 2]

    batcher: Batcher[int, int] = Batcher(work, threads=1, size=1, waiting=5)
    asyncio.run(ask())
    batcher.close()
    assert seen == [0, 2]
