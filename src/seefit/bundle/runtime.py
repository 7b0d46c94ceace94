"""Running the two parts of the one graph with ONNX Runtime in fp32: the reference that every figure comes from."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from seefit.environment import threads
from seefit.errors import ArtefactError

if TYPE_CHECKING:
    from onnx import ModelProto

T = TypeVar("T")
R = TypeVar("R")

BATCH = 2  # images that one thread computes at once: their activations stay in its cache (docs/LOG.md)
LARGE = 3 * 2**20  # numbers in an image; above it the session's memory is given back after the run
AHEAD = 4  # decoded images that wait per worker; bounds the memory


def open_session(model: ModelProto | bytes, *, intra_threads: int) -> Any:
    """Open an ONNX Runtime session on the processor, in fp32, that prints nothing: what fails is raised.

    Args:
        model: A model or its serialised bytes.
        intra_threads: How many threads one run may use.
    """
    onnxruntime = _onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = intra_threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle threads leave the cores to the decoder
    data = model if isinstance(model, bytes) else model.SerializeToString()
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"], enable_fallback=0)


def _onnxruntime() -> Any:
    """Import ONNX Runtime with its telemetry switched off first: by default its builds report to their maker over the
    network and leave a device number in the user's cache folder (its Privacy.md, "Disabling Telemetry").
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    return onnxruntime


def _give_memory_back() -> Any:
    """Return run options that shrink the session's memory, which would else stay at what the largest image took."""
    options = _onnxruntime().RunOptions()
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    return options


def run_session(session: Any, outputs: Sequence[str], inputs: dict[str, NDArray[Any]], options: Any = None) -> list[NDArray[np.float32]]:
    """Run a session and return the named outputs.

    Raises:
        ArtefactError: The model cannot be run on these inputs.
        MemoryError: There is too little memory.
    """
    try:
        found: list[NDArray[np.float32]] = session.run(list(outputs), inputs, options)
    except Exception as error:  # the kinds that ONNX Runtime raises have no base of their own
        if "allocat" in str(error):
            raise MemoryError(str(error)) from error
        raise ArtefactError(
            "The model cannot be run",
            where=f"inputs of shape {', '.join(str(array.shape) for array in inputs.values())}",
            expected=f"the outputs {', '.join(outputs)}",
            got=f"an error of ONNX Runtime ({type(error).__name__})",
            hint="Copy the bundle again, or train again",
        ) from error
    return found


class Reference:
    """The parts of one graph, ready to run.

    Args:
        preprocess: From ``image`` to ``pixels``.
        network: From ``pixels`` to its outputs.
    """

    name = "onnxruntime-fp32"
    batch = BATCH

    def __init__(self, preprocess: ModelProto, network: ModelProto) -> None:
        # one thread a run, and runs beside each other: faster than several threads that share one run
        self._preprocess = open_session(preprocess, intra_threads=1)
        self._network = open_session(network, intra_threads=1)

    def pixels(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Preprocess one image.

        Args:
            image: (H, W, 3) uint8 RGB.

        Returns:
            (3, S, S) float32, normalised.
        """
        options = _give_memory_back() if image.size > LARGE else None
        pixels: NDArray[np.float32] = run_session(self._preprocess, ["pixels"], {"image": image[np.newaxis]}, options)[0][0]
        return pixels

    def run(self, pixels: NDArray[np.float32], outputs: Sequence[str]) -> list[NDArray[np.float32]]:
        """Run the network on a batch (N, 3, S, S) and return the named outputs."""
        return run_session(self._network, outputs, {"pixels": pixels})

    def probabilities(self, images: Iterable[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Return the (N, C) probabilities of images (H, W, 3) uint8 RGB, in one batch."""
        return self.run(np.stack([self.pixels(image) for image in images]), ["probabilities"])[0]

    def forward(self, batches: Iterable[Sequence[NDArray[np.float32]]]) -> Iterator[NDArray[np.float32]]:
        """Yield the features of each batch of images (3, S, S), in order; one batch per thread is under way."""
        yield from ordered_map(lambda batch: self.run(np.stack(batch), ["features"])[0], batches, workers=threads(), ahead=1)


def ordered_map(function: Callable[[T], R], items: Iterable[T], *, workers: int, ahead: int = AHEAD) -> Iterator[R]:
    """Apply a function in threads and yield the results in the order of the items.

    At most ``workers * (ahead + 1)`` items are under way or waiting, so that memory does not grow with the
    number of items. Stops its threads when the consumer stops.
    """
    with ThreadPoolExecutor(workers, thread_name_prefix="seefit") as pool:
        waiting: deque[Future[R]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) >= workers * (ahead + 1):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def in_batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield lists of ``size`` items; the last may be shorter."""
    batch: list[T] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
