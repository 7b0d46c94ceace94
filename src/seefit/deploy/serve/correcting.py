"""``POST /corrections?label=…``: a picture and what it really shows, from the page of this very server and from nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seefit.data.image import Undecodable
from seefit.deploy.serve.corrections import Corrections
from seefit.deploy.serve.limits import Limits
from seefit.deploy.serve.refusals import refuse, undecodable
from seefit.deploy.serve.upload import read_form

if TYPE_CHECKING:
    from starlette.datastructures import Headers
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route


def correction_route(corrections: Corrections, limits: Limits) -> Route:
    """Return the route; what it raises is for the guard in front of the server to answer.

    Args:
        corrections: Where they are kept.
        limits: Of the server.
    """
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def answer(request: Request) -> JSONResponse:
        check_own_page(request.headers)
        first, *more = await read_form(request.headers.get("content-type", ""), request.stream(), limits)
        if more:
            raise refuse(400, "Too many pictures", expected="one picture with its label", got="several", hint="Correct one at a time")
        label = request.query_params.get("label", "")
        try:
            kept = await run_in_threadpool(corrections.keep, first.data, label, max_pixels=limits.pixels)
        except Undecodable as error:
            raise undecodable(first.name, first.kind, error) from error
        return JSONResponse({"kept": f"{kept:,}", "full": corrections.is_full()})

    return Route("/corrections", answer, methods=["POST"])


def check_own_page(headers: Headers) -> None:
    """Refuse whatever does not come from a page of this server: browsers name the origin with every POST, and no page can lie about it.

    Raises:
        Refusal: There is no origin, or another.
    """
    scheme, _, origin = headers.get("origin", "").lower().partition("://")
    if scheme not in {"http", "https"} or origin == "" or origin != headers.get("host", "").lower():
        hint = "Correct answers on the page itself"
        raise refuse(403, "Cannot keep the correction", expected="the page of this server", got="another sender", hint=hint)
