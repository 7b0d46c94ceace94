"""The one graph: the resize against its definition in float64 and against Pillow, the network against NumPy, merge against split."""

from __future__ import annotations

import functools
import resource
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from seefit.bundle.graph import (
    FITS,
    Fit,
    feature_size,
    features_model,
    features_part,
    graph_hash,
    hidden_model,
    merge,
    network_model,
    opset_of,
    preprocess_model,
    split,
)
from seefit.bundle.runtime import Reference, open_session
from seefit.errors import UsageError
from seefit.models.backbone import Backbone, load_backbone

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
GREY_LEVELS = 0.003  # how far from float64 a pixel may be

Pixels = NDArray[np.uint8]


def picture(height: int, width: int, seed: int = 0) -> Pixels:
    """Return noise, which is harder on a resize than any photograph."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


@functools.cache
def session(size: int, fit: Fit, mean: tuple[float, ...] = MEAN, std: tuple[float, ...] = STD, opset: int = 20) -> Any:
    return open_session(preprocess_model(size, mean, std, fit, opset=opset), intra_threads=1)


def preprocess(image: Pixels, size: int, fit: Fit, **options: Any) -> NDArray[np.float32]:
    (pixels,) = session(size, fit, **options).run(["pixels"], {"image": image[np.newaxis]})
    assert pixels.shape == (1, 3, size, size)
    assert pixels.dtype == np.float32
    found: NDArray[np.float32] = pixels[0]
    return found


def triangle(box: int, size: int) -> NDArray[np.float64]:
    """Return the definition of the resize along one axis: (size, box), every row summing to 1."""
    scale = box / size
    centre = (np.arange(size) + 0.5)[:, np.newaxis] * scale
    distance = np.abs(np.arange(box) + 0.5 - centre)
    weight = np.maximum(0, 1 - distance / max(scale, 1))
    return np.asarray(weight / weight.sum(1, keepdims=True))


def box_of(height: int, width: int, fit: Fit) -> tuple[int, int]:
    return {"crop": (min(height, width),) * 2, "pad": (max(height, width),) * 2, "squash": (height, width)}[fit]


def defined(image: Pixels, size: int, fit: Fit, mean: Sequence[float] = MEAN, std: Sequence[float] = STD) -> NDArray[np.float64]:
    """Return what ``preprocess`` is defined to give, in float64, channel by channel.

    The box lies in the middle of the image, an odd pixel at the lower or right side. Outside the image it has the mean colour.
    """
    height, width, _ = image.shape
    axes = []
    for length, box in zip((height, width), box_of(height, width, fit), strict=True):
        before = abs(length - box) // 2
        full = triangle(box, size)
        axes.append((slice(before, before + box), full) if length >= box else (slice(None), full[:, before : before + length]))
    (rows, down), (columns, across) = axes
    planes = [down @ (image[rows, columns, c].astype(np.float64) - 255 * mean[c]) @ across.T / (255 * std[c]) for c in range(3)]
    return np.stack(planes)


def grey_levels_off(image: Pixels, size: int, fit: Fit) -> float:
    off = np.abs(preprocess(image, size, fit) - defined(image, size, fit))
    return float((off * 255 * np.array(STD)[:, np.newaxis, np.newaxis]).max())


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize(
    ("height", "width"),
    [(1, 1), (1, 2), (2, 1), (5, 7), (223, 224), (224, 224), (225, 224), (300, 300), (448, 448), (97, 641), (1, 900), (900, 1)],
)
def test_the_resize_is_what_it_is_defined_to_be(height: int, width: int, fit: Fit) -> None:
    assert grey_levels_off(picture(height, width), 224, fit) < GREY_LEVELS


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 260), st.integers(1, 260), st.sampled_from([1, 7, 32, 33]), st.sampled_from(FITS), st.integers(0, 99))
def test_the_resize_is_right_at_every_size(height: int, width: int, size: int, fit: Fit, seed: int) -> None:
    assert grey_levels_off(picture(height, width, seed), size, fit) < GREY_LEVELS


def test_the_resize_is_right_for_a_large_image() -> None:
    assert grey_levels_off(picture(900, 1200), 224, "pad") < GREY_LEVELS


@pytest.mark.slow
@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize(("height", "width"), [(3000, 4000), (4000, 3000), (250, 16_000)])
def test_the_resize_is_right_for_the_largest_images(height: int, width: int, fit: Fit) -> None:
    assert grey_levels_off(picture(height, width), 224, fit) < GREY_LEVELS


@pytest.mark.parametrize("fit", ["crop", "squash"])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 5), (50, 40), (300, 300), (481, 640), (1000, 700)])
def test_the_resize_agrees_with_pillow_within_its_rounding(height: int, width: int, fit: Fit) -> None:
    image = picture(height, width)
    box_h, box_w = box_of(height, width, fit)
    top, left = (height - box_h) // 2, (width - box_w) // 2
    cut = Image.fromarray(image[top : top + box_h, left : left + box_w])
    pillow = np.asarray(cut.resize((96, 96), Image.Resampling.BILINEAR), np.float64).transpose(2, 0, 1)
    ours = preprocess(image, 96, fit, mean=(0.0,) * 3, std=(1.0,) * 3) * 255
    assert np.abs(ours - pillow).max() <= 1.01  # Pillow rounds to whole grey levels twice


def test_a_padded_image_agrees_with_pillow_on_a_canvas_of_the_mean_colour() -> None:
    image, mean = picture(120, 300), tuple(level / 255 for level in (120, 60, 200))
    canvas = Image.new("RGB", (300, 300), (120, 60, 200))
    canvas.paste(Image.fromarray(image), (0, 90))
    pillow = np.asarray(canvas.resize((96, 96), Image.Resampling.BILINEAR), np.float64).transpose(2, 0, 1)
    ours = preprocess(image, 96, "pad", mean=mean, std=(1.0,) * 3) * 255 + np.array([120, 60, 200])[:, np.newaxis, np.newaxis]
    assert np.abs(ours - pillow).max() <= 1.01


def test_padding_is_exactly_zero() -> None:
    wide = preprocess(picture(8, 64), 32, "pad")
    assert not wide[:, :13].any()
    assert not wide[:, 19:].any()
    assert wide[:, 14:18].all()
    tall = preprocess(picture(64, 8), 32, "pad")
    assert not tall[:, :, :13].any()
    assert not tall[:, :, 19:].any()


def test_the_parts_that_crop_leaves_out_do_not_matter() -> None:
    image, other = picture(60, 100), picture(60, 100, seed=1)
    other[:, 20:80] = image[:, 20:80]
    np.testing.assert_array_equal(preprocess(image, 32, "crop"), preprocess(other, 32, "crop"))
    other[30, 20] += 100
    assert (preprocess(image, 32, "crop") != preprocess(other, 32, "crop")).any()


@pytest.mark.parametrize("fit", FITS)
def test_channels_stay_apart_and_in_order(fit: Fit) -> None:
    image = np.zeros((40, 40, 3), np.uint8)
    image[..., 0] = 255
    image[..., 2] = 51
    red, green, blue = preprocess(image, 16, fit)
    np.testing.assert_allclose(red, (1 - MEAN[0]) / STD[0], atol=1e-5)
    np.testing.assert_allclose(green, (0 - MEAN[1]) / STD[1], atol=1e-5)
    np.testing.assert_allclose(blue, (0.2 - MEAN[2]) / STD[2], atol=1e-5)


@pytest.mark.parametrize("fit", FITS)
def test_an_image_of_the_mean_colour_gives_zeros(fit: Fit) -> None:
    image = np.full((37, 91, 3), (51, 102, 153), np.uint8)
    assert np.abs(preprocess(image, 32, fit, mean=(0.2, 0.4, 0.6))).max() < 1e-5


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("opset", [18, 21, 23])
def test_the_operator_set_does_not_change_the_answer(fit: Fit, opset: int) -> None:
    import onnx

    model = preprocess_model(32, MEAN, STD, fit, opset=opset)
    onnx.checker.check_model(model, full_check=True)
    assert opset_of(model) == opset
    image = picture(33, 70)
    np.testing.assert_array_equal(preprocess(image, 32, fit, opset=opset), preprocess(image, 32, fit))


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is counted in other units elsewhere")
@pytest.mark.parametrize(("height", "width", "most_mb"), [(500, 8000, 400), (8000, 500, 400), (1, 5000, 150), (5000, 1, 150)])
def test_a_panorama_takes_no_more_memory_than_its_pixels_do(height: int, width: int, most_mb: int) -> None:
    image = picture(height, width)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    preprocess(image, 224, "pad")
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < most_mb


def run(model: Any, pixels: NDArray[np.float32], outputs: Sequence[str]) -> list[NDArray[np.float32]]:
    found: list[NDArray[np.float32]] = open_session(model, intra_threads=1).run(list(outputs), {"pixels": pixels})
    return found


@pytest.fixture
def batch() -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=(5, 3, 32, 32)).astype(np.float32)


def test_features_are_the_means_and_maxima_of_maps_and_pooled_itself(tiny_backbone: Backbone, batch: NDArray[np.float32]) -> None:
    low, high, pooled = run(tiny_backbone.onnx.read_bytes(), batch, ["blocks.0", "blocks.1", "pooled"])
    parts = ("blocks.1", "pooled", "blocks.0")
    (found,) = run(features_model(tiny_backbone, parts), batch, ["features"])
    expected = np.concatenate([high.mean((2, 3)), high.max((2, 3)), pooled, low.mean((2, 3)), low.max((2, 3))], 1)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    assert found.shape[1] == feature_size(tiny_backbone, parts) == 2 * 8 + 8 + 2 * 4


def test_a_flattened_map_gives_every_place_of_every_channel(tiny_backbone: Backbone, batch: NDArray[np.float32]) -> None:
    high, pooled = run(tiny_backbone.onnx.read_bytes(), batch, ["blocks.1", "pooled"])
    parts = ("pooled", "blocks.1/flat")
    (found,) = run(features_model(tiny_backbone, parts), batch, ["features"])
    np.testing.assert_array_equal(found, np.concatenate([pooled, high.reshape(5, -1)], 1))
    assert found.shape[1] == feature_size(tiny_backbone, parts) == 8 + 8 * 4 * 4


def test_a_hidden_layer_gives_the_features_that_the_head_sees(tiny_backbone: Backbone, batch: NDArray[np.float32]) -> None:
    plain = features_model(tiny_backbone, ["blocks.1", "pooled"])
    rng = np.random.default_rng(4)
    weight, bias = rng.normal(size=(6, 24)).astype(np.float32), rng.normal(size=6).astype(np.float32)
    model = network_model(hidden_model(plain, weight, bias), np.eye(6, dtype=np.float32), np.zeros(6, np.float32), 1.0)
    (before,) = run(plain, batch, ["features"])
    features, logits = run(model, batch, ["features", "logits"])
    np.testing.assert_allclose(features, np.maximum(before @ weight.T + bias, 0), rtol=0, atol=1e-5)
    assert (features == 0).any() and (features > 0).any()
    np.testing.assert_array_equal(logits, features)
    assert graph_hash(features_part(model)) == graph_hash(hidden_model(plain, weight, bias)) != graph_hash(plain)


def test_only_what_the_features_need_is_kept(tiny_backbone: Backbone) -> None:
    model = features_model(tiny_backbone, ["blocks.0"])
    assert [node.op_type for node in model.graph.node] == ["Conv", "Relu", "ReduceMean", "ReduceMax", "Concat"]
    assert [tensor.name for tensor in model.graph.initializer] == ["weight0", "places"]
    assert [output.name for output in model.graph.output] == ["features"]


def test_an_unknown_stage_is_told(tiny_backbone: Backbone) -> None:
    with pytest.raises(UsageError, match=r"Unknown stage of tiny: blocks\.7"):
        features_model(tiny_backbone, ["blocks.7"])


@pytest.mark.parametrize("temperature", [0.25, 1.0, 3.5])
def test_the_head_is_linear_and_the_temperature_divides_the_logits(
    tiny_backbone: Backbone, batch: NDArray[np.float32], temperature: float
) -> None:
    features = features_model(tiny_backbone, ["blocks.1"])
    rng = np.random.default_rng(3)
    weight, bias = rng.normal(size=(4, 16)).astype(np.float32), rng.normal(size=4).astype(np.float32)
    model = network_model(features, weight, bias, temperature)
    probabilities, logits, found = run(model, batch, ["probabilities", "logits", "features"])
    expected = found.astype(np.float64) @ weight.T + bias
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-5)
    power = np.exp((expected - expected.max(1, keepdims=True)) / temperature)
    np.testing.assert_allclose(probabilities, power / power.sum(1, keepdims=True), rtol=0, atol=1e-6)
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-6)
    assert graph_hash(features_part(model)) == graph_hash(features)


def parts_of(backbone: Backbone, fit: Fit, stages: Sequence[str]) -> tuple[Any, Any]:
    features = features_model(backbone, stages)
    weight = np.random.default_rng(0).normal(size=(3, feature_size(backbone, stages))).astype(np.float32)
    network = network_model(features, weight, np.zeros(3, np.float32), 2.0)
    return preprocess_model(backbone.image_size, backbone.mean, backbone.std, fit, opset=opset_of(network)), network


@pytest.mark.parametrize("fit", FITS)
def test_merged_graph_and_parts_agree_and_split_is_the_reverse(tiny_backbone: Backbone, fit: Fit) -> None:
    preprocess, network = parts_of(tiny_backbone, fit, ["blocks.0", "blocks.1"])
    merged = merge(preprocess, network, {"task": "classify", "names": '{"0": "Käse"}'})
    assert [value.name for value in merged.graph.input] == ["image"]
    assert [value.name for value in merged.graph.output] == ["probabilities", "logits", "features"]
    assert {entry.key: entry.value for entry in merged.metadata_props} == {"task": "classify", "names": '{"0": "Käse"}'}
    again = split(merged)
    assert graph_hash(*again) == graph_hash(preprocess, network)
    assert graph_hash(merge(*again)) == graph_hash(merge(preprocess, network))
    reference, whole = Reference(*again), open_session(merged, intra_threads=1)
    names = ["probabilities", "logits", "features"]
    for height, width in ((1, 1), (32, 32), (61, 43), (20, 200)):
        image = picture(height, width)
        of_parts = reference.run(reference.pixels(image)[np.newaxis], names)
        for ours, expected in zip(of_parts, whole.run(names, {"image": image[np.newaxis]}), strict=True):
            np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-6)


def test_the_real_backbone_merges_and_splits(lite0: Path, monkeypatch: pytest.MonkeyPatch, elpv_cells: dict[str, list[Path]]) -> None:
    monkeypatch.setenv("SEEFIT_CACHE", str(lite0))
    backbone = load_backbone("lite0")
    preprocess, network = parts_of(backbone, "crop", ["blocks.4", "blocks.6", "final", "pooled"])
    merged = merge(preprocess, network)
    assert graph_hash(*split(merged)) == graph_hash(preprocess, network)
    reference, whole = Reference(preprocess, network), open_session(merged, intra_threads=2)
    images = [np.asarray(Image.open(path).convert("RGB")) for path in elpv_cells["defective"][:3]]
    together = reference.run(np.stack([reference.pixels(image) for image in images]), ["probabilities", "features"])
    for row, image in enumerate(images):
        alone = whole.run(["probabilities", "features"], {"image": image[np.newaxis]})
        np.testing.assert_allclose(together[0][row], alone[0][0], rtol=0, atol=1e-5)
        np.testing.assert_allclose(together[1][row], alone[1][0], rtol=0, atol=1e-3)


def test_the_hash_of_a_graph_is_steady_and_sees_every_part(tiny_backbone: Backbone) -> None:
    def hashed(size: int = 32, fit: Fit = "crop", mean: tuple[float, ...] = MEAN, stages: tuple[str, ...] = ("blocks.0",)) -> str:
        return graph_hash(preprocess_model(size, mean, STD, fit), features_model(tiny_backbone, stages))

    assert hashed() == hashed()
    assert len({hashed(), hashed(size=33), hashed(fit="pad"), hashed(mean=STD), hashed(stages=("blocks.1",))}) == 5
