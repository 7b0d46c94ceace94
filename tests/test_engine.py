"""The engines agree, keep the order, hold little in memory, and refuse what they cannot do."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import textwrap
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from seefit.bundle.graph import features_model, opset_of, preprocess_model
from seefit.bundle.runtime import Reference
from seefit.data.dataset import Sample
from seefit.data.image import MAX_PIXELS
from seefit.errors import ResourceError, RunError, UsageError
from seefit.models.backbone import Backbone, load_backbone
from seefit.training import engine as module
from seefit.training.engine import Engine, OpenVinoEngine, TorchEngine, frozen_forward, open_engine, read_image, run_engine
from seefit.training.features import choose_parts
from test_cache import Listener, digest, make_samples

Float = NDArray[np.float32]

HAS_OPENVINO = importlib.util.find_spec("openvino") is not None
needs_openvino = pytest.mark.skipif(not HAS_OPENVINO, reason="OpenVINO is not installed: pip install seefit[fast]")

FP32 = 1e-3  # what fp32 engines may differ by, as a share of what tells the images apart
HALF = 0.25  # the same for bf16 and fp16; solar cells look alike, so that the 8 bits of bf16 show


class Tower:
    """A backbone with its two parts of the graph, and real photographs run through it."""

    def __init__(self, backbone: Backbone, parts: Sequence[str]) -> None:
        self.backbone, self.parts = backbone, tuple(parts)
        self.network = features_model(backbone, parts)
        self.preprocess = preprocess_model(backbone.image_size, backbone.mean, backbone.std, "squash", opset=opset_of(self.network))
        self.reference = Reference(self.preprocess, self.network)

    def run(self, engine: Engine, samples: Sequence[Sample]) -> Float:
        digests = [digest(sample.path) for sample in samples]
        return np.concatenate(list(frozen_forward(samples, digests, self.reference, engine, max_pixels=MAX_PIXELS)))


@pytest.fixture
def tiny(tiny_backbone: Backbone) -> Tower:
    return Tower(tiny_backbone, ("blocks.0", "blocks.1"))


@pytest.fixture(scope="module")
def real(lite0: Path) -> Iterator[Tower]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEEFIT_CACHE", str(lite0))
        backbone = load_backbone("lite0")
        yield Tower(backbone, choose_parts(backbone, "auto"))


@pytest.fixture(scope="module")
def cells(elpv_cells: dict[str, list[Path]]) -> list[Sample]:
    return [Sample(path, path.name, None) for paths in elpv_cells.values() for path in paths[:10]]


@pytest.fixture(scope="module")
def exact(real: Tower, cells: list[Sample]) -> Float:
    return real.run(real.reference, cells)


def off(found: Float, exact: Float) -> float:
    """Return the size of the error as a share of what tells the images apart: features less their mean over the images."""
    return float(np.linalg.norm(found - exact) / np.linalg.norm(exact - exact.mean(0)))


# ---- agreement ------------------------------------------------------------------------------------------------


def test_torch_on_the_processor_gives_the_features_of_the_reference(
    real: Tower, cells: list[Sample], exact: Float, lite0: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEEFIT_CACHE", str(lite0))
    engine = TorchEngine(real.backbone, real.parts, "cpu")
    assert engine.name == "torch-cpu-fp32"
    found = real.run(engine, cells[:6])
    assert (found.shape, found.dtype) == ((6, exact.shape[1]), np.dtype(np.float32))
    np.testing.assert_allclose(found, exact[:6], atol=1e-3, rtol=1e-3)
    assert off(found, exact[:6]) < FP32


@needs_openvino
def test_openvino_gives_the_features_of_the_reference(real: Tower, cells: list[Sample], exact: Float) -> None:
    engine = OpenVinoEngine(real.network, real.backbone.image_size)
    found = real.run(engine, cells)
    assert (found.shape, found.dtype) == (exact.shape, np.dtype(np.float32))
    if engine.name == "openvino-fp32":
        assert off(found, exact) < FP32
    else:
        assert engine.name == "openvino-bf16"
        assert FP32 < off(found, exact) < HALF


@pytest.mark.gpu
def test_torch_on_a_gpu_gives_the_features_of_the_reference(real: Tower, cells: list[Sample], exact: Float) -> None:
    engine = open_engine(real.backbone, real.parts, real.network, real.reference, "cuda")
    assert engine.name == "torch-cuda-fp16"
    assert off(real.run(engine, cells), exact) < HALF


def test_the_number_of_threads_changes_no_feature_by_more_than_rounding(
    real: Tower, cells: list[Sample], exact: Float, monkeypatch: pytest.MonkeyPatch
) -> None:
    for threads in ("1", "2"):
        monkeypatch.setenv("SEEFIT_THREADS", threads)
        engine = Reference(real.preprocess, real.network)
        np.testing.assert_allclose(real.run(engine, cells[:8]), exact[:8], atol=1e-4, rtol=1e-4)


def test_the_same_images_give_the_same_features_bit_for_bit(real: Tower, cells: list[Sample], exact: Float) -> None:
    np.testing.assert_array_equal(real.run(real.reference, cells), exact)


# ---- order and memory -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["reference", pytest.param("openvino", marks=needs_openvino)])
@pytest.mark.parametrize("count", [1, 7, 16, 35])
def test_features_come_in_the_order_of_the_images(tiny: Tower, tmp_path: Path, name: str, count: int) -> None:
    """Also when the last batch is not full: what fills it up never comes out."""
    samples = make_samples(tmp_path, count)
    one_by_one = np.concatenate([tiny.run(tiny.reference, [sample]) for sample in samples])
    engine: Engine = tiny.reference if name == "reference" else OpenVinoEngine(tiny.network, tiny.backbone.image_size)
    found = tiny.run(engine, samples)
    assert found.shape == one_by_one.shape
    apart = np.abs(one_by_one[:, None] - one_by_one[None]).max(2) + np.eye(count) * 9
    assert np.abs(found - one_by_one).max() < min(0.2, apart.min() / 2)  # nearer to its own row than to any other


@pytest.mark.parametrize("name", ["reference", pytest.param("openvino", marks=needs_openvino)])
def test_no_more_images_are_decoded_than_the_next_batches_need(
    tiny: Tower, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = make_samples(tmp_path, 1) * 500
    read: list[int] = []

    def count(*arguments: object) -> NDArray[np.uint8]:
        read.append(1)
        return np.zeros((32, 32, 3), np.uint8)

    monkeypatch.setattr(module, "read_image", count)
    engine: Engine = tiny.reference if name == "reference" else OpenVinoEngine(tiny.network, tiny.backbone.image_size)
    features = frozen_forward(samples, [""] * 500, tiny.reference, engine, max_pixels=MAX_PIXELS)
    done = 0
    for batch in features:
        done += len(batch)
        assert len(read) - done <= 8 * max(engine.batch, 8)
        if done > 250:
            break
    features.close()  # type: ignore[attr-defined]
    assert len(read) < 250 + 9 * max(engine.batch, 8)


class Fussy:
    """Takes no more than so many images at once; has two batches under way, as OpenVINO may."""

    name, batch = "fussy", 8

    def __init__(self, reference: Reference, most: int) -> None:
        self.reference, self.most = reference, most

    def forward(self, batches: Iterable[Sequence[Float]]) -> Iterator[Float]:
        under_way: deque[Sequence[Float]] = deque()
        for batch in batches:
            under_way.append(batch)
            if len(under_way) == 2:
                yield self.run(under_way.popleft())
        while under_way:
            yield self.run(under_way.popleft())

    def run(self, batch: Sequence[Float]) -> Float:
        if len(batch) > self.most:
            raise RuntimeError("Exception from src/inference/src/cpp/infer_request.cpp:223: std::bad_alloc")
        return self.reference.run(np.stack(batch), ["features"])[0]


@pytest.mark.parametrize(("most", "ends_with"), [(8, 8), (5, 4), (1, 1)])
@pytest.mark.parametrize("count", [3, 8, 37])
def test_batches_that_do_not_fit_are_halved(tiny: Tower, most: int, ends_with: int, count: int) -> None:
    images, engine, heard = (
        list(np.random.default_rng(0).normal(size=(count, 3, 32, 32)).astype(np.float32)),
        Fussy(tiny.reference, most),
        Listener(),
    )
    found = np.concatenate(list(run_engine(engine, iter(images), console=heard)))
    np.testing.assert_allclose(found, tiny.reference.run(np.stack(images), ["features"])[0], rtol=1e-5, atol=1e-5)
    if count > most:
        assert engine.batch == ends_with
        first = "Out of memory: computing features goes on with 4 instead of 8 images at once; they are the same"
        assert heard.warned[:1] == ([first] if most < 8 else [])


def test_without_room_for_one_image_there_is_an_error(tiny: Tower) -> None:
    with pytest.raises(ResourceError) as caught:
        list(run_engine(Fussy(tiny.reference, 0), [np.zeros((3, 32, 32), np.float32)] * 5))
    assert caught.value.exit_code == 6
    assert caught.value.message.startswith(
        "Out of memory: computing features. Expected room for one image at a time, got Exception from src/"
    )


def test_memory_that_runs_out_while_an_image_is_read_is_not_tried_again(tiny: Tower) -> None:
    def images() -> Iterator[Float]:
        yield np.zeros((3, 32, 32), np.float32)
        raise MemoryError("Unable to allocate 3.00 GiB")

    with pytest.raises(ResourceError) as caught:
        list(run_engine(Fussy(tiny.reference, 8), images()))
    assert caught.value.message == "Out of memory: reading an image. Expected room for its pixels, got Unable to allocate 3.00 GiB."


@needs_openvino
def test_openvino_takes_smaller_batches_when_told_to(tiny: Tower, tmp_path: Path) -> None:
    samples, engine = make_samples(tmp_path, 11), OpenVinoEngine(tiny.network, tiny.backbone.image_size)
    before = tiny.run(engine, samples)
    engine.batch = 3
    np.testing.assert_allclose(tiny.run(engine, samples), before, rtol=0, atol=1e-2)
    assert len(engine._requests[0].get_input_tensor(0).data) == 3


# ---- refusals -------------------------------------------------------------------------------------------------


def test_an_image_that_changed_since_the_scan_stops_the_run(tiny: Tower, tmp_path: Path) -> None:
    samples = make_samples(tmp_path, 3)
    before = digest(samples[1].path)
    make_samples(tmp_path, 1, start=90)[0].path.replace(samples[1].path)
    now = digest(samples[1].path)
    with pytest.raises(RunError) as caught:
        read_image(samples[1], before, MAX_PIXELS)
    assert caught.value.exit_code == 4
    assert caught.value.message == (
        f"An image changed while seefit was working: 1.png. Expected the content with sha256 {before[:16]}…, got {now[:16]}…."
    )
    digests = [digest(samples[0].path), before, digest(samples[2].path)]
    with pytest.raises(RunError, match="An image changed"):
        list(frozen_forward(samples, digests, tiny.reference, tiny.reference, max_pixels=MAX_PIXELS))


def test_an_unknown_device_is_a_usage_error(tiny: Tower) -> None:
    with pytest.raises(UsageError) as caught:
        open_engine(tiny.backbone, tiny.parts, tiny.network, tiny.reference, "tpu")
    assert caught.value.exit_code == 2
    assert caught.value.message == "Unknown device: --device. Expected auto, cpu, cuda, got 'tpu'."


def test_asking_for_a_gpu_that_is_not_there_is_a_matter_of_resources(tiny: Tower, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_has_gpu", lambda: False)
    with pytest.raises(ResourceError) as caught:
        open_engine(tiny.backbone, tiny.parts, tiny.network, tiny.reference, "cuda")
    assert caught.value.exit_code == 6
    assert caught.value.message == "No GPU: --device cuda. Expected a CUDA device that torch sees, got none."


def test_without_openvino_the_reference_is_the_engine(tiny: Tower, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_has_gpu", lambda: False)
    monkeypatch.setitem(sys.modules, "openvino", None)
    for device in ("auto", "cpu"):
        assert open_engine(tiny.backbone, tiny.parts, tiny.network, tiny.reference, device) is tiny.reference


@needs_openvino
def test_the_fast_engine_compiles_the_network_with_the_first_batch(tiny: Tower, tmp_path: Path) -> None:
    engine = OpenVinoEngine(tiny.network, tiny.backbone.image_size)
    assert list(engine.forward([])) == []
    assert engine._requests == []
    tiny.run(engine, make_samples(tmp_path, 1))
    assert len(engine._requests) >= 1


@needs_openvino
def test_opening_the_fast_engine_imports_neither_telemetry_nor_torch(tmp_path: Path) -> None:
    code = f"""
        import sys
        from pathlib import Path
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from tiny import make_backbone
        from seefit.training.features import FeatureExtractor
        extractor = FeatureExtractor(make_backbone(Path({str(tmp_path)!r}) / "tiny.onnx"), ("pooled",), "crop", device="cpu")
        loaded = {{name.split(".")[0] for name, module in sys.modules.items() if module is not None}}
        print(extractor.engine.name, sorted(loaded & {{"openvino", "openvino_telemetry", "torch", "timm"}}))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split(" ", 1)[0].startswith("openvino-")
    assert done.stdout.split(" ", 1)[1] == "['openvino']\n"


class BusyRequest:
    """A request that is busy from its start until it is waited for."""

    def __init__(self) -> None:
        self.data, self.busy = np.zeros((8, 3, 32, 32), np.float32), False

    def get_input_tensor(self, _: int) -> BusyRequest:
        if self.busy:
            raise RuntimeError("Infer Request is busy")
        return self

    def start_async(self) -> None:
        self.busy = True

    def wait(self) -> None:
        self.busy = False

    get_output_tensor = get_input_tensor


@needs_openvino
def test_an_engine_that_was_left_midway_can_be_used_again(tiny: Tower, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = OpenVinoEngine(tiny.network, tiny.backbone.image_size)
    monkeypatch.setattr(engine, "_streams", 2)
    requests = [BusyRequest(), BusyRequest()]
    monkeypatch.setattr(engine, "_open", lambda: requests)
    batches = [[np.full((3, 32, 32), number, np.float32)] for number in range(5)]
    left = engine.forward(batches)
    assert next(left)[0, 0, 0, 0] == 0
    assert requests[1].busy
    del left
    assert [found[0, 0, 0, 0] for found in engine.forward(batches)] == [0, 1, 2, 3, 4]
