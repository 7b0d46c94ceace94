"""What a server takes: how many bytes, pixels, images and seconds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from seefit.data.image import MAX_PIXELS
from seefit.errors import UsageError, raise_all


@dataclass(frozen=True)
class Limits:
    """The limits of one worker.

    Attributes:
        body_bytes: Of the body of a request, declared or not.
        images: In one request.
        pixels: Of one image; see `seefit.data.image.decode`.
        json_bytes: Of JSON in a request: parsing it holds up everybody else.
        waiting: Images that wait for the network; one more is answered 503 at once.
        held_bytes: Of bodies that are in memory at the same time, in all requests together.
        connections: At the same time.
        seconds: For a client to send its whole request, and for us to answer it.
        header_seconds: For a client to send the headers.
        drain_seconds: For requests under way when the server is told to stop.
    """

    body_bytes: int = 32 * 2**20
    images: int = 64
    pixels: int = MAX_PIXELS
    json_bytes: int = 4 * 2**20
    waiting: int = 256
    held_bytes: int = 256 * 2**20
    connections: int = 1_000
    seconds: float = 30.0
    header_seconds: float = 10.0
    drain_seconds: float = 10.0


OPTIONS = {"body_bytes": "--max-bytes", "pixels": "--max-pixels", "seconds": "--timeout"}


def make_limits(**given: float | None) -> Limits:
    """Return the limits with those changed that were given by hand; a body may take all the memory for bodies.

    Raises:
        UsageError: One of them is not above 0; all such are named.
    """
    known: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    raise_all(
        [
            UsageError(
                "Bad limit",
                where=OPTIONS[key],
                expected="a number above 0",
                got=f"{value:g}",
                hint=f"Leave {OPTIONS[key]} out for the default",
            )
            for key, value in known.items()
            if not value > 0
        ]
    )
    held = max(Limits.held_bytes, known.get("body_bytes", 0))
    return replace(Limits(), **known, held_bytes=held)
