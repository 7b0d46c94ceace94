"""``POST /corrections``: a picture and what it really shows, from the page of this very server and from nowhere else."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, NamedTuple

from seefit.deploy.serve.corrections import Corrections
from seefit.errors import SeefitError, UsageError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

OVERHEAD_BYTES = 2**14  # of a form besides the file
LABEL_BYTES = 1_000


class Correction(NamedTuple):
    """What the page sends: the bytes of a picture, and its label."""

    data: bytes
    label: str


def correction_route(corrections: Corrections, *, max_bytes: int, max_pixels: int) -> Route:
    """Return the route.

    Args:
        corrections: Where they are kept.
        max_bytes: The largest picture that is taken.
        max_pixels: As in `seefit.data.image.decode`.
    """
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def answer(request: Request) -> JSONResponse:
        try:
            if not is_own_page(request):
                return _refused(403, "The request does not come from the page of this server.", "Correct answers on the page itself.")
            given = await read_correction(request, max_bytes)
            if given is None:
                return _refused(413, f"The request is larger than {max_bytes:,} bytes.", "Send a smaller copy of the picture.")
            kept = await run_in_threadpool(corrections.keep, given.data, given.label, max_pixels=max_pixels)
        except SeefitError as error:
            return JSONResponse(error.to_json(), error.http_status)
        return JSONResponse({"kept": f"{kept:,}", "full": corrections.is_full()})

    return Route("/corrections", answer, methods=["POST"])


def is_own_page(request: Request) -> bool:
    """Whether a request comes from a page of this server: browsers name the origin with every POST, and a page cannot lie about it."""
    scheme, _, origin = request.headers.get("origin", "").partition("://")
    return scheme in {"http", "https"} and origin != "" and origin == request.headers.get("host")


async def read_correction(request: Request, max_bytes: int) -> Correction | None:
    """Read the form of a correction, all of it in memory; None where there is too much of it.

    Raises:
        UsageError: It is no form with the fields ``file`` and ``label``.
    """
    from starlette.datastructures import UploadFile
    from starlette.formparsers import MultiPartException, MultiPartParser

    most, seen = max_bytes + OVERHEAD_BYTES, 0

    async def bounded() -> AsyncGenerator[bytes, None]:
        nonlocal seen
        async for chunk in request.stream():
            seen += len(chunk)
            if seen > most:
                return
            yield chunk

    try:
        if not request.headers.get("content-type", "").startswith("multipart/form-data"):
            raise MultiPartException("no form")
        parser = MultiPartParser(request.headers, bounded(), max_files=1, max_fields=1, max_part_size=LABEL_BYTES)
        parser.spool_max_size = most + 1  # uploads are never written to disk by the parser
        form = await parser.parse()
        file, label = form.get("file"), form.get("label")
    except (MultiPartException, KeyError, ValueError):
        file = label = None
    if seen > most:
        return None
    if not isinstance(file, UploadFile) or not isinstance(label, str):
        hint = "Send the fields file and label as multipart/form-data"
        raise UsageError("Cannot read the correction", where="the request", expected="a picture and a label", got="another form", hint=hint)
    try:
        return Correction(await file.read(), label)
    finally:
        await form.close()


def _refused(status: int, message: str, hint: str) -> JSONResponse:
    from starlette.responses import JSONResponse

    return JSONResponse({"error": {"code": UsageError.exit_code, "message": message, "hint": hint}}, status)
