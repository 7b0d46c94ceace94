"""A server for the page that answers by the names of files: what the page shows can then be told beforehand."""

from __future__ import annotations

import base64
import contextlib
import io
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from PIL import Image

from seefit.deploy.serve.guard import Access, Guard
from seefit.deploy.serve.page import Facts, Serving, mount_page

CLASSES = ("defective", "functional")
MANIFEST = {"trust": {"sets": {"coverage": 0.9}, "unknown": {"rate": 0.05}}}


def png(value: int = 120, size: tuple[int, int] = (60, 40)) -> bytes:
    """Return a PNG with a gradient in it."""
    pixels = np.tile(np.linspace(value // 2, value, size[0], dtype=np.uint8), (size[1], 1))
    buffer = io.BytesIO()
    Image.fromarray(np.stack([pixels, pixels, 255 - pixels], -1)).save(buffer, "PNG")
    return buffer.getvalue()


def address(data: bytes) -> str:
    """Return a picture as the server sends it."""
    return "data:image/png;base64," + base64.b64encode(data).decode("ascii")


def answer(name: str, classes: Sequence[str], explain: str | None) -> dict[str, Any]:
    """Return what ``POST /predict`` says of one file: the name tells how sure the model is."""
    best = 0.55 if "unsure" in name else 0.58 if "low" in name else 0.93
    rest = [(1 - best) / (len(classes) - 1)] * (len(classes) - 1)
    order = [*classes[1:], classes[0]] if "functional" in name else list(classes)
    scores = [{"label": label, "score": score} for label, score in zip(order, [best, *rest], strict=True)]
    odd = "odd" in name
    found = {"name": name, "predictions": scores, "unknown": 1.7 if odd else 0.2, "none_of_these": odd}
    found |= {"reliability": 0.91, "selective_coverage": 0.8, "selective_accuracy": 0.95}
    found["set"] = order[:2] if "unsure" in name else order[:1]
    if explain and "silent" not in name:
        label = order[0] if explain == "true" else explain
        found["explanation"] = {"label": label, "exact": "about" not in name, "image": address(png(250))}
        found["nearest"] = [
            {"label": order[i % len(order)], "name": f"train <{i}>.png", "similarity": 0.9 - i / 10, "image": address(png(80 + 40 * i))}
            for i in range(4)
        ]
    return found


def make_app(classes: Sequence[str], serving: Serving, asked: list[str], key: str = "") -> Any:
    """Return the server; the names of the files that it was asked about are added to ``asked``."""
    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    def error(status: int, message: str, **headers: str) -> JSONResponse:
        return JSONResponse({"error": {"code": 3, "message": message, "hint": "."}}, status, headers)

    async def predict(request: Request) -> JSONResponse:
        async with request.form() as form:
            name = str(getattr(form["file"], "filename", ""))
        asked.append(name)
        if "busy" in name and asked.count(name) < 3:
            return error(503, "The queue is full.", **{"Retry-After": "0"})
        if "broken" in name:
            return error(422, "Cannot decode the image: <b>here</b>. Expected a whole image, got a cut one.")
        found = answer(name, classes, request.query_params.get("explain"))
        return JSONResponse({"model": {"name": "cells", "hash": "0" * 64}, "results": [found]})

    app = FastAPI()
    access = Access(key=key.encode() or None)
    app.add_middleware(Guard, access=access, limits=serving.limits, told=lambda *_: None, stamp=dict)
    app.router.routes.append(Route("/predict", predict, methods=["POST"]))
    mount_page(app, lambda: Facts("cells", "0" * 64, classes, MANIFEST), serving)
    return app


@contextlib.contextmanager
def running(app: Any) -> Iterator[str]:
    """Run a server in a thread and give its address."""
    import uvicorn

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error", ws="none"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    end = time.monotonic() + 30
    while not server.started and time.monotonic() < end:
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.should_exit = True
        thread.join(timeout=20)
