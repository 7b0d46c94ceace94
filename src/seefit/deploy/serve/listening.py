"""The HTTP side of a worker: uvicorn with limits of its own for clients that say nothing, and an end that drains and succeeds."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from seefit.deploy.serve.colleagues import open_explainer
from seefit.deploy.serve.guard import HEADERS
from seefit.deploy.serve.limits import Limits
from seefit.deploy.serve.refusals import Refusal, busy, refuse, too_slow
from seefit.errors import UsageError

if TYPE_CHECKING:
    from fastapi import FastAPI

KEEP_ALIVE_S = 30
BACKLOG = 1_024


def open_socket(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        UsageError: The address is taken, or none of this machine.
    """
    try:
        if not 0 <= port < 2**16:  # else the system takes what remains by division
            raise OverflowError("a port beyond 65,535")
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        opened = socket.socket(*found[:3])  # with TCP named, or asyncio leaves Nagle's algorithm on: 40 ms an answer
        try:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            opened.bind(found[4])
            opened.listen(BACKLOG)
        except OSError:
            opened.close()
            raise
    except (OSError, OverflowError) as error:
        got = getattr(error, "strerror", None) or str(error)
        raise UsageError(
            "Cannot listen",
            where=f"{host}:{port}",
            expected="a free address of this machine",
            got=got,
            hint="Choose another --port or --host",
        ) from error
    return opened


def listen(app: FastAPI, opened: socket.socket, limits: Limits, on_ready: Callable[[], None]) -> None:
    """Serve until the process is told to stop by SIGTERM or Ctrl-C; what is under way then is answered first.

    Args:
        app: From `seefit.deploy.serve.app.create_app`.
        opened: From `open_socket`.
        limits: Of the server.
        on_ready: Called when requests are answered.
    """
    config = uvicorn.Config(
        app,
        http=_protocol(limits, app.state.stamp),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=int(limits.drain_seconds),
    )
    for number in (signal.SIGTERM, signal.SIGINT):  # uvicorn raises them again after its end, which is a success
        signal.signal(number, lambda *_: None)
    asyncio.run(_serve(uvicorn.Server(config), app, opened, on_ready))


async def _serve(server: uvicorn.Server, app: FastAPI, opened: socket.socket, on_ready: Callable[[], None]) -> None:
    async def tell() -> None:
        while not server.started:
            await asyncio.sleep(0.005)
        on_ready()
        threading.Thread(target=open_explainer, args=[app.state.served.bundle], daemon=True).start()

    telling = asyncio.create_task(tell())
    await server.serve(sockets=[opened])
    telling.cancel()


def _protocol(limits: Limits, stamp: Callable[[], dict[bytes, bytes]]) -> type[H11Protocol]:
    """Return uvicorn's protocol with a time for headers and a number of connections, which it has no limits for."""

    class Bounded(H11Protocol):
        timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self.timer = self.loop.call_later(limits.header_seconds, self.say_no, too_slow(limits.header_seconds))
            if len(self.connections) > limits.connections:
                self.say_no(busy(f"at most {limits.connections:,} connections", "more"))

        def data_received(self, data: bytes) -> None:
            if self.transport.is_closing():
                return
            super().data_received(data)
            if self.cycle is not None and not self.cycle.response_complete:
                self.stop_timer()
            elif self.timer is None:  # a further request on the same connection has begun
                self.timer = self.loop.call_later(limits.header_seconds, self.say_no, too_slow(limits.header_seconds))

        def connection_lost(self, exc: Exception | None) -> None:
            self.stop_timer()
            super().connection_lost(exc)

        def on_response_complete(self) -> None:
            self.stop_timer()
            super().on_response_complete()

        def send_400_response(self, msg: str) -> None:
            self.say_no(refuse(400, "Cannot read the request", expected="HTTP/1.1", got="something else", hint="See /docs"))

        def stop_timer(self) -> None:
            if self.timer is not None:
                self.timer.cancel()
                self.timer = None

        def say_no(self, refusal: Refusal) -> None:
            if not self.transport.is_closing():
                self.transport.write(_raw(refusal, {**HEADERS, **stamp()}))
                self.transport.close()

    return Bounded


def _raw(refusal: Refusal, carried: dict[bytes, bytes]) -> bytes:
    body = json.dumps(refusal.body()).encode()
    reason: dict[int, str] = {400: "Bad Request", 408: "Request Timeout", 503: "Service Unavailable"}
    headers: dict[str, Any] = {name.decode(): value.decode() for name, value in carried.items()}
    headers |= {**refusal.headers, "Content-Type": "application/json", "Content-Length": len(body), "Connection": "close"}
    lines = [f"HTTP/1.1 {refusal.status} {reason[refusal.status]}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body
