"""Reading an ONNX file that somebody else may have made: bounded, whole, and with all its weights inside."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seefit.bundle.manifest import damaged

if TYPE_CHECKING:
    from onnx import ModelProto

MAX_MODEL_BYTES = 2**31 - 1  # what a protobuf can hold


def read_model(path: Path) -> ModelProto:
    """Read an ONNX file that anybody may have made.

    Raises:
        ArtefactError: It is too large, no ONNX model, or keeps weights outside the file.
    """
    from google.protobuf.message import DecodeError
    from onnx import ModelProto, TensorProto

    size = path.stat().st_size
    if size > MAX_MODEL_BYTES:
        raise damaged(path, "a file under 2 GiB", f"{size:,} bytes")
    model = ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except DecodeError as error:
        raise damaged(path, "an ONNX model", "bytes that are none") from error
    if any(tensor.data_location == TensorProto.EXTERNAL or tensor.external_data for tensor in _tensors(model)):
        raise damaged(path, "all weights inside the file", "external data")
    return model


def _tensors(message: Any) -> Iterator[Any]:
    """Yield every tensor in a model, wherever it is: initialisers, attributes, subgraphs, sparse tensors, local functions."""
    from onnx import TensorProto

    if isinstance(message, TensorProto):
        yield message
        return
    for kind, value in message.ListFields():
        if kind.message_type is not None:
            for part in [value] if hasattr(value, "ListFields") else value:
                yield from _tensors(part)
