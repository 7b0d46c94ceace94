"""``--format openvino``: the one graph as OpenVINO's intermediate representation, weights in fp32."""

from __future__ import annotations

import tempfile
from pathlib import Path

from seefit.bundle import graph
from seefit.bundle.class_map import has_class_map, without_class_map
from seefit.bundle.model_file import read_model
from seefit.bundle.openvino_runtime import MODEL, WEIGHTS, import_openvino
from seefit.deploy.finished import Finished
from seefit.deploy.onnx_file import write_as_bundle
from seefit.errors import ResourceError


def write_openvino_export(finished: Finished, folder: Path) -> None:
    """Write ``model.xml`` and ``model.bin``. Pixels to probabilities are one model; the class map, which costs time, is left out.

    OpenVINO ignores the antialiasing of ONNX's own ``Resize``; the resize here is matrix products, so that it takes the whole graph.

    Args:
        finished: The run.
        folder: Where to write; it is there and empty.

    Raises:
        ResourceError: OpenVINO is not installed, or the disk is full.
    """
    try:
        openvino = import_openvino()
    except ImportError as error:
        hint = "Run `pip install 'seefit[fast]'`"
        raise ResourceError("Cannot export to OpenVINO", where=folder, expected="the package openvino", got="none", hint=hint) from error
    preprocess, network = graph.split(read_model(finished.bundle.folder / "model.onnx"))
    merged = graph.merge(preprocess, without_class_map(network) if has_class_map(network) else network)
    model = openvino.Core().read_model(merged.SerializeToString())
    with tempfile.TemporaryDirectory(dir=folder) as place:
        openvino.save_model(model, Path(place, MODEL), compress_to_fp16=False)  # its default would halve the weights' precision
        files = {name: Path(place, name).read_bytes() for name in (MODEL, WEIGHTS)}
    write_as_bundle(finished.bundle, folder, "openvino", files)
