"""A client that costs little: raw HTTP/1.1 on kept connections, a process of its own. Used by serving.py and serving_soak.py."""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BOUNDARY = "a-line-that-no-image-holds"
SEEFIT = "from seefit.cli.main import run; run()"


def predict_request(data: bytes, path: str = "/predict") -> bytes:
    """Return the request that sends one image as a form."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="image.png"\r\nContent-Type: image/png\r\n\r\n'
    body = head.encode() + data + f"\r\n--{BOUNDARY}--\r\n".encode()
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    return f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


class Connection(asyncio.Protocol):
    """One connection: a request, its answer, the next."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self.buffer, self.length = bytearray(), -1
        self.answer: asyncio.Future[tuple[int, bytes]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Collect an answer until it is whole."""
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0 or self.answer is None:
            return
        if self.length < 0:
            head = bytes(self.buffer[:end]).lower()
            at = head.index(b"content-length: ") + 16
            self.length = end + 4 + int(head[at : at + 12].split(b"\r")[0])
        if len(self.buffer) >= self.length and not self.answer.done():
            self.answer.set_result((int(self.buffer[9:12]), bytes(self.buffer[end + 4 : self.length])))

    def connection_lost(self, error: Exception | None) -> None:
        """Tell whoever waits."""
        if self.answer is not None and not self.answer.done():
            self.answer.set_exception(ConnectionError("the server hung up"))

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Send a request; return status and body."""
        self.buffer.clear()
        self.length = -1
        self.answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self.answer


async def connect(port: int) -> Connection:
    """Open a connection to this computer."""
    _, protocol = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port)
    return protocol


@dataclass(frozen=True)
class Load:
    """What a client saw.

    Attributes:
        seconds: How long it asked.
        latencies: Of every answer, in seconds; at a given rate from when it should have been sent.
        statuses: How often each came.
        client_s: Processor time of the client itself.
    """

    seconds: float
    latencies: list[float]
    statuses: dict[int, int]
    client_s: float

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds

    def percentile(self, share: float) -> float:
        """Return a quantile of the latencies in milliseconds."""
        ordered = sorted(self.latencies)
        return 1_000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]


async def _ask_on(port: int, requests: Sequence[bytes], number: int, of: int, until: float, rate: float | None, seen: Any) -> None:
    connection = await connect(port)
    at, begun = number, time.perf_counter()
    while (now := time.perf_counter()) < until:
        sent = now
        if rate is not None:
            sent = begun + at / rate
            if sent >= until:
                break
            await asyncio.sleep(max(0.0, sent - now))
        status, _ = await connection.ask(requests[at % len(requests)])
        seen.append((time.perf_counter() - sent, status))
        at += of
    connection.transport.close()


def put_load(port: int, requests: Sequence[bytes], connections: int, seconds: float, rate: float | None = None) -> Load:
    """Ask for a while; at a given rate per second, or on every connection as fast as answers come."""

    async def run() -> tuple[float, list[tuple[float, int]]]:
        seen: list[tuple[float, int]] = []
        begun = time.perf_counter()
        await asyncio.gather(*(_ask_on(port, requests, i, connections, begun + seconds, rate, seen) for i in range(connections)))
        return time.perf_counter() - begun, seen

    used = time.process_time()
    took, seen = asyncio.run(run())
    statuses = {status: sum(s == status for _, s in seen) for status in {s for _, s in seen}}
    return Load(took, [latency for latency, _ in seen], statuses, time.process_time() - used)


def in_own_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a new process and return what it returns."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


@contextlib.contextmanager
def run_of(given: Path | None) -> Iterator[Path]:
    """Yield the run that was named, else one that is trained on `demo:elpv` and removed afterwards."""
    if given is not None:
        yield given
        return
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder, "run")
        command = [sys.executable, "-c", SEEFIT, "train", "demo:elpv", "--out", str(run), "--quiet", "--json"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        yield run


@contextlib.contextmanager
def seefit_serve(run: Path, *options: str) -> Iterator[tuple[int, int, float]]:
    """Start `seefit serve`; yield port, process number and the seconds until it was ready."""
    begun = time.perf_counter()
    command = [sys.executable, "-c", SEEFIT, "serve", str(run), "--port", "0", "--json", "--quiet", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        text = ""
        while not text.endswith("}\n"):
            line = process.stdout.readline()
            if not line:
                raise RuntimeError("seefit serve has ended")
            text += line
        ready = time.perf_counter() - begun
        said = json.loads(text)
        try:
            yield int(said["url"].rpartition(":")[2]), process.pid, ready
        finally:
            os.kill(process.pid, signal.SIGTERM)
            if process.wait(30):
                raise RuntimeError(f"seefit serve ended with {process.returncode}")
