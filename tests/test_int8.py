"""int8: what is quantised, what is fitted again, and what it may cost."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from seefit.bundle import graph
from seefit.bundle.bundle import load
from seefit.deploy.export import export
from seefit.deploy.finished import open_finished
from seefit.deploy.int8 import FEATURES, Change, quantise, write_int8_export
from seefit.errors import ArtefactError
from seefit.evaluation.intervals import estimate


def test_only_the_network_is_quantised_and_what_follows_fitted_again(little: Path, tmp_path: Path) -> None:
    done = export(little, "int8", out=tmp_path / "int8", max_drop=100)
    own, exported = load(little), load(done.path)
    model = exported.network()
    kinds = Counter(node.op_type for node in model.graph.node)
    assert kinds["QuantizeLinear"] > 10
    preprocess = graph.split(__import__("onnx").load(done.path / "model.onnx"))[0]
    assert not any("Quantize" in node.op_type for node in preprocess.graph.node)
    assert exported.manifest["temperature"] != own.manifest["temperature"]
    assert exported.manifest["features"] == own.manifest["features"]
    assert exported.manifest["class_map"] == own.manifest["class_map"] > 0
    assert (done.path / "model.onnx").stat().st_size < 0.7 * (little / "bundle" / "model.onnx").stat().st_size
    said = exported.manifest["export"]["change"]
    assert said == done.facts["change"]
    assert said["accuracy"]["low"] <= said["accuracy"]["value"] <= said["accuracy"]["high"]
    assert said["after"] - said["before"] == pytest.approx(said["accuracy"]["value"])
    assert "in int8, a change of" in (done.path / "README.md").read_text()


def test_a_change_beyond_what_is_allowed_is_refused_with_its_interval(
    little: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from seefit.deploy import int8 as module

    worse = Change(100, 0.9, 0.88, estimate(-0.02, -0.05, 0.01))
    monkeypatch.setattr(module, "_change", lambda *_: worse)
    with pytest.raises(ArtefactError) as caught:
        export(little, "int8", out=tmp_path / "int8")
    assert "Expected accuracy that falls by at most 1 point, got Accuracy on 100 validation images: 90.0% in fp32" in caught.value.message
    assert "a change of -2.0 points [-5.0, +1.0]" in caught.value.message
    assert "--max-drop 2.0" in caught.value.hint
    assert list(tmp_path.iterdir()) == []
    export(little, "int8", out=tmp_path / "int8", max_drop=2.0)


def test_without_a_validation_part_the_cost_cannot_be_measured(little: Path, tmp_path: Path) -> None:
    finished = open_finished(little)
    finished = replace(finished, rows=[row for row in finished.rows if row.split == "train"])
    with pytest.raises(ArtefactError, match="The loss of int8 cannot be measured"):
        write_int8_export(finished, tmp_path)


def test_the_same_network_and_images_give_the_same_file(little: Path) -> None:
    bundle = load(little)
    features = graph.features_part(bundle.network())
    side = bundle.manifest["image_size"]
    pixels = list(np.random.default_rng(0).normal(size=(4, 3, side, side)).astype(np.float32))
    assert quantise(features, pixels) == quantise(features, pixels)
    assert FEATURES.encode() in quantise(features, pixels)
