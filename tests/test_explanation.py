"""Explanations of single answers: the exact map, occlusion where there is none, a class by its name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from conftest import PhotoFolder
from seefit.bundle.bundle import Bundle, load, save_bundle
from seefit.bundle.explanation import OCCLUDED, hide
from seefit.data.image import Undecodable, decode
from seefit.errors import UsageError
from seefit.models.architecture import FLAT
from seefit.models.backbone import Backbone
from tiny import SIDE, make_parts

Float = NDArray[np.float32]


@pytest.fixture
def photo(photo_folder: PhotoFolder) -> Path:
    return next((photo_folder(1) / "defective").iterdir())


@pytest.fixture
def flat(tmp_path: Path, tiny_backbone: Backbone) -> Bundle:
    """A bundle whose head sees every place of a map by itself."""
    save_bundle(tmp_path / "flat", make_parts(tiny_backbone, stages=("blocks.1" + FLAT,)))
    return load(tmp_path / "flat")


def test_the_predicted_class_is_explained_or_one_that_is_named(tiny_bundle: Path, photo: Path) -> None:
    bundle = load(tiny_bundle)
    best = bundle.predict(photo)[0][0]
    found = bundle.explain(photo)
    assert (found.label, found.exact, found.map.shape) == (best["label"], True, (8, 8))
    assert float(found.probabilities.max()) == pytest.approx(best["score"], abs=1e-6)
    pixels = bundle.reference.pixels(decode(photo))[np.newaxis]
    logits = bundle.reference.run(pixels, ["logits"])[0][0]
    for number, name in enumerate(bundle.classes):
        named = bundle.explain(photo, name)
        assert named.label == name
        assert named.bias is not None
        assert named.logit == pytest.approx(float(logits[number]), abs=1e-5)
        assert float(named.map.sum()) + named.bias == pytest.approx(named.logit, abs=1e-4)


def test_an_unknown_class_is_told_with_the_known_ones(tiny_bundle: Path, photo: Path) -> None:
    with pytest.raises(UsageError) as caught:
        load(tiny_bundle).explain(photo, "defectiv")
    assert str(caught.value) == (
        "Unknown class: defectiv. Expected a known class, got 'defectiv'. Did you mean 'defective'? Choose one of: defective, functional."
    )


def test_a_picture_that_cannot_be_decoded_is_refused(tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nhalf")
    with pytest.raises(Undecodable, match=r"bad\.png"):
        load(tiny_bundle).explain(tmp_path / "bad.png")


def test_without_a_map_the_fall_of_the_logit_is_told_place_by_place(flat: Bundle, photo: Path) -> None:
    pixels = flat.reference.pixels(decode(photo))
    for label, number in ((None, -1), ("defective", 0), ("functional", 1)):
        found = flat.explain(photo, label)
        assert (found.exact, found.bias, found.map.shape) == (False, None, (OCCLUDED, OCCLUDED))
        logits = flat.reference.run(np.stack([pixels, hide(pixels, 2, 5)]), ["logits"])[0]
        number = int(logits[0].argmax()) if number < 0 else number
        assert found.label == flat.classes[number]
        assert found.logit == pytest.approx(float(logits[0, number]), abs=1e-5)
        assert float(found.map[2, 5]) == pytest.approx(float(logits[0, number] - logits[1, number]), abs=1e-5)


def test_a_hidden_place_is_grey_with_half_a_place_around_it() -> None:
    pixels = np.ones((3, 70, 70), np.float32)
    covered = np.stack([hide(pixels, row, column)[0] == 0 for row in range(OCCLUDED) for column in range(OCCLUDED)])
    assert pixels.all(), "the picture itself stays as it is"
    assert covered[3 * 7 + 3].sum() == 20 * 20
    assert covered[3 * 7 + 3][25:45, 25:45].all()
    assert covered[0].sum() == 15 * 15
    assert (covered.sum(0) >= 1).all(), "every pixel is hidden some time"


def test_plain_predictions_do_not_compute_the_map(tiny_bundle: Path) -> None:
    """ONNX Runtime computes every output of a graph, asked for or not: the session that predicts has no map in it."""
    bundle = load(tiny_bundle)
    assert [value.name for value in bundle.reference._network.get_outputs()] == ["probabilities", "logits", "features"]
    assert {value.name for value in bundle.explainer._session.get_outputs()} >= {"map", "map_bias"}
    pixels = np.random.default_rng(0).normal(size=(2, 3, SIDE, SIDE)).astype(np.float32)
    for ours, theirs in zip(*(one.run(pixels, ["probabilities", "logits"]) for one in (bundle.reference, bundle.explainer)), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
