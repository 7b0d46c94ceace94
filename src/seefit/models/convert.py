"""Torch modules as ONNX files, and the quiet that turning them into such needs."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def write_onnx(module: torch.nn.Module, probe: torch.Tensor, inputs: list[str], outputs: list[str], path: Path) -> None:
    """Write a module as ONNX with a free batch size ``N`` and all weights inside the file.

    Args:
        module: In evaluation mode.
        probe: A batch of 2 or more that it can take.
        inputs: Names of its inputs.
        outputs: Names of its outputs.
        path: The file to write.

    Raises:
        RuntimeError: It cannot be written as ONNX; other kinds that torch's exporter raises pass through as they are.
    """
    import onnx
    import torch

    with quietly():
        program = torch.onnx.export(
            module,
            (probe,),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
            input_names=inputs,
            output_names=outputs,
            external_data=False,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch.onnx.export returned no program")
    proto = program.model_proto
    free = proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    for value in [*proto.graph.input, *proto.graph.output, *proto.graph.value_info]:
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param == free:
                dim.dim_param = "N"
    _strip(proto)
    onnx.save(proto, path)


def _strip(message: Any) -> None:
    """Remove the exporter's notes: paths of this machine have no place in a bundle, and the same network gives the same bytes."""
    for field, value in message.ListFields():
        if field.name in {"metadata_props", "doc_string"}:
            message.ClearField(field.name)
        elif field.message_type is not None:
            for part in [value] if hasattr(value, "ListFields") else value:
                _strip(part)


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Keep the chatter and the deprecation warnings of timm, its hub client and torch's exporter off the user's console."""
    import logging

    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
