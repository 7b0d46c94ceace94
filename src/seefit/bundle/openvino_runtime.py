"""Running an export as OpenVINO's intermediate representation, in fp32: the one graph, taken apart at its seam as ever."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seefit.bundle.runtime import Reference
from seefit.errors import ArtefactError, ResourceError

MODEL, WEIGHTS = "model.xml", "model.bin"
EXACT = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": "1"}  # bf16, the default where a processor has it, is far off


def import_openvino() -> Any:
    """Import OpenVINO without its telemetry: it falls back to a stub when the telemetry package cannot be imported."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


class OpenVinoReference(Reference):
    """The two parts of an exported graph, ready to run by OpenVINO.

    Args:
        file: ``model.xml``, with ``model.bin`` beside it.

    Raises:
        ResourceError: OpenVINO is not installed.
    """

    name = "openvino-fp32"

    def __init__(self, file: Path) -> None:
        try:
            openvino = import_openvino()
        except ImportError as error:
            hint = "Run `pip install 'seefit[fast]'`, or export with --format onnx"
            raise ResourceError("Cannot run the export", where=file, expected="the package openvino", got="none", hint=hint) from error
        core = openvino.Core()
        model = core.read_model(file)
        seam = _value(model, "pixels")
        batch = openvino.opset13.parameter([-1, *[side.get_length() for side in list(seam.get_partial_shape())[1:]]], np.float32)
        users = list(seam.get_target_inputs())
        self._preprocess = core.compile_model(openvino.Model([seam], [model.input("image").get_node()]), "CPU", EXACT)
        for user in users:
            user.replace_source_output(batch.output(0))
        self._outputs = {name: number for number, output in enumerate(model.outputs) for name in output.get_names()}
        self._network = core.compile_model(openvino.Model(model.get_results(), [batch]), "CPU", EXACT)
        self._own = threading.local()

    def pixels(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Preprocess one image (H, W, 3) uint8 RGB into (3, S, S) float32, normalised."""
        pixels: NDArray[np.float32] = self._run("preprocess", image[np.newaxis], [0])[0][0]
        return pixels

    def run(self, pixels: NDArray[np.float32], outputs: Sequence[str]) -> list[NDArray[np.float32]]:
        """Run the network on a batch (N, 3, S, S) and return the named outputs."""
        return self._run("network", pixels, [self._outputs[name] for name in outputs])

    def _run(self, part: str, batch: NDArray[Any], outputs: Sequence[int]) -> list[NDArray[np.float32]]:
        try:
            request = getattr(self._own, part, None)  # one a thread: a request that runs cannot be started again
            if request is None:
                request = getattr(self, f"_{part}").create_infer_request()
                setattr(self._own, part, request)
            request.infer([batch])
            return [np.array(request.get_output_tensor(number).data) for number in outputs]
        except RuntimeError as error:
            if "alloc" in str(error):
                raise MemoryError(str(error)) from error
            raise ArtefactError(
                "The model cannot be run",
                where=f"inputs of shape {batch.shape}",
                expected="its outputs",
                got="an error of OpenVINO",
                hint="Copy the export again, or export again",
            ) from error


def _value(model: Any, name: str) -> Any:
    """Return the value of that name inside a model."""
    return next(output for node in model.get_ordered_ops() for output in node.outputs() if name in output.get_names())
