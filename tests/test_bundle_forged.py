"""Bundles that somebody who means harm has changed, and made every sha256 and the hash agree again."""

from __future__ import annotations

import contextlib
import json
import pickle
import shutil
import tempfile
import tracemalloc
import zipfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forged import Spoil, change_model, damage, refusal, reseal, save_tensors
from seefit.bundle import model_file as module
from seefit.bundle.bundle import load
from seefit.errors import ArtefactError, SeefitError
from seefit.models.backbone import Backbone
from tiny import make_bundle

if TYPE_CHECKING:
    from onnx import ModelProto


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    """Return a copy that a test may change."""
    return Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))


def header(text: bytes, length: int | None = None, body: bytes = b"") -> bytes:
    return (len(text) if length is None else length).to_bytes(8, "little") + text + body


def described(shape: list[int], end: int, dtype: str = "F32") -> bytes:
    return json.dumps({"weight": {"dtype": dtype, "shape": shape, "data_offsets": [0, end]}}).encode()


LYING = {
    "empty": (b"", "Expected a readable safetensors file, got "),
    "short": (b"\x10\0\0", "Expected a readable safetensors file, got "),
    "longer than the file": (header(b"{}", 60_000), "Expected a readable safetensors file, got "),
    "of 2**63 bytes": (header(b"{}", 2**63), "Expected a header of at most 65,536 bytes, got 9,223,372,036,854,775,808."),
    "of 70,000 bytes": (header(b" " * 70_000), "Expected a header of at most 65,536 bytes, got 70,000."),
    "no JSON": (header(b"\xff" * 40), "Expected a readable safetensors file, got "),
    "deep": (header(b"[" * 60_000), "Expected a readable safetensors file, got "),
    "an endless tensor": (header(described([2**40, 2**40], 16), body=b"0" * 16), "Expected a readable safetensors file, got "),
    "data past the end": (header(described([2, 2], 2**40), body=b"0" * 16), "Expected a readable safetensors file, got "),
    "an unknown type": (header(described([2, 2], 16, "XX"), body=b"0" * 16), "Expected a readable safetensors file, got "),
    "a type that numpy lacks": (
        header(described([16], 16, "F8_E4M3"), body=b"0" * 16),
        "Expected {}, got weight F8_E4M3 (16,).",
    ),
    "nothing": (header(b"{}"), "Expected {}, got nothing."),
    "a pickle": (pickle.dumps({"weight": 1}), "Expected a header of at most 65,536 bytes, got "),
    "a zip": (b"PK\x03\x04" + b"\0" * 60, "Expected a header of at most 65,536 bytes, got "),
}


@pytest.mark.parametrize("kind", LYING)
@pytest.mark.parametrize("name", ["head.safetensors", "golden.safetensors"])
def test_lying_safetensors(name: str, kind: str, bundle: Path) -> None:
    data, expected = LYING[kind]
    (bundle / name).write_bytes(data)
    reseal(bundle)
    shapes = {"head.safetensors": "bias float32 (2,), weight float32 (2, 24)", "golden.safetensors": "probabilities float32 (10, 2)"}
    assert refusal(bundle).startswith(damage(bundle / name, expected.format(shapes[name])))


def test_a_large_file_of_weights_takes_no_memory(bundle: Path) -> None:
    size = 48 * 2**20
    text = described([size // 8, 2], size)
    with open(bundle / "head.safetensors", "wb") as handle:
        handle.write(header(text))
        handle.truncate(8 + len(text) + size)
    reseal(bundle)
    tracemalloc.start()
    try:
        message = refusal(bundle)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert message.endswith(f"Expected bias float32 (2,), weight float32 (2, 24), got weight float32 ({size // 8}, 2).")
    assert peak < size / 4


def test_a_model_too_large_to_parse(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_MODEL_BYTES", 1000)
    size = (bundle / "model.onnx").stat().st_size
    assert refusal(bundle) == damage(bundle / "model.onnx", f"Expected a file under 2 GiB, got {size:,} bytes.")


def outside(tensor: Any) -> Any:
    """Point a tensor to a file."""
    from onnx import TensorProto

    tensor.name, tensor.data_type = tensor.name or "secret", TensorProto.FLOAT
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/hostname")
    return tensor


def constant(nodes: Any) -> Any:
    from onnx import AttributeProto

    node = nodes.add(op_type="Constant", output=["secret"])
    return node.attribute.add(name="value", type=AttributeProto.TENSOR).t


def subgraph(model: ModelProto) -> Any:
    from onnx import AttributeProto

    node = model.graph.node.add(op_type="If", input=["yes"], output=["maybe"])
    return node.attribute.add(name="then_branch", type=AttributeProto.GRAPH).g


def only_a_location(model: ModelProto) -> None:
    model.graph.initializer[0].external_data.add(key="location", value="/etc/hostname")


def listed(model: ModelProto) -> None:
    outside(constant(model.graph.node))
    model.graph.node[-1].attribute[0].tensors.add().CopyFrom(model.graph.node[-1].attribute[0].t)
    model.graph.node[-1].attribute[0].ClearField("t")


EXTERNAL: dict[str, Spoil] = {
    "an initialiser": lambda model: outside(model.graph.initializer[0]) and None,
    "an initialiser nobody uses": lambda model: outside(model.graph.initializer.add()) and None,
    "only a location": only_a_location,
    "a Constant node": lambda model: outside(constant(model.graph.node)) and None,
    "a list of tensors": listed,
    "a subgraph": lambda model: outside(subgraph(model).initializer.add()) and None,
    "a Constant in a subgraph": lambda model: outside(constant(subgraph(model).node)) and None,
    "sparse values": lambda model: outside(model.graph.sparse_initializer.add().values) and None,
    "sparse indices": lambda model: outside(model.graph.sparse_initializer.add().indices) and None,
    "a sparse attribute": lambda model: outside(model.graph.node[0].attribute.add(name="x").sparse_tensor.values) and None,
    "a local function": lambda model: outside(constant(model.functions.add(name="f", domain="d").node)) and None,
    "training": lambda model: outside(model.training_info.add().initialization.initializer.add()) and None,
}


@pytest.mark.parametrize("where", EXTERNAL)
def test_weights_outside_the_file_are_refused(where: str, bundle: Path) -> None:
    change_model(bundle, EXTERNAL[where])
    assert refusal(bundle) == damage(bundle / "model.onnx", "Expected all weights inside the file, got external data.")


def zipped() -> bytes:
    with tempfile.TemporaryFile() as handle:
        with zipfile.ZipFile(handle, "w") as archive:
            archive.writestr("archive/data.pkl", "x")
        handle.seek(0)
        return handle.read()


def test_what_is_no_model(bundle: Path, capfd: pytest.CaptureFixture[str]) -> None:
    good, foreign = (bundle / "model.onnx").read_bytes(), "a graph from image over pixels to probabilities"
    for data, expected in (
        (zipped(), "an ONNX model"),
        (pickle.dumps({"model": 1}), "an ONNX model"),
        (b"\x08", "an ONNX model"),
        (b"", foreign),
        (good.replace(b"Softmax", b"Soft\xffax"), foreign),
    ):
        (bundle / "model.onnx").write_bytes(data)
        reseal(bundle)
        assert refusal(bundle).startswith(damage(bundle / "model.onnx", f"Expected {expected}, got "))
    assert capfd.readouterr() == ("", "")


def without_seam(model: ModelProto) -> None:
    del model.graph.value_info[:]


def softmax(model: ModelProto) -> Any:
    return next(node for node in model.graph.node if node.name == "softmax")


def unknown_operator(model: ModelProto) -> None:
    softmax(model).op_type = "Nonsense"


def escape_codes(model: ModelProto) -> None:
    softmax(model).op_type = "N\x1bNSENSE"


def other_input(model: ModelProto) -> None:
    model.graph.input[0].name = "picture"


def without_features(model: ModelProto) -> None:
    del model.graph.output[2]


@pytest.mark.parametrize("spoil", [without_seam, unknown_operator, escape_codes, other_input, without_features])
def test_a_graph_of_another_kind(spoil: Spoil, bundle: Path, capfd: pytest.CaptureFixture[str]) -> None:
    change_model(bundle, spoil)
    start = damage(bundle / "model.onnx", "Expected a graph from image over pixels to probabilities, got another graph (")
    assert refusal(bundle).startswith(start)
    assert capfd.readouterr() == ("", "")  # ONNX Runtime, too, keeps quiet: stdout belongs to --json


def test_a_class_map_of_another_kind_is_told_when_it_is_asked_for(bundle: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def spoil(model: ModelProto) -> None:
        next(node for node in model.graph.node if node.name == "map").op_type = "Nonsense"

    change_model(bundle, spoil)
    found = load(bundle)
    with pytest.raises(ArtefactError) as caught:
        found.explain(bundle / "golden" / "rgb.png")
    assert str(caught.value).startswith(
        damage(bundle / "model.onnx", "Expected a graph from image over pixels to probabilities, got another")
    )
    assert capfd.readouterr() == ("", "")


def one_number(model: ModelProto) -> None:
    from onnx import helper

    last = softmax(model)
    last.CopyFrom(helper.make_node("ReduceSum", last.input, last.output, keepdims=0))
    del model.graph.output[0].type.tensor_type.shape.dim[:]


def test_the_number_of_labels_must_be_that_of_the_outputs(bundle: Path, tmp_path: Path, tiny_backbone: Backbone) -> None:
    reseal(bundle, classes=["a", "b", "c"])
    assert refusal(bundle) == damage(bundle / "model.onnx", "Expected 3 outputs, one per class, got 2.")

    def claim_three(model: ModelProto) -> None:
        model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 3

    change_model(bundle, claim_three)  # what the graph says of itself counts for nothing
    assert refusal(bundle).startswith(damage(bundle / "model.onnx", "Expected "))
    change_model(bundle, one_number)
    reseal(bundle, classes=["a", "b"])
    assert refusal(bundle) == damage(bundle / "model.onnx", "Expected 2 outputs, one per class, got none.")
    other = make_bundle(tmp_path / "three", tiny_backbone, ("a", "b", "c"))
    reseal(other, classes=["a", "b"])
    assert refusal(other) == damage(other / "model.onnx", "Expected 2 outputs, one per class, got 3.")


@pytest.mark.parametrize(("rows", "columns"), [(3, 24), (2, 23)])
def test_the_head_must_fit_labels_and_features(rows: int, columns: int, bundle: Path) -> None:
    save_tensors(bundle / "head.safetensors", weight=np.zeros((rows, columns), np.float32), bias=np.zeros(2, np.float32))
    reseal(bundle)
    found = f"bias float32 (2,), weight float32 ({rows}, {columns})"
    assert refusal(bundle) == damage(bundle / "head.safetensors", f"Expected bias float32 (2,), weight float32 (2, 24), got {found}.")


@cache
def model_bytes(folder: Path) -> bytes:
    return (folder / "model.onnx").read_bytes()


@settings(max_examples=40, deadline=None, derandomize=True)
@given(start=st.integers(0, 12_000), cut=st.integers(0, 30), put=st.binary(max_size=12))
def test_no_model_gets_past_with_another_error(tiny_bundle: Path, start: int, cut: int, put: bytes) -> None:
    data = model_bytes(tiny_bundle)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(shutil.copytree(tiny_bundle, Path(place) / "bundle"))
        (folder / "model.onnx").write_bytes(data[:start] + put + data[start + cut :])
        reseal(folder)
        with contextlib.suppress(SeefitError):
            load(folder).verify()
