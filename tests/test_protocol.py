"""The Open Inference Protocol: requests are read or refused, and both forms of tensors say the same."""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seefit.bundle.bundle import Bundle, load
from seefit.bundle.predict import Prediction
from seefit.data.dataset import Sample
from seefit.deploy.serve.limits import Limits
from seefit.deploy.serve.protocol import Asked, metadata, output_names, read_infer, version, write_infer
from seefit.deploy.serve.refusals import Refusal

LIMITS = Limits(images=4, pixels=1_000, json_bytes=20_000)
PIXELS = np.arange(2 * 3 * 4 * 3, dtype=np.uint8).reshape(2, 3, 4, 3)


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Path) -> Bundle:
    return load(tiny_bundle)


def tensor(**changes: Any) -> dict[str, Any]:
    return {"name": "image", "shape": [2, 3, 4, 3], "datatype": "UINT8", "data": PIXELS.ravel().tolist()} | changes


def read(bundle: Bundle, said: Any, binary: bytes | None = None, length: str | None = None) -> Asked:
    text = said if isinstance(said, bytes) else json.dumps(said).encode()
    return read_infer(text + (binary or b""), length or (None if binary is None else str(len(text))), bundle, LIMITS)


def refused(bundle: Bundle, *arguments: Any) -> tuple[int, str]:
    with pytest.raises(Refusal) as caught:
        read(bundle, *arguments)
    return caught.value.status, caught.value.error.message


def test_pixels_come_flat_nested_and_binary(bundle: Bundle) -> None:
    for asked in (
        read(bundle, {"inputs": [tensor()]}),
        read(bundle, {"inputs": [tensor(data=PIXELS.tolist())]}),
        read(bundle, {"id": "7", "inputs": [tensor(data=None, parameters={"binary_data_size": 72})]}, PIXELS.tobytes()),
    ):
        assert np.array_equal(np.stack(asked.images), PIXELS)
        assert asked.outputs == output_names(bundle)


def test_files_come_as_base64_and_binary(bundle: Bundle) -> None:
    files = [b"first", b"", b"third"]
    text = {"name": "image", "shape": [3], "datatype": "BYTES", "data": [base64.b64encode(file).decode() for file in files]}
    assert read(bundle, {"inputs": [text]}).images == files
    blob = b"".join(struct.pack("<I", len(file)) + file for file in files)
    said = {"name": "image", "shape": [3, 1], "datatype": "BYTES", "parameters": {"binary_data_size": len(blob)}}
    assert read(bundle, {"inputs": [said]}, blob).images == files


@pytest.mark.parametrize(
    ("said", "status", "words"),
    [
        (b"", 400, "the body. Expected JSON"),
        (b"[1]", 400, "Expected an object, got 'list'"),
        (b'{"inputs": [NaN]}', 400, "no such number"),
        (b"[" * 10_000, 400, "Expected JSON"),
        (b" " * 20_001, 413, "Too much JSON"),
        ({"inputs": []}, 400, "one input of the name image"),
        ({"inputs": [tensor(name="x")]}, 400, "one input of the name image"),
        ({"inputs": [tensor(shape=[2, 3, 4])]}, 400, "[N, height, width, 3]"),
        ({"inputs": [tensor(shape=[2, 3, 4, 4])]}, 400, "[N, height, width, 3]"),
        ({"inputs": [tensor(shape=[True, 3, 4, 3])]}, 400, "whole numbers above 0"),
        ({"inputs": [tensor(shape=[1, 0, 4, 3])]}, 400, "whole numbers above 0"),
        ({"inputs": [tensor(shape=[5, 3, 4, 3])]}, 413, "Too many images"),
        ({"inputs": [tensor(shape=[1, 40, 40, 3])]}, 422, "at most 1,000 pixels"),
        ({"inputs": [tensor(data=[0] * 71)]}, 400, "72 numbers"),
        ({"inputs": [tensor(data=[256] * 72)]}, 400, "0 to 255"),
        ({"inputs": [tensor(data=[-1] * 72)]}, 400, "0 to 255"),
        ({"inputs": [tensor(data=[0.5] * 72)]}, 400, "0 to 255"),
        ({"inputs": [tensor(data=[True] * 72)]}, 400, "0 to 255"),
        ({"inputs": [tensor(data=[10**30] * 72)]}, 400, "0 to 255"),
        ({"inputs": [tensor(data=[[1], [2, 3]])]}, 400, "different lengths"),
        ({"inputs": [tensor(data=None)]}, 400, "0 to 255"),
        ({"inputs": [tensor(datatype="FP32")]}, 400, "UINT8 or BYTES"),
        ({"inputs": [tensor(datatype="BYTES", shape=[1], data=["?"])]}, 400, "base64"),
        ({"inputs": [tensor(datatype="BYTES", shape=[2], data=["eA=="])]}, 400, "[1], as there are images"),
        ({"inputs": [tensor(parameters=[])]}, 400, "an object"),
        ({"inputs": [tensor(parameters={"binary_data_size": 5})]}, 400, "binary_data_size"),
        ({"inputs": [tensor()], "outputs": [{"name": "x"}]}, 400, "some of probabilities, label"),
        ({"inputs": [tensor()], "outputs": []}, 400, "some of probabilities, label"),
        ({"inputs": [tensor()], "id": 7}, 400, "text of at most 256"),
    ],
)
def test_what_the_protocol_does_not_allow(bundle: Bundle, said: Any, status: int, words: str) -> None:
    found, message = refused(bundle, said)
    assert (found, words in message) == (status, True), message


@pytest.mark.parametrize("length", ["-1", "x", "99999", "1" * 30, "٣"])
def test_a_bad_length_of_the_header(bundle: Bundle, length: str) -> None:
    assert refused(bundle, {"inputs": [tensor()]}, b"", length)[0] == 400


def test_answers_in_both_forms_say_the_same(bundle: Bundle) -> None:
    sample = Sample(Path(), "", None)
    predictions = [Prediction(sample, bundle.classes, np.array(p, np.float32)) for p in ([0.25, 0.75], [0.9, 0.1])]
    text, none = write_infer(Asked("7", [], ["probabilities", "label"], frozenset()), "m", bundle, predictions)
    said = json.loads(text)
    assert none is None
    assert (said["id"], said["model_name"], said["model_version"], said["parameters"]) == (
        "7",
        "m",
        bundle.hash[:12],
        {"hash": bundle.hash},
    )
    probabilities, label = said["outputs"]
    assert (probabilities["shape"], label["data"]) == ([2, 2], ["functional", "defective"])
    body, length = write_infer(Asked(None, [], ["probabilities", "label"], frozenset({"probabilities", "label"})), "m", bundle, predictions)
    assert length is not None
    first, second = json.loads(body[:length])["outputs"]
    size = first["parameters"]["binary_data_size"]
    assert np.frombuffer(body[length : length + size], "<f4").tolist() == probabilities["data"]
    assert body[length + size :] == b"\x0a\0\0\0functional\x09\0\0\0defective"
    assert second["parameters"]["binary_data_size"] == 27


def test_metadata(bundle: Bundle) -> None:
    said = metadata("m", bundle)
    assert (said["versions"], said["parameters"]["classes"]) == ([version(bundle)], ["defective", "functional"])
    assert [entry["name"] for entry in said["outputs"]] == output_names(bundle)


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["name", "shape", "data", "x"]), inner, max_size=3),
    max_leaves=8,
)


@given(st.binary(max_size=300), st.none() | st.integers(0, 300).map(str))
@settings(max_examples=100, deadline=None)
def test_noise_is_refused(bundle: Bundle, body: bytes, length: str | None) -> None:
    with pytest.raises(Refusal):
        read_infer(body, length, bundle, LIMITS)


@given(
    st.sampled_from(["name", "shape", "datatype", "data", "parameters"]),
    ANY_JSON,
    st.binary(max_size=20),
    st.sampled_from(["UINT8", "BYTES"]),
)
@settings(max_examples=200, deadline=None)
def test_a_request_with_something_odd_in_it_is_read_or_refused(bundle: Bundle, key: str, value: Any, binary: bytes, kind: str) -> None:
    try:
        asked = read(bundle, {"inputs": [tensor(datatype=kind) | {key: value}]}, binary)
    except Refusal as refusal:
        assert refusal.status in {400, 413, 422}
    else:
        assert len(asked.images) in range(1, 5)
