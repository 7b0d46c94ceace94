"""From a backbone to a feature matrix: which stages, what they hold, and what is kept for which engine."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from seefit.bundle.bundle import load, save_bundle
from seefit.data.dataset import Sample
from seefit.errors import UsageError
from seefit.models.backbone import Backbone, Stage
from seefit.training.cache import cached_features
from seefit.training.features import CHOICES, FeatureExtractor, choose_parts, reference_recipe
from test_cache import make_samples
from tiny import MEAN, STAGES, STD, make_parts


def backbone_of(*stages: Stage) -> Backbone:
    return Backbone("some", 224, MEAN, STD, stages, "none", Path("none.onnx"), "0" * 64)


CNN = backbone_of(*(Stage(f"blocks.{i}", 16 * (i + 1), 112 // 2**i) for i in range(5)), Stage("final", 1280, 7), Stage("pooled", 1280, 0))
VIT = backbone_of(*(Stage(f"blocks.{i}", 192, 14) for i in range(12)), Stage("pooled", 192, 0))
PLAIN = backbone_of(Stage("pooled", 512, 0))


@pytest.mark.parametrize(
    ("backbone", "choice", "expected"),
    [
        (CNN, "auto", ("blocks.2", "blocks.3", "blocks.4", "final")),
        (CNN, "stages", ("blocks.2", "blocks.3", "blocks.4", "final")),
        (CNN, "pooled", ("pooled",)),
        (VIT, "auto", ("pooled",)),
        (VIT, "stages", ("blocks.8", "blocks.9", "blocks.10", "blocks.11")),
        (VIT, "pooled", ("pooled",)),
        (PLAIN, "auto", ("pooled",)),
        (CNN, "flatten", ("final/flat",)),
        (VIT, "flatten", ("blocks.11/flat",)),
    ],
)
def test_parts_are_the_last_maps_of_a_cnn_and_the_token_of_a_transformer(
    backbone: Backbone, choice: str, expected: tuple[str, ...]
) -> None:
    assert choice in CHOICES
    assert choose_parts(backbone, choice) == expected


def test_a_network_without_maps_has_nothing_to_flatten() -> None:
    with pytest.raises(UsageError) as caught:
        choose_parts(PLAIN, "flatten")
    assert caught.value.message == "Nothing to flatten: some. Expected a network that gives maps, got none."
    assert caught.value.hint == "Use --features pooled."


def contents(samples: list[Sample]) -> list[str]:
    return [hashlib.sha256(sample.path.read_bytes()).hexdigest() for sample in samples]


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    return make_samples(tmp_path / "pictures", 11)


def test_features_are_mean_and_maximum_of_each_map(tiny_backbone: Backbone, samples: list[Sample]) -> None:
    """Against the maps themselves, as the network file gives them."""
    import onnxruntime

    extractor = FeatureExtractor(tiny_backbone, ("blocks.0", "blocks.1", "pooled"), "squash", device="cpu")
    features = extractor.extract(samples, contents(samples), exact=True)
    assert features.shape == (11, extractor.width) == (11, 2 * 4 + 2 * 8 + 8)
    assert features.dtype == np.float32
    pixels = np.stack([extractor.reference.pixels(_pixels(sample)) for sample in samples])
    session = onnxruntime.InferenceSession(tiny_backbone.onnx.read_bytes(), providers=["CPUExecutionProvider"])
    maps = session.run([stage.name for stage in STAGES], {"pixels": pixels})
    pieces = [piece for m in maps[:2] for piece in (m.mean((2, 3)), m.max((2, 3)))] + [maps[2]]
    np.testing.assert_allclose(features, np.concatenate(pieces, axis=1), atol=1e-5)


def _pixels(sample: Sample) -> NDArray[np.uint8]:
    with Image.open(sample.path) as image:
        return np.asarray(image)


def test_an_unknown_stage_is_named_with_the_known_ones(tiny_backbone: Backbone) -> None:
    with pytest.raises(UsageError) as caught:
        FeatureExtractor(tiny_backbone, ("blocks.2",), "squash", device="cpu")
    assert caught.value.message == "Unknown stage of tiny: blocks.2. Expected a known stage of tiny, got 'blocks.2'."
    assert caught.value.hint.endswith("Choose one of: blocks.0, blocks.1, pooled.")


def test_each_engine_and_box_keeps_its_own_features(
    tiny_backbone: Backbone, samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    extractor = FeatureExtractor(tiny_backbone, ("blocks.1",), "squash", device="cpu")
    monkeypatch.setattr(extractor, "engine", _Zeros())
    digests = contents(samples)
    exact = extractor.extract(samples, digests, exact=True)
    assert not extractor.extract(samples, digests).any()
    np.testing.assert_array_equal(extractor.extract(samples, digests, exact=True), exact)
    extractor.use_reference()
    assert extractor.engine is extractor.reference
    np.testing.assert_array_equal(extractor.extract(samples, digests), exact)


class _Zeros:
    """An engine that is wrong, so that its features are told from others."""

    name, batch = "zeros", 4

    def forward(self, batches: Iterable[Sequence[NDArray[np.float32]]]) -> Iterator[NDArray[np.float32]]:
        for batch in batches:
            yield np.zeros((len(batch), 16), np.float32)


def test_no_images_give_no_rows(tiny_backbone: Backbone) -> None:
    extractor = FeatureExtractor(tiny_backbone, ("pooled",), "crop", device="cpu")
    assert extractor.extract([], []).shape == (0, 8)


def test_a_bundle_finds_the_features_that_its_extractor_kept(tiny_backbone: Backbone, samples: list[Sample], tmp_path: Path) -> None:
    stages = ("blocks.0", "blocks.1")
    extractor = FeatureExtractor(tiny_backbone, stages, "pad", device="cpu")
    kept = extractor.extract(samples, contents(samples), exact=True)
    save_bundle(tmp_path / "bundle", make_parts(tiny_backbone, fit="pad", stages=stages))
    bundle = load(tmp_path / "bundle")
    found = cached_features(
        samples,
        contents(samples),
        reference_recipe(bundle),
        bundle.reference,
        _Zeros(),
        width=extractor.width,
        max_pixels=extractor.max_pixels,
    )
    np.testing.assert_array_equal(found, kept)  # nothing was left to compute, or there would be zeros


def test_what_is_kept_is_known_by_content_and_engine(tiny_backbone: Backbone, samples: list[Sample]) -> None:
    extractor = FeatureExtractor(tiny_backbone, ("blocks.1",), "squash", device="cpu")
    known = contents(samples)
    extractor.extract(samples[:2], known[:2], exact=True)
    assert extractor.kept(known[:4], exact=True) == [True, True, False, False]
    fast = extractor.engine is not extractor.reference
    assert extractor.kept(known[:2]) == [not fast] * 2
    assert extractor.kept([]) == []
