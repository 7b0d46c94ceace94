"""The server of one model: ``POST /predict`` for people and scripts, the Open Inference Protocol for programs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException as PlainHTTPException
from starlette.responses import HTMLResponse, Response

from seefit.bundle.bundle import Bundle
from seefit.bundle.runtime import BATCH
from seefit.deploy.serve import handbook
from seefit.deploy.serve.answering import Answer, Question, answer
from seefit.deploy.serve.batching import Batcher
from seefit.deploy.serve.colleagues import Alone, Colleagues, Served
from seefit.deploy.serve.corrections import Corrections
from seefit.deploy.serve.guard import Access, Guard
from seefit.deploy.serve.inference import add_protocol
from seefit.deploy.serve.limits import Limits
from seefit.deploy.serve.logs import Log
from seefit.deploy.serve.meters import Meters, exposition
from seefit.deploy.serve.page import Facts, Serving, mount_page
from seefit.deploy.serve.refusals import Refusal, busy, not_found, refuse, undecodable
from seefit.deploy.serve.upload import FIELD, Upload, read_form
from seefit.environment import threads
from seefit.errors import unknown_name

ABOUT = f"""A classifier of images, made by seefit.

    curl -F {FIELD}=@image.jpg http://127.0.0.1:8000/predict

Every answer carries the hash of the model in the header X-Model-Hash. Errors are {{"error": {{"code", "message", "hint"}}}}."""
FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {"type": "object", "properties": {FIELD: {"type": "array", "items": {"type": "string", "format": "binary"}}}}
            }
        },
    },
    "parameters": [
        {
            "name": "explain",
            "in": "query",
            "schema": {"type": "string"},
            "description": "true, or the name of a class: with a heat map, and similar training images where there are some",
        }
    ],
}
ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"description": "Nothing, or not what was asked for"},
    401: {"description": "A missing or wrong key, where the server has one"},
    408: {"description": "Sent too slowly"},
    413: {"description": "Too many bytes or images"},
    415: {"description": "Another content type"},
    422: {"description": "A damaged image, or one with too many pixels"},
    503: {"description": "Too busy; ask again after the time in Retry-After"},
}


class Server:
    """What the routes of a server share.

    Args:
        served: The model.
        limits: What is taken.
        log: Where requests are written to.
    """

    def __init__(self, served: Served, limits: Limits, log: Log) -> None:
        self.served, self.limits, self.log = served, limits, log
        self.answering: Batcher[Question, Answer] = Batcher(answer, threads=threads(), size=BATCH, waiting=limits.waiting)
        # where the class map is not exact an explanation takes many runs of the network: answers do not wait behind it
        self.explaining: Batcher[Question, Answer] = Batcher(answer, threads=1, size=1, waiting=limits.waiting)
        self.meters = Meters(lambda: len(self.answering) + len(self.explaining), lambda: {"model": served.name, "hash": served.bundle.hash})
        self.colleagues: Colleagues = Alone(served, self.meters)

    async def ask(self, bundle: Bundle, questions: list[Question]) -> list[Answer]:
        """Have questions answered by one model.

        Raises:
            Refusal: 503 when too many wait, or when it takes too long.
        """
        futures = (self.explaining if any(question.explain for question in questions) else self.answering).submit(bundle, questions)
        try:
            async with asyncio.timeout(self.limits.seconds):
                answers = await asyncio.gather(*futures)
        except TimeoutError:
            raise busy(f"an answer within {self.limits.seconds:g} s", "a longer queue") from None
        wrong = sum(found.prediction.error is not None for found in answers)
        self.meters.images(len(answers) - wrong, wrong)
        return answers

    def told(self, scope: Any, status: int, seconds: float, received: int) -> None:
        """Count and log a request that ended."""
        self.meters.request(scope, status, seconds, received)
        self.log.request(scope, status, seconds, received)

    def stamp(self) -> dict[bytes, bytes]:
        """Return what every answer carries."""
        return {b"x-model-hash": self.served.bundle.hash.encode()}


def create_app(
    bundle: Bundle,
    name: str = "model",
    *,
    limits: Limits = Limits(),  # noqa: B008 (frozen)
    access: Access = Access(),  # noqa: B008
    log: Log = Log(None),  # noqa: B008
    colleagues: Callable[[Served, Meters], Colleagues] = Alone,
    corrections: Corrections | None = None,
) -> FastAPI:
    """Return the server of a model as an ASGI application.

    Args:
        bundle: The model.
        name: By which clients know it.
        limits: What the server takes.
        access: Who may ask.
        log: Where requests are written to.
        colleagues: Makes what a worker knows of the others.
        corrections: Where corrections from the page are kept; None where they are not wanted.
    """
    server = Server(Served(name, bundle), limits, log)
    server.colleagues = colleagues(server.served, server.meters)

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        yield
        server.answering.close()
        server.explaining.close()

    title = "seefit" if access.key is not None else f"seefit: {name}"  # /docs needs no key, and says nothing about the model then
    app = FastAPI(title=title, description=ABOUT, docs_url=None, redoc_url=None, lifespan=life)
    app.state.served, app.state.stamp = server.served, server.stamp
    app.add_middleware(Guard, access=access, limits=limits, told=server.told, stamp=server.stamp)
    for kind in (HTTPException, PlainHTTPException, RequestValidationError):
        app.add_exception_handler(kind, _refused)
    _add_predict(app, server)
    add_protocol(app, server, keyed=access.key is not None)
    _add_service(app, server)
    mount_page(app, lambda: _facts(server.served), Serving(limits, access.key is not None, corrections))
    return app


def _facts(served: Served) -> Facts:
    return Facts(served.name, served.bundle.hash, served.bundle.classes, served.bundle.manifest)


def _add_predict(app: FastAPI, server: Server) -> None:
    @app.post("/predict", openapi_extra=FORM, responses=ERRORS)
    async def predict(request: Request) -> Response:
        """Classify images: one or more files in the field "file" of a form.

        The answer has one result per file, in order: {"name", "predictions": [{"label", "score"}, …]}, scores calibrated, best first,
        the best five of more than 100 classes; with "none_of_these", "unknown", "set" and what held-out images tell of such a score
        ("reliability" …, "selective_coverage" …) where the model tells them. One file that cannot be used gives the status of its
        error; among several its result is {"name", "error"}, and the status is 200.
        """
        bundle = server.served.bundle
        explain, label = _wanted(request.query_params.get("explain"), bundle)
        uploads = await read_form(request.headers.get("content-type", ""), request.stream(), server.limits)
        answers = await server.ask(bundle, [Question(upload.data, explain, label, server.limits.pixels) for upload in uploads])
        results = [_result(upload, found) for upload, found in zip(uploads, answers, strict=True)]
        if len(results) == 1 and isinstance(results[0], Refusal):
            raise results[0]
        said = [
            {"name": upload.name, **(result.body() if isinstance(result, Refusal) else result)}
            for upload, result in zip(uploads, results, strict=True)
        ]
        return json_response({"model": {"name": server.served.name, "hash": bundle.hash}, "results": said}, bundle)


def _add_service(app: FastAPI, server: Server) -> None:
    @app.get("/metrics")
    async def metrics() -> Response:
        """Figures for Prometheus, the sum over all workers."""
        text = await asyncio.to_thread(exposition, await server.colleagues.snapshots())
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(handbook.render_handbook(app.openapi()), headers={"Content-Security-Policy": handbook.POLICY})


def _wanted(explain: str | None, bundle: Bundle) -> tuple[bool, str | None]:
    """Return whether to explain, and which class; None for the predicted one."""
    if explain in bundle.classes:
        return True, explain
    if explain is None or explain.lower() in {"", "false", "0"}:
        return False, None
    if explain.lower() in {"true", "1"}:
        return True, None
    unknown_name("class", explain[:80], bundle.classes)


def _result(upload: Upload, found: Answer) -> dict[str, Any] | Refusal:
    error = found.prediction.error
    return found.told() if error is None else undecodable(upload.name, upload.kind, error)


def json_response(value: Any, bundle: Bundle) -> Response:
    """Return an object as the answer of a model."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Response(text.encode("utf-8", "replace"), headers={"X-Model-Hash": bundle.hash}, media_type="application/json")


async def _refused(request: Request, error: Exception) -> Response:
    """Turn what the router says no with into the one form of errors."""
    status = error.status_code if isinstance(error, PlainHTTPException) else 400
    if status == 404:
        return not_found("address", request.url.path).response()
    headers = error.headers if isinstance(error, PlainHTTPException) else None
    what = "Method not allowed" if status == 405 else "Cannot read the request"
    return refuse(status, what, expected="what /docs says", got="another request", hint="See /docs", headers=headers).response()
