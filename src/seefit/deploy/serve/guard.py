"""What stands in front of every request: who may ask, how much and how long, and what every answer carries.

An ASGI middleware. Hosts and origins: a page of another site that runs in the user's browser can reach a server on loopback, too, and
with a name that it rebinds it would even read the answers; so requests must name a host that the server knows, and where a browser says
which page asks it must be one of this server. An address in digits cannot be rebound.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from seefit.deploy.serve.limits import Limits
from seefit.deploy.serve.refusals import Refusal, broken, busy, refuse, too_large, too_slow
from seefit.errors import SeefitError

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

LOGGER = "seefit.serve"
LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
OPEN = ("/v2/health/live", "/v2/health/ready", "/", "/docs", "/openapi.json")  # what needs no key: nothing about the model
OPEN_BELOW = ("/static/", "/docs/")
LINGER_S, LINGER_BYTES = 2.0, 64 * 2**20  # how long a refused body is still read, so that its client gets to read the answer
HEADERS = {
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
    b"cache-control": b"no-store",
}


@dataclass(frozen=True)
class Access:
    """Who may ask.

    Attributes:
        hosts: Names by which the server may be called, without a port, in lower case.
        addresses: Whether any address in digits is one, too.
        key: What clients must know; None for nothing.
    """

    hosts: frozenset[str] = LOOPBACK
    addresses: bool = False
    key: bytes | None = field(default=None, repr=False)

    def check(self, method: str, path: str, headers: dict[bytes, bytes]) -> None:
        """Refuse whoever may not ask.

        Raises:
            Refusal: 421 for a foreign host, 403 for a foreign origin, 401 for a missing or wrong key.
        """
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if not self._knows(host):
            hint = "Call the server by its own name, or start it with --allow-host NAME"
            raise refuse(421, "Unknown host", expected="a name of this server", got="another", hint=hint)
        origin = headers.get(b"origin")
        if origin is not None and origin.decode("latin-1").lower().partition("://")[2] != host:
            raise refuse(403, "Foreign origin", expected="a page of this server", got="another", hint="Open the page of the server itself")
        if self.key is not None and path not in OPEN and not path.startswith(OPEN_BELOW) and not self._has_key(headers):
            got, hint = "none or another", "Send the header Authorization: Bearer KEY"
            raise refuse(401, "Wrong key", expected="the key of this server", got=got, hint=hint, headers={"WWW-Authenticate": "Bearer"})

    def _knows(self, host: str) -> bool:
        name = host[: host.find("]") + 1] if host.startswith("[") else host.partition(":")[0]
        if name in self.hosts:
            return True
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return False
        return self.addresses

    def _has_key(self, headers: dict[bytes, bytes]) -> bool:
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        given = token.strip() if scheme.lower() == b"bearer" else headers.get(b"x-api-key", b"")
        return hmac.compare_digest(given, self.key or b"")


class Held:
    """How many bytes of bodies are in memory, of all requests together."""

    def __init__(self, most: int) -> None:
        self.most, self.now = most, 0

    def take(self, count: int) -> None:
        """Count bytes that have come.

        Raises:
            Refusal: Too many would be held.
        """
        if self.now + count > self.most:
            raise busy(f"at most {self.most:,} bytes under way", "more")
        self.now += count

    def give_back(self, count: int) -> None:
        """Count bytes of a request that has ended."""
        self.now -= count


@dataclass
class _Request:
    """What is known of one request under way."""

    scope: MutableMapping[str, Any]
    receive: Receive
    send: Send
    deadline: float
    seen: int = 0
    status: int = 0
    whole: bool = False
    started: float = field(default_factory=time.perf_counter)


class Guard:
    """The middleware.

    Args:
        app: What it stands in front of.
        access: Who may ask.
        limits: How much.
        told: Called with method, path, status, seconds and bytes of every request that ended.
        stamp: Gives further headers of every answer.
    """

    def __init__(
        self,
        app: App,
        access: Access,
        limits: Limits,
        told: Callable[[MutableMapping[str, Any], int, float, int], None],
        stamp: Callable[[], dict[bytes, bytes]],
    ) -> None:
        self.app, self.access, self.limits, self.told, self.stamp = app, access, limits, told, stamp
        self.held = Held(limits.held_bytes)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = _Request(scope, receive, send, asyncio.get_running_loop().time() + self.limits.seconds)
        try:
            await self._answer(request)
        except ConnectionError:  # the client is gone
            pass
        finally:
            self.held.give_back(request.seen)
            self.told(scope, request.status, time.perf_counter() - request.started, request.seen)

    async def _answer(self, request: _Request) -> None:
        async def receive() -> Message:
            return await self._receive(request)

        async def send(message: Message) -> None:
            await self._send(request, message)

        try:
            headers = dict(request.scope["headers"])
            self.access.check(request.scope["method"], request.scope["path"], headers)
            if int(headers.get(b"content-length", b"0")) > self.limits.body_bytes:
                raise too_large(self.limits.body_bytes)
            await self.app(request.scope, receive, send)
        except Refusal as refusal:
            await self._refuse(request, refusal)
        except SeefitError as error:
            await self._refuse(request, Refusal(error.http_status, error))
        except Exception as error:
            if isinstance(error, ConnectionError) or request.status:
                raise
            logging.getLogger(LOGGER).error("a bug in seefit", exc_info=error)  # nothing of it goes to the client
            await self._refuse(request, broken())

    async def _receive(self, request: _Request) -> Message:
        try:
            async with asyncio.timeout_at(request.deadline):
                message = await request.receive()
        except TimeoutError:
            raise too_slow(self.limits.seconds) from None
        if message["type"] == "http.disconnect":
            raise ConnectionAbortedError
        count = len(message.get("body", b""))
        if request.seen + count > self.limits.body_bytes:
            raise too_large(self.limits.body_bytes)
        self.held.take(count)
        request.seen += count
        request.whole = not message.get("more_body", False)
        return message

    async def _send(self, request: _Request, message: Message) -> None:
        if message["type"] == "http.response.start":
            request.status = message["status"]
            there = {name.lower() for name, _ in message["headers"]}
            more = {**HEADERS, **self.stamp()}
            message["headers"] = [*message["headers"], *((name, value) for name, value in more.items() if name not in there)]
        # a client that does not read its answer must not keep it in memory for ever
        try:
            async with asyncio.timeout(self.limits.seconds):
                await request.send(message)
        except TimeoutError:
            raise ConnectionAbortedError from None

    async def _refuse(self, request: _Request, refusal: Refusal) -> None:
        """Send a refusal; what the client still sends is read and dropped for a while, since it reads nothing before."""
        response = refusal.response()
        headers = list(response.raw_headers)
        await self._send(request, {"type": "http.response.start", "status": response.status_code, "headers": headers})
        await self._send(request, {"type": "http.response.body", "body": response.body, "more_body": True})
        if not request.whole:
            await self._drop_rest(request)
        await self._send(request, {"type": "http.response.body", "body": b"", "more_body": False})

    async def _drop_rest(self, request: _Request) -> None:
        dropped = 0
        try:
            async with asyncio.timeout(LINGER_S):
                while dropped < LINGER_BYTES:
                    message = await request.receive()
                    dropped += len(message.get("body", b""))
                    if message["type"] == "http.disconnect" or not message.get("more_body", False):
                        return
        except TimeoutError:
            return
