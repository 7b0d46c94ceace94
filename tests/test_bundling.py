"""Bundling: what was fitted is what the bundle answers, and its manifest says what it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from seefit.bundle.bundle import load, save_bundle
from seefit.bundling import bundle_parts, versions, weights_file
from seefit.evaluation.calibrate import softmax
from seefit.parts import Part
from seefit.settings import make_settings
from test_fitting import CLASSES, fit, make_part, open_warped
from tiny import plant_tiny


def test_the_bundle_gives_what_was_fitted(tmp_path: Path) -> None:
    plant_tiny()
    settings, train = make_settings({"data": "pictures", "device": "cpu"}), make_part(tmp_path / "train", 60, seed=0)
    fitted = fit(settings, open_warped(settings, 0.0), train)
    save_bundle(tmp_path / "bundle", bundle_parts(fitted, CLASSES, settings, train))
    bundle = load(tmp_path / "bundle")
    exact = fitted.extractor.extract(train.samples, train.sha256, exact=True)
    found = np.stack([prediction.probabilities for prediction in bundle.predictions([sample.path for sample in train.samples])])
    np.testing.assert_allclose(found, softmax(fitted.head.logits(exact), fitted.temperature), atol=1e-5)
    same = bundle_parts(fitted, CLASSES, settings, Part(train.samples[::-1], train.sha256[::-1], train.units))
    assert bundle.manifest["data_sha256"] == same.about["data_sha256"]


def test_the_weights_of_several_networks_are_numbered() -> None:
    assert [weights_file(i) for i in range(3)] == ["backbone.safetensors", "backbone-1.safetensors", "backbone-2.safetensors"]


def test_versions_are_those_of_what_figures_depend_on() -> None:
    assert {"python", "seefit", "torch", "onnxruntime", "pillow"} <= set(versions())
