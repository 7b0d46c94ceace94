"""The routes of the Open Inference Protocol, and those of its repository of models, which has one model here."""

from __future__ import annotations

from importlib.metadata import version as version_of
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response

from seefit.data.image import Undecodable
from seefit.deploy.serve.answering import Question
from seefit.deploy.serve.protocol import HEADER_LENGTH, metadata, output_names, read_infer, version, write_infer
from seefit.deploy.serve.refusals import Refusal, not_found, refuse, undecodable
from seefit.errors import ArtefactError, SeefitError

if TYPE_CHECKING:
    from seefit.deploy.serve.app import Server

EXTENSIONS = ["binary_tensor_data", "model_repository"]
JSON_TYPES = ("application/json", "application/octet-stream")


def add_protocol(app: FastAPI, server: Server, *, keyed: bool) -> None:
    """Add the routes.

    Args:
        app: The server.
        server: What its routes share.
        keyed: Whether clients need a key; without one no model can be loaded from outside.
    """
    _add_health(app, server)
    _add_model(app, server)
    _add_repository(app, server, keyed)


def _known(server: Server, model: str, number: str | None = None) -> None:
    if model != server.served.name:
        raise not_found("model", model)
    if number is not None and number != version(server.served.bundle):
        raise not_found("version", number)


def _add_health(app: FastAPI, server: Server) -> None:
    @app.get("/v2")
    async def about() -> dict[str, Any]:
        """What this server is."""
        return {"name": "seefit", "version": version_of("seefit"), "extensions": EXTENSIONS}

    @app.get("/v2/health/live")
    async def live() -> dict[str, bool]:
        """Whether the server runs."""
        return {"live": True}

    @app.get("/v2/health/ready")
    async def ready() -> dict[str, bool]:
        """Whether the server takes requests."""
        return {"ready": True}


def _add_model(app: FastAPI, server: Server) -> None:
    @app.get("/v2/models/{model}/versions/{number}")
    @app.get("/v2/models/{model}")
    async def model_metadata(model: str, number: str | None = None) -> dict[str, Any]:
        """Inputs and outputs of the model, its classes and its hash."""
        _known(server, model, number)
        return metadata(server.served.name, server.served.bundle)

    @app.get("/v2/models/{model}/versions/{number}/ready")
    @app.get("/v2/models/{model}/ready")
    async def model_ready(model: str, number: str | None = None) -> dict[str, Any]:
        """Whether the model can be asked."""
        _known(server, model, number)
        return {"name": server.served.name, "ready": True}

    @app.post("/v2/models/{model}/versions/{number}/infer")
    @app.post("/v2/models/{model}/infer")
    async def infer(request: Request, model: str, number: str | None = None) -> Response:
        """Ask the model, with JSON or binary tensors.

        The input image is UINT8 [N, height, width, 3] in RGB, or BYTES [N]: encoded files, in JSON as base64. All outputs come unless
        some are named.

            {"inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "data": ["…base64…"]}], "outputs": [{"name": "probabilities"}]}

        In binary form the JSON is as long as the header Inference-Header-Content-Length says, and the tensor follows.
        """
        _known(server, model, number)
        return await _infer(request, server)


async def _infer(request: Request, server: Server) -> Response:
    kind = request.headers.get("content-type", JSON_TYPES[0]).partition(";")[0].strip().lower()
    if kind not in JSON_TYPES:
        raise refuse(415, "Unsupported content type", expected=" or ".join(JSON_TYPES), got=kind[:60], hint="See /docs")
    bundle, limits = server.served.bundle, server.limits
    body = await request.body()
    asked = read_infer(body, request.headers.get(HEADER_LENGTH), bundle, limits)
    answers = await server.ask(bundle, [Question(image, max_pixels=limits.pixels) for image in asked.images])
    for at, found in enumerate(answers):
        if isinstance(found.prediction.error, Undecodable):
            raise undecodable(f"image {at}", "", found.prediction.error)
    body, json_bytes = write_infer(asked, server.served.name, bundle, [found.prediction for found in answers])
    headers = {"X-Model-Hash": bundle.hash} | ({} if json_bytes is None else {HEADER_LENGTH: str(json_bytes)})
    return Response(body, headers=headers, media_type=JSON_TYPES[0 if json_bytes is None else 1])


def _add_repository(app: FastAPI, server: Server, keyed: bool) -> None:
    @app.post("/v2/repository/index")
    async def index() -> list[dict[str, str]]:
        """The models that there are."""
        return [{"name": server.served.name, "version": version(server.served.bundle), "state": "READY", "reason": ""}]

    @app.post("/v2/repository/models/{model}/load")
    async def load(model: str) -> Response:
        """Serve what is at the place of the model now: a run that was trained anew. Takes the key of the server.

        The new model is checked and asked for its golden images first. When it fails, the answer is 409 and the old one stays; else
        every worker serves the new one from now on. Nobody waits meanwhile.
        """
        _known(server, model)
        if not keyed:
            hint = "Start the server with --api-key-file"
            raise refuse(403, "Loading is switched off", expected="a server with a key", got="one without", hint=hint)
        try:
            found = await server.colleagues.reload()
        except SeefitError as error:
            server.log.failure("the new model cannot be served", error)
            raise _stays(error) from error
        server.log.event("serves another model", hash=found)
        return JSONResponse({"name": server.served.name, "state": "READY", "hash": found, "outputs": output_names(server.served.bundle)})


def _stays(error: SeefitError) -> Refusal:
    """Return why a model was not loaded, without the paths that the error itself names: those are in the log."""
    hint = "Look into the log of the server, put a sound model in its place, and ask again"
    got = "a model that is damaged or answers differently" if isinstance(error, ArtefactError) else "one that cannot be loaded"
    return Refusal(409, ArtefactError("The old model stays", where="the new model", expected="a sound one", got=got, hint=hint))
