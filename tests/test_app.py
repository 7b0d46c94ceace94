"""`POST /predict` as its clients know it, and what the server says of itself."""

from __future__ import annotations

import base64
import io
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from PIL import Image
from starlette.testclient import TestClient

from seefit.bundle.bundle import Bundle, load
from seefit.deploy.serve.answering import Answer, Question, answer
from seefit.deploy.serve.app import create_app
from seefit.deploy.serve.guard import Access
from seefit.deploy.serve.limits import Limits
from served import bomb, picture


@pytest.fixture(scope="module")
def client(tiny_bundle: Path) -> Iterator[TestClient]:
    with TestClient(create_app(load(tiny_bundle), "cells", limits=Limits(images=4, waiting=4)), base_url="http://localhost") as client:
        yield client


def files(*contents: bytes) -> list[tuple[str, tuple[str, bytes, str]]]:
    return [("file", (f"{i}.png", content, "image/png")) for i, content in enumerate(contents)]


def test_answers_are_those_of_predict(client: TestClient, tiny_bundle: Path, tmp_path: Path, elpv_cells: dict[str, list[Path]]) -> None:
    paths = [cells[0] for cells in elpv_cells.values()]
    said = client.post("/predict", files=files(*(path.read_bytes() for path in paths))).json()
    bundle = load(tiny_bundle)
    assert said["model"] == {"name": "cells", "hash": bundle.hash}
    for result, ranked in zip(said["results"], bundle.predict(paths), strict=True):
        assert [entry["label"] for entry in result["predictions"]] == [entry["label"] for entry in ranked]
        assert [entry["score"] for entry in result["predictions"]] == pytest.approx([entry["score"] for entry in ranked], abs=1e-6)


def test_several_files_are_answered_one_by_one_and_a_single_one_by_its_status(client: TestClient) -> None:
    answer = client.post("/predict", files=files(picture(), b"", picture()[:500], bomb()))
    assert answer.status_code == 200
    good, empty, cut, huge = answer.json()["results"]
    assert set(good) == {"name", "predictions"}
    assert [set(result) for result in (empty, cut, huge)] == [{"name", "error"}] * 3
    assert cut["error"]["message"].endswith("got truncated PNG.")
    assert "900 megapixels, over the limit" in huge["error"]["message"]
    assert [client.post("/predict", files=files(data)).status_code for data in (b"", picture()[:500], bomb())] == [400, 422, 422]


def test_an_explanation_is_a_picture_of_the_wanted_class(client: TestClient) -> None:
    plain = client.post("/predict", files=files(picture())).json()["results"][0]
    for wanted, label in (("true", plain["predictions"][0]["label"]), ("functional", "functional")):
        result = client.post(f"/predict?explain={wanted}", files=files(picture())).json()["results"][0]
        assert (result["predictions"], result["explanation"]["label"], result["explanation"]["exact"]) == (
            plain["predictions"],
            label,
            True,
        )
        head, _, data = result["explanation"]["image"].partition(",")
        assert head == "data:image/png;base64"
        assert Image.open(io.BytesIO(base64.b64decode(data))).size == (40, 40)
    answer = client.post("/predict?explain=functionl", files=files(picture()))
    assert (answer.status_code, "Did you mean 'functional'?" in answer.json()["error"]["hint"]) == (400, True)
    assert "explanation" not in client.post("/predict?explain=false", files=files(picture())).json()["results"][0]


def test_an_answer_does_not_wait_behind_explanations(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held, asked = threading.Event(), threading.Event()

    def slow(bundle: Bundle, questions: Sequence[Question]) -> list[Answer]:
        if questions[0].explain:
            asked.set()
            held.wait(30)
        return answer(bundle, questions)

    monkeypatch.setattr("seefit.deploy.serve.app.answer", slow)
    with TestClient(create_app(load(tiny_bundle)), base_url="http://localhost") as client, ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(client.post, "/predict?explain=true", files=files(picture())) for _ in range(6)]
        assert asked.wait(10)
        assert client.post("/predict", files=files(picture())).status_code == 200
        assert not any(one.done() for one in waiting)
        held.set()
        assert [one.result().status_code for one in waiting] == [200] * 6


def test_what_needs_no_key_does_not_name_the_model(tiny_bundle: Path) -> None:
    for access, title in ((Access(key=b"0123456789abcdef"), "seefit"), (Access(), "seefit: cells")):
        with TestClient(create_app(load(tiny_bundle), "cells", access=access), base_url="http://localhost") as client:
            said = client.get("/openapi.json")
            assert said.json()["info"]["title"] == title
            assert ("cells" in said.text + client.get("/docs").text) == (title != "seefit")


def test_the_queue_and_the_number_of_files_have_an_end(client: TestClient, tiny_bundle: Path) -> None:
    assert client.post("/predict", files=files(*[picture()] * 5)).status_code == 413
    with TestClient(create_app(load(tiny_bundle), limits=Limits(waiting=2)), base_url="http://localhost") as narrow:
        answer = narrow.post("/predict", files=files(*[picture()] * 3))
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert narrow.post("/predict", files=files(picture())).status_code == 200


def test_names_come_back_as_they_were(client: TestClient) -> None:
    for name in ("<script>.png", "猫 %00 😀.png", "a\x1b[31m.png", "../../etc/passwd"):
        answer = client.post("/predict", files=[("file", (name, b"x", "image/png")), ("file", (name, picture(), "image/png"))])
        assert answer.status_code == 200
        assert "\x1b" not in answer.json()["results"][0]["error"]["message"]


def test_bytes_of_pixels_are_answered_like_the_file(client: TestClient) -> None:
    data = picture()
    said = client.post("/predict", files=files(data)).json()["results"][0]
    pixels = np.asarray(Image.open(io.BytesIO(data)))
    body = {"inputs": [{"name": "image", "datatype": "UINT8", "shape": [1, *pixels.shape], "data": pixels.ravel().tolist()}]}
    outputs = {entry["name"]: entry["data"] for entry in client.post("/v2/models/cells/infer", json=body).json()["outputs"]}
    assert outputs["label"] == [said["predictions"][0]["label"]]
    assert max(outputs["probabilities"]) == pytest.approx(said["predictions"][0]["score"], abs=1e-6)


def test_documents_and_figures(client: TestClient) -> None:
    schema = client.get("/openapi.json").json()
    assert {"/predict", "/metrics", "/v2", "/v2/models/{model}/infer", "/v2/repository/models/{model}/load"} <= set(schema["paths"])
    page = client.get("/docs")
    assert "multipart" not in page.headers["content-type"]
    assert "/v2/repository/models/{model}/load" in page.text
    assert "http://" not in page.text.replace("http://127.0.0.1:8000/predict", ""), "nothing from the network"
    text = client.get("/metrics").text
    assert 'seefit_requests_total{method="POST",route="/predict",status="400"}' in text
    assert 'seefit_images_total{outcome="undecodable"}' in text
    assert client.get("/predict").status_code == 405
