"""Open Inference Protocol, version 2: requests and answers, with JSON or binary tensors.

https://github.com/kserve/open-inference-protocol, "inference_rest.md"; the binary form is Triton's extension "binary_tensor_data":
JSON first, of as many bytes as the header ``Inference-Header-Content-Length`` says, then the tensors one after another.

The input ``image`` is UINT8 (N, H, W, 3), RGB, or BYTES (N): N encoded files, in JSON as base64, in binary each behind its length (4 bytes,
little-endian). The outputs are ``probabilities`` FP32 (N, C), ``label`` BYTES (N), and ``unknown`` FP32 (N) where the model tells it.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from seefit.bundle.bundle import Bundle
from seefit.bundle.predict import Prediction
from seefit.bundle.unknown import OUTPUT
from seefit.data.image import MAX_SIDE
from seefit.deploy.serve.limits import Limits
from seefit.deploy.serve.refusals import printable_name, refuse

HEADER_LENGTH = "inference-header-content-length"
INPUT, PROBABILITIES, LABEL = "image", "probabilities", "label"
HINT = "See /docs for an example"
LONGEST_ID = 256

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Asked:
    """A request to infer.

    Attributes:
        id: That the client gave it; None where it gave none.
        images: N encoded files or (H, W, 3) uint8.
        outputs: Names of the wanted ones.
        binary: Those of them that are wanted in binary form.
    """

    id: str | None
    images: list[bytes] | list[Pixels]
    outputs: list[str]
    binary: frozenset[str]


def output_names(bundle: Bundle) -> list[str]:
    """Return what a model gives."""
    return [PROBABILITIES, LABEL, *([OUTPUT] if bundle.refuses else [])]


def metadata(name: str, bundle: Bundle) -> dict[str, Any]:
    """Return what a client can know of a model before it asks."""
    shapes = {PROBABILITIES: ("FP32", [-1, len(bundle.classes)]), LABEL: ("BYTES", [-1]), OUTPUT: ("FP32", [-1])}
    return {
        "name": name,
        "versions": [version(bundle)],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": INPUT, "datatype": "UINT8", "shape": [-1, -1, -1, 3]}],
        "outputs": [{"name": key, "datatype": shapes[key][0], "shape": shapes[key][1]} for key in output_names(bundle)],
        "parameters": {"hash": bundle.hash, "classes": list(bundle.classes)},
    }


def version(bundle: Bundle) -> str:
    """Return the version of a model: the start of its hash."""
    return bundle.hash[:12]


def read_infer(body: bytes, header_length: str | None, bundle: Bundle, limits: Limits) -> Asked:
    """Read a request to infer.

    Args:
        body: Of the request.
        header_length: Of the header of that name; None for JSON alone.
        bundle: The model.
        limits: Of the server.

    Raises:
        Refusal: 400 for anything that the protocol does not allow, 413 for too much, 422 for an image with too many pixels.
    """
    length = len(body)
    if header_length is not None:
        if not (header_length.isascii() and header_length.isdecimal() and len(header_length) < 12 and int(header_length) <= len(body)):
            _wrong("Inference-Header-Content-Length", f"at most {len(body)}", header_length)
        length = int(header_length)
    said = _parse(body[:length], limits)
    tensor, binary = _only_input(said), body[length:]
    shape, kind = _shape(tensor), tensor.get("datatype")
    if shape[0] > limits.images:
        raise refuse(413, "Too many images", expected=f"at most {limits.images} images", got=str(shape[0]), hint="Send several requests")
    data = _binary_data(tensor, binary)
    images = _pixels(tensor, shape, data, limits) if kind == "UINT8" else _files(tensor, shape, data) if kind == "BYTES" else None
    if images is None:
        _wrong("datatype", "UINT8 or BYTES", kind)
    outputs, in_binary = _outputs(said, output_names(bundle))
    name = said.get("id")
    if name is not None and not (isinstance(name, str) and len(name) <= LONGEST_ID):
        _wrong("id", f"text of at most {LONGEST_ID} letters", name)
    return Asked(name, images, outputs, in_binary)


def write_infer(asked: Asked, name: str, bundle: Bundle, predictions: Sequence[Prediction]) -> tuple[bytes, int | None]:
    """Return the body of the answer, and how many bytes of it are JSON where tensors follow."""
    tensors, blobs = [], []
    for key in asked.outputs:
        kind, shape, values = _output(key, predictions)
        tensor: dict[str, Any] = {"name": key, "datatype": kind, "shape": shape}
        if key in asked.binary:
            blob = values.tobytes() if isinstance(values, np.ndarray) else b"".join(_lengthy(text.encode()) for text in values)
            tensor["parameters"] = {"binary_data_size": len(blob)}
            blobs.append(blob)
        else:
            tensor["data"] = values.ravel().tolist() if isinstance(values, np.ndarray) else values
        tensors.append(tensor)
    said = {"model_name": name, "model_version": version(bundle), "parameters": {"hash": bundle.hash}, "outputs": tensors}
    if asked.id is not None:
        said["id"] = asked.id
    text = json.dumps(said, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8", "replace")
    return text + b"".join(blobs), len(text) if blobs else None


def _output(key: str, predictions: Sequence[Prediction]) -> tuple[str, list[int], NDArray[np.float32] | list[str]]:
    if key == LABEL:
        return "BYTES", [len(predictions)], [prediction.label for prediction in predictions]
    values = [prediction.probabilities if key == PROBABILITIES else prediction.unknown for prediction in predictions]
    array = np.array(values, "<f4")
    return "FP32", list(array.shape), array


def _lengthy(data: bytes) -> bytes:
    return struct.pack("<I", len(data)) + data


def _wrong(where: str, expected: str, got: object) -> NoReturn:
    raise refuse(400, "Cannot read the request", where=where, expected=expected, got=printable_name(repr(got)[:200]), hint=HINT)


def _parse(data: bytes, limits: Limits) -> dict[str, Any]:
    if len(data) > limits.json_bytes:
        hint = "Send the tensor in binary form, or the encoded file as BYTES"
        raise refuse(413, "Too much JSON", expected=f"at most {limits.json_bytes:,} bytes", got=f"{len(data):,}", hint=hint)
    try:
        said = json.loads(data, parse_constant=lambda name: _wrong("the body", "JSON, which has no such number", name))
    except (ValueError, RecursionError):
        _wrong("the body", "JSON", "something else")
    if not isinstance(said, dict):
        _wrong("the body", "an object", type(said).__name__)
    return said


def _only_input(said: Mapping[str, Any]) -> dict[str, Any]:
    inputs = said.get("inputs")
    if not (isinstance(inputs, list) and len(inputs) == 1 and isinstance(inputs[0], dict) and inputs[0].get("name") == INPUT):
        _wrong("inputs", f"one input of the name {INPUT}", inputs)
    tensor: dict[str, Any] = inputs[0]
    return tensor


def _shape(tensor: Mapping[str, Any]) -> list[int]:
    shape = tensor.get("shape")
    if not (isinstance(shape, list) and shape and len(shape) <= 4 and all(type(n) is int and 0 < n <= 2**31 for n in shape)):
        _wrong("shape", "one to four whole numbers above 0", shape)
    return shape


def _parameters(owner: Mapping[str, Any]) -> Mapping[str, Any]:
    parameters = owner.get("parameters", {})
    return parameters if isinstance(parameters, dict) else _wrong("parameters", "an object", parameters)


def _binary_data(tensor: Mapping[str, Any], binary: bytes) -> bytes | None:
    """Return the bytes of the input; None where its data are in the JSON."""
    size = _parameters(tensor).get("binary_data_size")
    if size is None:
        return None if not binary else _wrong("binary_data_size", f"{len(binary)}", None)
    if type(size) is not int or size != len(binary):
        _wrong("binary_data_size", f"{len(binary)}, the bytes behind the JSON", size)
    return binary


def _pixels(tensor: Mapping[str, Any], shape: Sequence[int], data: bytes | None, limits: Limits) -> list[Pixels]:
    if len(shape) != 4 or shape[3] != 3:
        _wrong("shape", "[N, height, width, 3]", list(shape))
    if shape[1] * shape[2] > limits.pixels or max(shape[1:3]) > MAX_SIDE:
        size = f"{shape[2]}x{shape[1]}"
        expected = f"at most {limits.pixels:,} pixels and {MAX_SIDE:,} a side"
        raise refuse(422, "The image is too large", where=INPUT, expected=expected, got=size, hint="Send a smaller copy")
    count = math.prod(shape)
    array = _numbers(tensor.get("data")) if data is None else np.frombuffer(data, np.uint8)
    if array.size != count:
        _wrong("data", f"{count:,} numbers, as the shape says", array.size)
    return list(array.reshape(shape))


def _numbers(data: Any) -> Pixels:
    """Return whole numbers from 0 to 255, flat or nested."""
    try:
        array = np.asarray(data)
    except (ValueError, RecursionError, OverflowError):
        _wrong("data", "whole numbers from 0 to 255", "lists of different lengths")
    if array.dtype.kind not in "iu" or array.size == 0 or array.min() < 0 or array.max() > 255:
        _wrong("data", "whole numbers from 0 to 255", "something else")
    return array.astype(np.uint8).ravel()


def _files(tensor: Mapping[str, Any], shape: Sequence[int], data: bytes | None) -> list[bytes]:
    files = _from_base64(tensor.get("data")) if data is None else _from_binary(data)
    if (len(shape) != 1 and math.prod(shape[1:]) != 1) or len(files) != shape[0]:
        _wrong("shape", f"[{len(files)}], as there are images", list(shape))
    return files


def _from_base64(data: Any) -> list[bytes]:
    if not isinstance(data, list) or not all(isinstance(text, str) for text in data):
        _wrong("data", "a list of base64 texts", type(data).__name__)
    try:
        return [base64.b64decode(text, validate=True) for text in data]
    except (binascii.Error, ValueError):
        _wrong("data", "base64", "something else")


def _from_binary(data: bytes) -> list[bytes]:
    files, at = [], 0
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "little")
        if at + 4 + length > len(data):
            _wrong("data", "files behind their lengths", "a length beyond the end")
        files.append(data[at + 4 : at + 4 + length])
        at += 4 + length
    return files


def _outputs(said: Mapping[str, Any], known: Sequence[str]) -> tuple[list[str], frozenset[str]]:
    """Return names of the wanted outputs, and of those that are wanted in binary form."""
    everything = _parameters(said).get("binary_data_output") is True
    wanted = said.get("outputs")
    if wanted is None:
        return list(known), frozenset(known if everything else ())
    if not (isinstance(wanted, list) and 0 < len(wanted) <= len(known) and all(isinstance(entry, dict) for entry in wanted)):
        _wrong("outputs", f"some of {', '.join(known)}", wanted)
    names = [entry.get("name") for entry in wanted]
    if any(name not in known for name in names) or len(set(names)) < len(names):
        _wrong("outputs", f"some of {', '.join(known)}", names)
    return names, frozenset(entry["name"] for entry in wanted if _parameters(entry).get("binary_data", everything) is True)
