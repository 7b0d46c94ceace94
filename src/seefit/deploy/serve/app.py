"""The server of one model: ``POST /predict`` for people and scripts, the Open Inference Protocol for programs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request

from seefit.bundle.bundle import Bundle
from seefit.bundle.runtime import BATCH
from seefit.data.image import Undecodable, Unreadable
from seefit.deploy.serve.answering import Answer, Question, answer
from seefit.deploy.serve.batching import Batcher
from seefit.deploy.serve.corrections import Corrections
from seefit.deploy.serve.guard import Access, Guard
from seefit.deploy.serve.limits import Limits
from seefit.deploy.serve.page import Facts, Serving, mount_page
from seefit.deploy.serve.refusals import Refusal, too_slow, undecodable
from seefit.deploy.serve.upload import Upload, read_form
from seefit.environment import threads
from seefit.errors import unknown_name

if TYPE_CHECKING:
    from starlette.responses import Response


@dataclass
class Served:
    """The model that is served now.

    Attributes:
        name: By which clients know it.
        bundle: Replaced as a whole by a reload; whoever works with one keeps it.
    """

    name: str
    bundle: Bundle


def create_app(
    bundle: Bundle, name: str = "model", *, limits: Limits = Limits(), access: Access = Access(), corrections: Corrections | None = None
) -> FastAPI:
    """Return the server of a model as an ASGI application.

    Args:
        bundle: The model.
        name: By which clients know it.
        limits: What the server takes.
        access: Who may ask.
        corrections: Where corrections from the page are kept; None where they are not wanted.
    """
    served = Served(name, bundle)
    batcher: Batcher[Question, Answer] = Batcher(answer, threads=threads(), size=BATCH, waiting=limits.waiting)

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        yield
        batcher.close()

    app = FastAPI(title=f"seefit: {name}", docs_url=None, redoc_url=None, lifespan=life)
    app.state.served = served
    app.add_middleware(
        Guard, access=access, limits=limits, told=lambda *_: None, stamp=lambda: {b"x-model-hash": served.bundle.hash.encode()}
    )

    @app.post("/predict")
    async def predict(request: Request) -> Any:
        return await _predict(request, served, batcher, limits)

    mount_page(app, lambda: _facts(served), Serving(limits, access.key is not None, corrections))
    return app


def _facts(served: Served) -> Facts:
    return Facts(served.name, served.bundle.hash, served.bundle.classes, served.bundle.manifest)


async def _predict(request: Request, served: Served, batcher: Batcher[Question, Answer], limits: Limits) -> Response:
    bundle = served.bundle
    explain, label = _wanted(request.query_params.get("explain"), bundle)
    uploads = await read_form(request.headers.get("content-type", ""), request.stream(), limits)
    questions = [Question(upload.data, explain, label, limits.pixels) for upload in uploads]
    answers = await ask(batcher, bundle, questions, limits)
    results = [_result(upload, found) for upload, found in zip(uploads, answers, strict=True)]
    if len(results) == 1 and isinstance(results[0], Refusal):
        raise results[0]
    said = [
        {"name": upload.name, **(result.body() if isinstance(result, Refusal) else result)}
        for upload, result in zip(uploads, results, strict=True)
    ]
    return json_response({"model": {"name": served.name, "hash": bundle.hash}, "results": said}, bundle.hash)


def _wanted(explain: str | None, bundle: Bundle) -> tuple[bool, str | None]:
    """Return whether to explain, and which class; None for the predicted one."""
    if explain is None or explain.lower() in {"", "false", "0"}:
        return False, None
    if explain.lower() in {"true", "1"} and explain not in bundle.classes:
        return True, None
    if explain not in bundle.classes:
        unknown_name("class", explain[:80], bundle.classes)
    return True, explain


async def ask(batcher: Batcher[Question, Answer], bundle: Bundle, questions: list[Question], limits: Limits) -> list[Answer]:
    """Have questions answered by one model.

    Raises:
        Refusal: 503 when too many wait, 408 when it takes too long.
    """
    futures = batcher.submit(bundle, questions)
    try:
        return await asyncio.wait_for(asyncio.gather(*futures), limits.seconds)
    except TimeoutError:
        raise too_slow(limits.seconds) from None


def _result(upload: Upload, found: Answer) -> dict[str, Any] | Refusal:
    error = found.prediction.error
    if isinstance(error, Undecodable):
        return undecodable(upload.name, upload.kind, error)
    if isinstance(error, Unreadable):
        raise error
    return found.told()


def json_response(value: Any, hash: str) -> Response:
    """Return an object as the answer of the model with a hash."""
    from starlette.responses import Response

    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Response(text.encode("utf-8", "replace"), headers={"X-Model-Hash": hash}, media_type="application/json")
