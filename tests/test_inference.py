"""The routes of the Open Inference Protocol, in both forms."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from starlette.testclient import TestClient

from seefit.bundle.bundle import load
from seefit.deploy.serve.app import create_app
from served import picture

INFER = "/v2/models/cells/infer"


@pytest.fixture(scope="module")
def client(tiny_bundle: Path) -> Iterator[TestClient]:
    with TestClient(create_app(load(tiny_bundle), "cells"), base_url="http://localhost") as client:
        yield client


def test_what_a_client_asks_first(client: TestClient, tiny_bundle: Path) -> None:
    version = load(tiny_bundle).hash[:12]
    assert client.get("/v2").json()["extensions"] == ["binary_tensor_data", "model_repository"]
    assert [client.get(f"/v2/health/{what}").status_code for what in ("live", "ready")] == [200, 200]
    assert client.get("/v2/models/cells").json() == client.get(f"/v2/models/cells/versions/{version}").json()
    assert client.get("/v2/models/cells/ready").json() == {"name": "cells", "ready": True}
    assert client.post("/v2/repository/index").json() == [{"name": "cells", "version": version, "state": "READY", "reason": ""}]
    for path in ("/v2/models/other", "/v2/models/cells/versions/1", "/v2/models/other/ready"):
        assert (client.get(path).status_code, "error" in client.get(path).json()) == (404, True)


def test_json_and_binary_say_the_same(client: TestClient) -> None:
    files = [picture(1), picture(2)]
    tensor = {"name": "image", "shape": [2], "datatype": "BYTES", "data": [base64.b64encode(file).decode() for file in files]}
    said = client.post(INFER, json={"id": "a", "inputs": [tensor]}).json()
    assert (said["id"], said["model_name"]) == ("a", "cells")
    outputs = {entry["name"]: entry for entry in said["outputs"]}

    blob = b"".join(struct.pack("<I", len(file)) + file for file in files)
    head = json.dumps(
        {
            "inputs": [{"name": "image", "shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": len(blob)}}],
            "outputs": [{"name": "probabilities", "parameters": {"binary_data": True}}],
        }
    ).encode()
    headers = {"Inference-Header-Content-Length": str(len(head)), "Content-Type": "application/octet-stream"}
    answer = client.post(INFER, content=head + blob, headers=headers)
    assert answer.headers["content-type"] == "application/octet-stream"
    length = int(answer.headers["inference-header-content-length"])
    (only,) = json.loads(answer.content[:length])["outputs"]
    found = np.frombuffer(answer.content[length:], "<f4")
    assert only["shape"] == [2, 2]
    assert found.tolist() == pytest.approx(outputs["probabilities"]["data"], abs=1e-6)


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"x" * (5 * 2**20), "application/json", 413),
        (b"{}", "text/plain", 415),
        (b'{"inputs":[{"name":"image","shape":[1],"datatype":"BYTES","data":["eA=="]}]}', "application/json", 422),
        (b'{"inputs":[{"name":"image","shape":[1],"datatype":"BYTES","data":[""]}]}', "application/json", 400),
        (b'{"inputs":[{"name":"image","shape":[1,90000,90000,3],"datatype":"UINT8","data":[1]}]}', "application/json", 422),
    ],
)
def test_what_is_refused(client: TestClient, body: bytes, kind: str, status: int) -> None:
    answer = client.post(INFER, content=body, headers={"Content-Type": kind})
    assert (answer.status_code, set(answer.json())) == (status, {"error"})


def test_loading_takes_a_key(client: TestClient) -> None:
    answer = client.post("/v2/repository/models/cells/load")
    assert (answer.status_code, answer.json()["error"]["hint"]) == (403, "Start the server with --api-key-file.")
    assert client.post("/v2/repository/models/other/load").status_code == 404
