"""Several workers on one socket: the parent starts them, ends them, and has them do together what concerns all.

A worker that is asked to reload asks the parent. That has every worker prepare the model that is there now; when all of them have it, and
the same, they switch, and when one cannot, all keep what they have. The figures of `/metrics` are gathered the same way.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import multiprocessing
import os
import queue
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, cast

from seefit.bundle.bundle import load
from seefit.deploy.serve.colleagues import Colleagues, Served
from seefit.deploy.serve.corrections import Corrections
from seefit.deploy.serve.guard import LOGGER, Access
from seefit.deploy.serve.limits import Limits
from seefit.deploy.serve.logs import Log
from seefit.deploy.serve.meters import Meters, Snapshot
from seefit.errors import ArtefactError, ResourceError, SeefitError

PATIENCE_S = 120.0  # for a worker to load a model
POLL_S = 0.5
AGAIN_S = 1.0  # before a worker that died is started again

PREPARE, SWITCH, DROP, SNAPSHOT = "prepare", "switch", "drop", "snapshot"
RELOAD, SNAPSHOTS, READY, REPLY, TOLD = "reload", "snapshots", "ready", "reply", "told"


@dataclass(frozen=True)
class Plan:
    """What a worker must know.

    Attributes:
        path: Of the model.
        name: By which clients know it.
        limits: Of the server.
        access: Who may ask.
        quiet: Whether requests are not logged.
        corrections: The folder for corrections from the page; None where they are not wanted.
    """

    path: Path
    name: str
    limits: Limits
    access: Access
    quiet: bool = False
    corrections: Path | None = None


class Joined:
    """One worker of several: asks the parent for what concerns all, and does what the parent says. See `Colleagues`.

    Args:
        pipe: To the parent.
        served: The model.
        meters: The figures.
    """

    def __init__(self, pipe: Connection, served: Served, meters: Meters) -> None:
        self._pipe, self._sending, self._numbers = pipe, threading.Lock(), itertools.count()
        self._answers: dict[int, queue.SimpleQueue[Any]] = {}
        self._orders: dict[str, Callable[[], Any]] = {
            PREPARE: served.prepare,
            SWITCH: served.switch,
            DROP: served.drop,
            SNAPSHOT: meters.snapshot,
        }
        threading.Thread(target=self._listen, name="seefit-parent", daemon=True).start()

    async def reload(self) -> str:
        """As in `Colleagues`."""
        return cast("str", await asyncio.to_thread(self._ask, RELOAD))

    async def snapshots(self) -> list[Snapshot]:
        """As in `Colleagues`."""
        return cast("list[Snapshot]", await asyncio.to_thread(self._ask, SNAPSHOTS))

    def send(self, *message: Any) -> None:
        """Tell the parent something."""
        with self._sending:
            self._pipe.send(message)

    def _ask(self, what: str) -> Any:
        number = next(self._numbers)
        answer = self._answers[number] = queue.SimpleQueue()
        self.send(what, number)
        try:
            found = answer.get(timeout=2 * PATIENCE_S)
        except queue.Empty:
            raise _lost("no answer") from None
        finally:
            del self._answers[number]
        if isinstance(found, _Failure):
            raise _lost(found.text)
        return found

    def _listen(self) -> None:
        try:
            while True:
                kind, number, *rest = self._pipe.recv()
                if kind == TOLD:
                    if number in self._answers:
                        self._answers[number].put(rest[0])
                else:
                    self.send(REPLY, number, _outcome(self._orders[kind]))
        except (EOFError, OSError):  # the parent is gone: so are we
            os.kill(os.getpid(), signal.SIGTERM)


@dataclass(frozen=True)
class _Failure:
    text: str


def _outcome(order: Callable[[], Any]) -> Any:
    try:
        return order()
    except (SeefitError, MemoryError) as error:
        return _Failure(str(error) or "out of memory")


def _lost(text: str) -> ArtefactError:
    return ArtefactError(
        "The workers keep their model", where="the server", expected="the same sound model in all", got=text, hint="See above"
    )


def work(plan: Plan, opened: socket.socket, pipe: Connection, expected: str) -> None:
    """Be a worker: load the model and answer until told to stop.

    Args:
        plan: What to do.
        opened: The shared socket.
        pipe: To the parent.
        expected: The hash that all workers serve.
    """
    import sys

    from seefit.deploy.serve.app import create_app
    from seefit.deploy.serve.listening import listen

    log = Log(sys.stderr, requests=not plan.quiet)
    log.take_over("uvicorn.error", LOGGER)
    try:
        bundle = load(plan.path)
    except SeefitError as error:
        log.failure("a worker ends: it cannot load the model", error)
        sys.exit(error.exit_code)
    if bundle.hash != expected:
        log.event("a worker ends: its model is not that of the others", hash=bundle.hash)
        sys.exit(ArtefactError.exit_code)
    joined: list[Joined] = []

    def colleagues(served: Served, meters: Meters) -> Colleagues:
        joined.append(Joined(pipe, served, meters))
        return joined[0]

    kept = None if plan.corrections is None else Corrections(plan.corrections, bundle.classes)
    app = create_app(bundle, plan.name, limits=plan.limits, access=plan.access, log=log, colleagues=colleagues, corrections=kept)
    listen(app, opened, plan.limits, lambda: joined[0].send(READY, 0, bundle.hash))


@dataclass
class _Worker:
    process: Any
    pipe: Connection
    ready: bool = False


class Parent:
    """Starts and ends the workers.

    Args:
        plan: For all of them.
        opened: From `seefit.deploy.serve.listening.open_socket`.
        count: How many.
        log: Of the parent.
    """

    def __init__(self, plan: Plan, opened: socket.socket, count: int, log: Log) -> None:
        self.plan, self.opened, self.count, self.log = plan, opened, count, log
        self.hash = ""
        self.workers: list[_Worker] = []
        self._context = multiprocessing.get_context("spawn")  # threads and open sessions do not survive a fork
        self._stopped, self._numbers = False, itertools.count()
        self._asked: deque[tuple[_Worker, str, int]] = deque()  # what workers wait for

    def run(self, on_ready: Callable[[str], None]) -> int:
        """Serve until SIGTERM or Ctrl-C; return the exit code.

        Raises:
            ArtefactError: The model is damaged.
            ResourceError: No worker could be started.
        """
        self.hash = load(self.plan.path).hash  # here, so that a damaged model is told as by every command
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        told = False
        try:
            while not self._stopped:
                self._look()
                if not told and sum(worker.ready for worker in self.workers) == self.count:
                    told = True
                    on_ready(self.hash)
        finally:
            self._end()
        return 0

    def _stop(self, *_: object) -> None:
        self._stopped = True

    def _start(self) -> None:
        mine, theirs = self._context.Pipe()
        process = self._context.Process(target=work, args=(self.plan, self.opened, theirs, self.hash), daemon=True)
        process.start()
        theirs.close()
        self.workers.append(_Worker(process, mine))

    def _look(self) -> None:
        """Start the workers that are missing, and wait a moment for what the others say."""
        while len(self.workers) < self.count:
            self._start()
        there: Any = connection.wait([worker.pipe for worker in self.workers], POLL_S)
        for worker in [worker for worker in self.workers if worker.pipe in there]:
            self._hear(worker)
        while self._asked:  # one thing after the other; more may come meanwhile
            self._answer(*self._asked.popleft())

    def _hear(self, worker: _Worker) -> None:
        try:
            kind, number, *rest = worker.pipe.recv()
        except (EOFError, OSError):
            self._lose(worker)
            return
        if kind == READY and rest[0] == self.hash:
            worker.ready = True
        elif kind == READY:  # the others have another model since it began
            worker.process.terminate()
        elif kind in {RELOAD, SNAPSHOTS}:
            self._asked.append((worker, kind, number))

    def _answer(self, worker: _Worker, kind: str, number: int) -> None:
        found = self._reload() if kind == RELOAD else [told for told in self._all(SNAPSHOT) if not isinstance(told, _Failure)]
        with contextlib.suppress(OSError):  # it ended meanwhile, which its pipe will tell
            worker.pipe.send((TOLD, number, found))

    def _lose(self, worker: _Worker) -> None:
        worker.process.join(AGAIN_S)
        self.workers.remove(worker)
        if self._stopped:
            return
        if not any(other.ready for other in [worker, *self.workers]):
            raise ResourceError(
                "No worker can be started",
                where="the server",
                expected="the model in memory",
                got="a worker that ended",
                hint="See the lines above",
            )
        self.log.event("a worker ended and is started again", exit_code=worker.process.exitcode)
        time.sleep(AGAIN_S)

    def _reload(self) -> Any:
        """Have all workers take the model that is there now; return its hash, or why none of them did."""
        found = self._all(PREPARE)
        failures = [answer for answer in found if isinstance(answer, _Failure)]
        if failures or len(set(found)) != 1:
            self._all(DROP)
            return failures[0] if failures else _Failure("different models, since files changed meanwhile")
        self._all(SWITCH)
        self.hash = found[0]
        return self.hash

    def _all(self, order: str) -> list[Any]:
        """Have every worker that is ready do something, and return what came out."""
        workers = [worker for worker in self.workers if worker.ready]
        numbers = [next(self._numbers) for _ in workers]
        for worker, number in zip(workers, numbers, strict=True):
            with contextlib.suppress(OSError):  # as above; nobody will reply
                worker.pipe.send((order, number))
        return [self._reply(worker, number) for worker, number in zip(workers, numbers, strict=True)]

    def _reply(self, worker: _Worker, number: int) -> Any:
        until = time.monotonic() + PATIENCE_S
        try:
            while worker.pipe.poll(max(0.0, until - time.monotonic())):
                kind, found, *rest = worker.pipe.recv()
                if kind == REPLY and found == number:
                    return rest[0]
                if kind in {RELOAD, SNAPSHOTS}:
                    self._asked.append((worker, kind, found))
        except (EOFError, OSError):
            return _Failure("a worker that ended")
        return _Failure("a worker that does not answer")

    def _end(self) -> None:
        """Have the workers drain and end; the socket closes with the last of them, so that nobody is taken in who would not be answered."""
        self.opened.close()
        for worker in self.workers:
            worker.process.terminate()
        until = time.monotonic() + self.plan.limits.drain_seconds + 5
        for worker in self.workers:
            worker.process.join(max(0.1, until - time.monotonic()))
            if worker.process.is_alive():
                worker.process.kill()
