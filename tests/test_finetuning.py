"""Fine-tuning from probe to bundle: where the network is cut, and that what is trained is what is shipped."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from broken_off import broken_off
from command import seefit
from conftest import PhotoFolder
from seefit import finetuning
from seefit.bundle.bundle import load
from seefit.bundle.golden import golden_images
from seefit.data.image import decode
from seefit.errors import UsageError
from seefit.finetuning import Cut, choose_cut
from seefit.fitting import UNCALIBRATED
from seefit.models.backbone import Backbone, Stage, create
from seefit.models.cut import PIXELS
from seefit.pipeline import resume, train
from seefit.settings import make_settings
from seefit.training.network import TrainedNetwork
from seefit.training.schedule import growth_note
from test_cache import Listener
from tiny import plant_little

STAGES = (
    Stage("low", 16, 112),
    Stage("mid", 40, 28),
    Stage("high", 112, 14),
    Stage("top", 320, 7),
    Stage("final", 1280, 7),
    Stage("pooled", 1280, 0),
)
PARTS = ("mid", "high", "top", "final")
NETWORK = Backbone("net", 224, (0.5,) * 3, (0.5,) * 3, STAGES, "", Path("net.onnx"), "")


@pytest.mark.parametrize(
    ("freeze", "cut"),
    [
        ("auto", Cut("high", ("mid", "high"), ("top", "final"))),
        ("high", Cut("high", ("mid", "high"), ("top", "final"))),
        ("2", Cut("high", ("mid", "high"), ("top", "final"))),
        ("low", Cut("low", (), PARTS)),
        ("0", Cut("low", (), PARTS)),
        ("top", Cut("top", ("mid", "high", "top"), ("final",))),
        ("all", Cut(None, PARTS, ())),
        ("none", Cut(PIXELS, (), PARTS, streamed=True)),
    ],
)
def test_the_boundary_is_chosen_by_name_number_or_size(freeze: str, cut: Cut) -> None:
    assert choose_cut(NETWORK, PARTS, freeze) == cut


def test_the_networks_own_pooling_lies_above_every_boundary() -> None:
    assert choose_cut(NETWORK, ("pooled",), "auto") == Cut("high", (), ("pooled",))


def test_a_flattened_map_lies_where_its_map_does() -> None:
    assert choose_cut(NETWORK, ("final/flat",), "auto") == Cut("high", (), ("final/flat",))
    assert choose_cut(NETWORK, ("final/flat",), "all") == Cut(None, ("final/flat",), ())


def test_a_network_whose_maps_never_shrink_is_trained_whole() -> None:
    flat = Backbone(
        "vit",
        224,
        (0.5,) * 3,
        (0.5,) * 3,
        (Stage("blocks.0", 64, 14), Stage("blocks.1", 64, 14), Stage("pooled", 64, 0)),
        "",
        Path("x"),
        "",
    )
    assert choose_cut(flat, ("pooled",), "auto") == Cut(PIXELS, (), ("pooled",), streamed=True)


@pytest.mark.parametrize("freeze", ["hihg", "final", "pooled", "9", "-1"])
def test_an_unknown_stage_gets_the_list(freeze: str) -> None:
    with pytest.raises(UsageError) as caught:
        choose_cut(NETWORK, PARTS, freeze)
    assert caught.value.message.startswith(f"Unknown stage of net to freeze up to: {freeze}.")
    assert "auto, high, low, mid, none, top" in caught.value.hint


@pytest.fixture
def little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the name of a little network of timm's own tests, with weights by chance: its real ones are on a hub."""
    monkeypatch.setenv("SEEFIT_WEIGHTS", str(tmp_path))
    return plant_little(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("freeze", ["auto", "all", "none"])
def test_what_is_trained_is_what_is_shipped(little: str, photo_folder: PhotoFolder, tmp_path: Path, freeze: str) -> None:
    settings = make_settings(
        {"data": str(photo_folder(30)), "backbone": little, "image_size": 96, "preset": "balanced", "freeze": freeze, "epochs": 3}
        | {"views": 2, "batch": 8, "precision": "fp32", "augment": "any-way-up", "device": "cpu"}
    )
    run = train(settings, out=tmp_path / "run")
    with open(run.path / "history.csv", newline="") as handle:
        epochs = list(csv.DictReader(handle))
    assert [row["epoch"] for row in epochs] == ["1", "2", "3"]
    best = min(epochs, key=lambda row: float(row["val_loss"]))
    assert run.metrics["val"]["n"] > 0
    assert run.metrics["val"]["accuracy"]["value"] == pytest.approx(float(best["val_accuracy"]), abs=0.26)  # bf16 below, a few images
    assert run.metrics["probe"]["val"]["n"] == run.metrics["val"]["n"]
    bundle = load(run.path)
    bundle.verify()
    assert bundle.manifest["method"] == "finetune"
    found = bundle.explain(next(photo_folder(1).rglob("*.png")))
    assert found.bias is not None
    assert float(found.map.sum()) + found.bias == pytest.approx(found.logit, abs=1e-4)
    assert json.loads((run.path / "metrics.json").read_text())["seconds"]["finetune"] > 0
    weights = run.path / "bundle" / "backbone.safetensors"
    assert weights.exists() is (freeze != "all")
    if weights.exists():
        before = create(little).state_dict()
        original = load_file(tmp_path / "test_efficientnet.safetensors")
        changed = [name for name, tensor in load_file(weights).items() if not np.array_equal(tensor, original[name])]
        assert changed and set(changed) <= set(before)
        assert ("conv_stem.weight" in changed) is (freeze == "none")
        layers = tuple(f"{name}." for name in bundle.manifest["trained"])
        trainable = {name for name, _ in create(little).named_parameters() if f"{name}.".startswith(layers)}
        assert set(changed) <= trainable
        summary = seefit("summary", run.path, "--json").json
        counted = sum(parameter.numel() for name, parameter in create(little).named_parameters() if name in trainable)
        assert summary["trainable"] == counted + summary["layers"][-1]["parameters"]


@pytest.mark.slow
@pytest.mark.parametrize("features", ["pooled", "flatten"])
def test_a_hidden_layer_above_trained_layers_is_one_graph(
    little: str, photo_folder: PhotoFolder, tmp_path: Path, features: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_settings(
        {"data": str(photo_folder(20)), "backbone": little, "image_size": 96, "method": "finetune", "freeze": "none", "epochs": 1}
        | {"head": "hidden", "hidden": 32, "features": features, "batch": 8, "precision": "fp32", "device": "cpu"}
    )
    kept, made = [], finetuning._network

    def seen(*arguments: Any) -> TrainedNetwork:
        kept.append(made(*arguments))
        return kept[0]

    monkeypatch.setattr(finetuning, "_network", seen)
    run = train(settings, out=tmp_path / "run")
    bundle = load(run.path)
    odd = [decode(data) for data in golden_images().values()]
    pixels = np.stack([bundle.reference.pixels(image) for image in odd])
    with torch.no_grad():
        expected = (kept[0].eval()(torch.from_numpy(pixels)) / bundle.manifest["temperature"]).softmax(1).numpy()
    np.testing.assert_allclose(bundle.reference.run(pixels, ["probabilities"])[0], expected, rtol=0, atol=1e-4)
    assert bundle.manifest["hidden"] == 32


@pytest.mark.slow
def test_without_a_validation_part_probabilities_are_said_not_to_be_calibrated(
    little: str, photo_folder: PhotoFolder, tmp_path: Path
) -> None:
    heard = Listener()
    settings = make_settings(
        {"data": str(photo_folder(20)), "backbone": little, "image_size": 96, "method": "finetune", "epochs": 1, "views": 1}
        | {"batch": 8, "precision": "fp32", "device": "cpu", "val": 0, "test": 0.3}
    )
    run = train(settings, out=tmp_path / "run", console=heard)
    assert (run.metrics["temperature"], run.metrics["calibrated"], run.metrics["val"]) == (1.0, False, None)
    assert UNCALIBRATED in heard.warned and UNCALIBRATED in run.metrics["notes"]
    assert load(run.path).manifest["calibrated"] is False
    assert UNCALIBRATED in (run.path / "bundle" / "README.md").read_text()
    page = (run.path / "report.html").read_text()
    assert "They are not calibrated: no images were kept back for that." in page
    assert "1, not calibrated" in page


@pytest.mark.slow
def test_a_run_broken_off_while_fine_tuning_ends_as_an_unbroken_one(little: str, photo_folder: PhotoFolder, tmp_path: Path) -> None:
    settings = make_settings(
        {"data": str(photo_folder(20)), "backbone": little, "image_size": 96, "method": "finetune", "epochs": 3, "views": 2}
        | {"batch": 8, "precision": "fp32", "device": "cpu"}
    )
    whole = train(settings, out=tmp_path / "whole")
    with broken_off(after=2):
        train(settings, out=tmp_path / "broken")
    again = resume(tmp_path / "broken")
    for name in ("predictions.csv", "split.csv"):
        assert (again.path / name).read_bytes() == (whole.path / name).read_bytes()


@pytest.mark.slow
def test_a_finished_run_goes_on_for_more_epochs_and_says_what_that_does(little: str, photo_folder: PhotoFolder, tmp_path: Path) -> None:
    settings = make_settings(
        {"data": str(photo_folder(20)), "backbone": little, "image_size": 96, "method": "finetune", "epochs": 2, "views": 2}
        | {"batch": 8, "precision": "fp32", "device": "cpu", "schedule": "cosine"}
    )
    run, heard = train(settings, out=tmp_path / "run"), Listener()
    before = (run.path / "history.csv").read_text().splitlines()
    longer = resume(run.path, {"epochs": 3}, console=heard)
    after = (run.path / "history.csv").read_text().splitlines()
    assert (len(before), len(after), after[:3]) == (3, 4, before)
    assert growth_note("cosine", 3) in heard.said
    assert "Going on after epoch 2 of 3" in heard.said
    assert [line for line in heard.said if line.startswith("About ") and " left on this computer (" in line]
    assert longer.metrics["promise"]["parts"]["activations"] == 0  # they are kept
