"""What a server says no with: an HTTP status, and the error object of the command line as JSON.

Nothing in it comes from inside: no path, no traceback, no name of a module. What a client sent is shortened and made printable.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from seefit.console import one_line
from seefit.data.image import Undecodable, Unreadable
from seefit.errors import DataError, ResourceError, SeefitError, UsageError
from seefit.files import to_json

if TYPE_CHECKING:
    from starlette.responses import Response

BUSY, RETRY_AFTER_S = 503, 1
LONGEST_NAME = 80
IMAGE_TYPES = ("image/", "application/octet-stream")  # the second is what clients say who do not know


class Refusal(Exception):
    """A request that is refused.

    Args:
        status: Of HTTP.
        error: What is wrong, as the command line would say it.
        headers: Further ones of the answer.
    """

    def __init__(self, status: int, error: SeefitError, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(error.message)
        self.status, self.error, self.headers = status, error, dict(headers or {})

    def body(self) -> dict[str, Any]:
        """Return the object of the answer."""
        return self.error.to_json()

    def response(self) -> Response:
        """Return the answer."""
        from starlette.responses import Response

        return Response(to_json(self.body()), self.status, headers=self.headers, media_type="application/json")


def refuse(
    status: int, what: str, *, where: str = "the request", expected: str, got: str, hint: str, headers: Mapping[str, str] | None = None
) -> Refusal:
    """Return the refusal of a request that is wrong in itself."""
    return Refusal(status, UsageError(what, where=where, expected=expected, got=got, hint=hint), headers)


def busy(expected: str, got: str) -> Refusal:
    """Return the refusal of a request that comes while there is too much to do."""
    error = ResourceError("Too busy", where="the server", expected=expected, got=got, hint=f"Ask again after {RETRY_AFTER_S} s")
    return Refusal(BUSY, error, {"Retry-After": str(RETRY_AFTER_S)})


def too_slow(seconds: float) -> Refusal:
    """Return the refusal of a request that does not come to its end."""
    expected = f"all of it within {seconds:g} s"
    return refuse(
        408, "The request takes too long", expected=expected, got="a part", hint="Send less at once", headers={"Connection": "close"}
    )


def too_large(limit: int) -> Refusal:
    """Return the refusal of a request with too many bytes."""
    got, hint = "more", "Send fewer or smaller images, or start the server with a larger --max-bytes"
    return refuse(413, "The request is too large", expected=f"at most {limit:,} bytes", got=got, hint=hint, headers={"Connection": "close"})


def not_found(kind: str, name: str) -> Refusal:
    """Return the refusal of something that is not there."""
    return refuse(404, f"Unknown {kind}", where=printable_name(name), expected="one of this server", got="another", hint="See /docs")


def broken() -> Refusal:
    """Return the answer to a request that shows a bug in seefit."""
    hint = "Please report it with the log of the server"
    return Refusal(500, SeefitError("The server failed", where="this request", expected="an answer", got="a bug in seefit", hint=hint))


def undecodable(name: str, kind: str, error: Undecodable | Unreadable) -> Refusal:
    """Return why an image of a client has no answer.

    Args:
        name: That the client gave it.
        kind: Its content type, as the client declared it; empty where it did not.
        error: Of the decoder.

    Returns:
        400 for an empty one, 415 where the client itself says that it is no image, 422 for a damaged or too large one.
    """
    foreign = bool(kind) and not kind.startswith(IMAGE_TYPES)
    status = 400 if error.reason == "0 bytes" else 415 if foreign else DataError.http_status
    return Refusal(status, Undecodable(error.reason, where=printable_name(name)))


def printable_name(name: str) -> str:
    """Return a name that a client gave, short and on one line."""
    line = one_line(name)
    return line if len(line) <= LONGEST_NAME else line[: LONGEST_NAME - 1] + "…"
