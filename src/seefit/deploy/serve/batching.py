"""Micro-batches: images of all requests wait in one queue, and a thread that becomes free takes some of them at once.

Nobody waits for a batch to fill: a batch is what is there, so that a single client is served as fast as the network allows, and many share
runs of the network. Several threads run beside each other, each with small batches, which is faster than large batches on several
threads (docs/LOG.md). First come, first served.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from seefit.deploy.serve.refusals import busy

Job = TypeVar("Job")
Result = TypeVar("Result")


@dataclass(slots=True)
class _Waiting(Generic[Job]):
    job: Job
    key: object
    loop: asyncio.AbstractEventLoop = field(repr=False)
    future: asyncio.Future[Any] = field(repr=False)


class Batcher(Generic[Job, Result]):
    """A queue and the threads that empty it.

    Args:
        work: Turns the jobs of a batch, which all have one key, into as many results; a result that is an exception is raised to
            whoever waits for it.
        threads: How many batches are under way at the same time.
        size: Jobs in a batch at most.
        waiting: Jobs in the queue at most.
    """

    def __init__(
        self, work: Callable[[Any, Sequence[Job]], Sequence[Result | Exception]], *, threads: int, size: int, waiting: int
    ) -> None:
        self._work, self._size, self._most = work, size, waiting
        self._queue: deque[_Waiting[Job]] = deque()
        self._free = threading.Condition()
        self._closed = False
        self._threads = [threading.Thread(target=self._run, name=f"seefit-batch-{i}", daemon=True) for i in range(threads)]
        for thread in self._threads:
            thread.start()

    def __len__(self) -> int:
        """Return how many jobs wait."""
        return len(self._queue)

    def submit(self, key: object, jobs: Sequence[Job]) -> list[asyncio.Future[Result]]:
        """Put jobs into the queue, all of them or none.

        Args:
            key: Only jobs with the same one share a batch.
            jobs: Any number.

        Raises:
            Refusal: The queue is full.
        """
        loop = asyncio.get_running_loop()
        entries = [_Waiting(job, key, loop, loop.create_future()) for job in jobs]
        with self._free:
            if len(self._queue) + len(entries) > self._most:
                raise busy(f"at most {self._most:,} images that wait", f"{len(self._queue):,} and {len(entries):,} more")
            self._queue.extend(entries)
            self._free.notify(len(entries))
        return [entry.future for entry in entries]

    def close(self) -> None:
        """Stop the threads when what they work at is done; what still waits is dropped."""
        with self._free:
            self._closed = True
            self._queue.clear()
            self._free.notify_all()
        for thread in self._threads:
            thread.join()

    def _take(self) -> list[_Waiting[Job]]:
        with self._free:
            while not self._queue and not self._closed:
                self._free.wait()
            batch: list[_Waiting[Job]] = []
            while self._queue and len(batch) < self._size and (not batch or self._queue[0].key is batch[0].key):
                entry = self._queue.popleft()
                if not entry.future.cancelled():  # else its client is gone
                    batch.append(entry)
            return batch

    def _run(self) -> None:
        while not self._closed:
            batch = self._take()
            if not batch:
                continue
            try:
                results: Sequence[Result | Exception] = self._work(batch[0].key, [entry.job for entry in batch])
            except Exception as error:  # told to those who wait; the thread must live on
                results = [error] * len(batch)
            _deliver_soon(batch, results)


def _deliver_soon(batch: Sequence[_Waiting[Any]], results: Sequence[Any]) -> None:
    """Wake the event loops up, once each."""
    for loop in {entry.loop for entry in batch}:
        pairs = [(entry.future, result) for entry, result in zip(batch, results, strict=True) if entry.loop is loop]
        try:
            loop.call_soon_threadsafe(_deliver, pairs)
        except RuntimeError:  # the loop has ended, and with it everybody who waited
            continue


def _deliver(pairs: Sequence[tuple[asyncio.Future[Any], Any]]) -> None:
    for future, result in pairs:
        if future.done():
            continue
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)
