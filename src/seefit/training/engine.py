"""The fast frozen forward: one small interface, three engines, chosen by the device.

Decoding, resizing and batching run beside the network; memory is bounded; features come in the order of the
images. ``preprocess`` always runs in fp32 by ONNX Runtime, an engine gets only ``network``.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from seefit.bundle.openvino_runtime import import_openvino
from seefit.bundle.runtime import Reference, in_batches, ordered_map
from seefit.console import QUIET, Console
from seefit.data.dataset import Sample
from seefit.data.image import decode_with_info, read_file
from seefit.environment import threads
from seefit.errors import ResourceError, RunError, UsageError
from seefit.memory import Memory, is_out_of_memory
from seefit.models.architecture import pooled
from seefit.models.backbone import Backbone

if TYPE_CHECKING:
    from onnx import ModelProto

DEVICES = ("auto", "cpu", "cuda")


class Engine(Protocol):
    """What computes features from preprocessed batches.

    Attributes:
        name: What computes, and in which precision.
        batch: The most images at once; `run_engine` takes fewer when they do not fit into memory.
    """

    name: str
    batch: int

    def forward(self, batches: Iterable[Sequence[NDArray[np.float32]]]) -> Iterator[NDArray[np.float32]]:
        """Yield (N, D) float32 features for each batch of N images (3, S, S), in order."""
        ...


class OpenVinoEngine:
    """OpenVINO on the processor, asynchronous, in bf16 where the processor computes in it.

    Args:
        network: From ``pixels`` to ``features``.
        size: Side of the input in pixels.
    """

    batch = 8

    def __init__(self, network: ModelProto, size: int) -> None:
        self._core = import_openvino().Core()
        self.name = "openvino-bf16" if "BF16" in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "openvino-fp32"
        self._network, self._size = network, size
        self._streams = max(1, threads())
        self._requests: list[Any] = []  # for batches of that size
        self._size_of_requests = 0

    def _open(self) -> list[Any]:
        """Compile the network when the first batch comes, since features that are kept do not need it; and for every other size of it."""
        if self._size_of_requests != self.batch:
            self._requests, self._size_of_requests = [], 0
            self._requests, self._size_of_requests = self._compiled(), self.batch
        return self._requests

    def _compiled(self) -> list[Any]:
        model = self._core.read_model(self._network.SerializeToString())
        model.reshape([self.batch, 3, self._size, self._size])
        options = {
            "INFERENCE_PRECISION_HINT": "bf16" if self.name.endswith("bf16") else "f32",
            "NUM_STREAMS": str(self._streams),
            "INFERENCE_NUM_THREADS": str(threads()),
        }
        compiled = self._core.compile_model(model, "CPU", options)
        return [compiled.create_infer_request() for _ in range(self._streams)]

    def forward(self, batches: Iterable[Sequence[NDArray[np.float32]]]) -> Iterator[NDArray[np.float32]]:
        """Yield the features of each batch, in order; one request per stream is under way."""
        under_way: deque[tuple[Any, int]] = deque()
        try:
            for number, batch in enumerate(batches):
                if len(under_way) == self._streams:
                    yield self._result(*under_way.popleft())
                request = self._open()[number % self._streams]
                pixels = request.get_input_tensor(0).data
                for place, image in enumerate(batch):  # straight into the network's own memory; a short batch leaves old images behind
                    pixels[place] = image
                request.start_async()
                under_way.append((request, len(batch)))
            while under_way:
                yield self._result(*under_way.popleft())
        finally:
            for request, _ in under_way:  # left midway: a request that is still busy could not be started again
                with contextlib.suppress(RuntimeError):
                    request.wait()

    @staticmethod
    def _result(request: Any, count: int) -> NDArray[np.float32]:
        request.wait()
        return np.array(request.get_output_tensor(0).data[:count])


class TorchEngine:
    """Torch on a GPU (half precision) or, for tests, on the processor (fp32).

    Args:
        backbone: The frozen network; its weights are read again from where they came.
        parts: Names of stages, as in `seefit.bundle.graph.features_model`.
        device: ``cuda`` or ``cpu``.
    """

    batch = 64

    def __init__(self, backbone: Backbone, parts: Sequence[str], device: str) -> None:
        import torch

        from seefit.models.backbone import tower

        self._torch, self._device = torch, device
        self._dtype = torch.float16 if device == "cuda" else torch.float32
        self._tower = tower(backbone, parts).to(device, self._dtype).to(memory_format=torch.channels_last)
        self.name = f"torch-{device}-{'fp16' if device == 'cuda' else 'fp32'}"

    def forward(self, batches: Iterable[Sequence[NDArray[np.float32]]]) -> Iterator[NDArray[np.float32]]:
        """Yield the features of each batch, in order."""
        torch = self._torch
        for batch in batches:
            with torch.inference_mode():
                outputs = self._tower(torch.from_numpy(np.stack(batch)).to(self._device, self._dtype))
                pieces = [piece for output in outputs for piece in pooled(output.float())]
                yield torch.cat(pieces, 1).cpu().numpy()


def open_engine(backbone: Backbone, parts: Sequence[str], network: ModelProto, reference: Reference, device: str) -> Engine:
    """Choose the engine for a device: torch on a GPU, else OpenVINO where it is installed, else the reference.

    Args:
        backbone: The frozen network.
        parts: Names of stages.
        network: From ``pixels`` to ``features``.
        reference: ONNX Runtime in fp32, already open.
        device: ``auto``, ``cpu`` or ``cuda``.

    Raises:
        UsageError: An unknown device.
        ResourceError: ``cuda`` was asked for and there is none.
    """
    check_device(device)
    if device == "cuda" or (device == "auto" and _has_gpu()):
        return TorchEngine(backbone, parts, "cuda")
    try:
        return OpenVinoEngine(network, backbone.image_size)
    except ImportError:
        return reference


def check_device(device: str) -> None:
    """Refuse a device that is not there.

    Args:
        device: ``auto``, ``cpu`` or ``cuda``.

    Raises:
        UsageError: An unknown device.
        ResourceError: ``cuda`` was asked for and there is none.
    """
    if device not in DEVICES:
        raise UsageError("Unknown device", where="--device", expected=", ".join(DEVICES), got=repr(device), hint="Leave out --device")
    if device == "cuda" and not _has_gpu():
        raise ResourceError(
            "No GPU",
            where="--device cuda",
            expected="a CUDA device that torch sees",
            got="none",
            hint="Use --device cpu or --device auto",
        )


def read_image(sample: Sample, sha256: str, max_pixels: int) -> NDArray[np.uint8]:
    """Read, check and decode one image that the scan has seen.

    Raises:
        RunError: The file changed since it was scanned.
    """
    import hashlib

    data = read_file(sample.path)
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise RunError(
            "An image changed while seefit was working",
            where=sample.name,
            expected=f"the content with sha256 {sha256[:16]}…",
            got=f"{found[:16]}…",
            hint="Start the command again when nothing writes to the images",
        )
    return decode_with_info(data, max_pixels=max_pixels).pixels


def frozen_forward(
    samples: Sequence[Sample], sha256: Sequence[str], reference: Reference, engine: Engine, *, max_pixels: int, console: Console = QUIET
) -> Iterator[NDArray[np.float32]]:
    """Yield the features of images batch by batch, in order.

    Args:
        samples: The images.
        sha256: What the content of each must be.
        reference: Gives ``preprocess``.
        engine: Gives ``network``.
        max_pixels: As in `seefit.data.image.decode`.
        console: Where to say that memory ran out.

    Yields:
        (n, D) float32, n at most the engine's batch size.
    """

    def pixels(i: int) -> NDArray[np.float32]:
        return reference.pixels(read_image(samples[i], sha256[i], max_pixels))

    ready = ordered_map(pixels, range(len(samples)), workers=threads(), ahead=max(4, engine.batch // threads()))
    yield from run_engine(engine, ready, console=console)


def run_engine(engine: Engine, images: Iterable[NDArray[np.float32]], *, console: Console = QUIET) -> Iterator[NDArray[np.float32]]:
    """Yield the features of preprocessed images batch by batch, in order; batches that do not fit into memory are halved, for good.

    Args:
        engine: What computes them.
        images: (3, S, S) float32 each.
        console: Where to say that memory ran out.

    Yields:
        (n, D) float32, n at most the engine's batch size.

    Raises:
        ResourceError: A single image does not fit.
    """
    memory = Memory("computing features", "they are the same", console)
    waiting: Iterator[NDArray[np.float32]] = _read(images)
    handed: deque[list[NDArray[np.float32]]] = deque()  # to the engine, which has not answered yet

    def hand() -> Iterator[list[NDArray[np.float32]]]:
        for batch in in_batches(waiting, engine.batch):
            handed.append(batch)
            yield batch

    while True:
        try:
            for features in engine.forward(hand()):
                handed.popleft()
                yield features
            return
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            engine.batch = memory.halve(engine.batch, error)
        waiting = itertools.chain([image for batch in handed for image in batch], waiting)
        handed.clear()


def _read(images: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
    """Pass images on; that memory ran out while one was read is none of the engine's errors, and cannot be tried again."""
    try:
        yield from images
    except MemoryError as error:
        raise ResourceError(
            "Out of memory",
            where="reading an image",
            expected="room for its pixels",
            got=str(error)[:120] or "none left",
            hint="Close other programs, or set a smaller limit with --max-pixels",
        ) from error


def _has_gpu() -> bool:
    """Whether torch sees a CUDA device; asked of the driver first, since importing torch takes seconds."""
    from pathlib import Path

    driver = any(Path(place).exists() for place in ("/proc/driver/nvidia", "/dev/dxg"))  # the second: Linux inside Windows
    if not driver and not os.environ.get("CUDA_VISIBLE_DEVICES") and os.name == "posix":
        return False
    import torch

    return torch.cuda.is_available()
