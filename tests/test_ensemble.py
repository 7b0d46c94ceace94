"""The preset ``best``: several networks in one run and one bundle, within the time, and the same after an interrupt."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from numpy.typing import NDArray
from safetensors.numpy import load_file as load_arrays
from safetensors.torch import load_file, save_file

from broken_off import broken_off
from conftest import PhotoFolder, Train, read_csv
from seefit import ensemble
from seefit.budget import Cost, Timings
from seefit.bundle.bundle import load
from seefit.console import Console
from seefit.ensemble import views_of
from seefit.errors import UsageError
from seefit.evaluation.calibrate import softmax
from seefit.fitting import Fitted
from seefit.measuring import Speed
from seefit.models.backbone import Backbone, create, load_backbone, tower
from seefit.models.weights import available
from seefit.models.zoo import resolve
from seefit.pipeline import Run, resume, train
from seefit.settings import make_settings
from seefit.training.augment import parse_augmentation
from seefit.training.history import Epoch

AS_IT_IS, MIRRORED = ((), "as it is"), ((3,), "mirrored left to right")
UPTURNED, TURNED = ((2,), "mirrored top to bottom"), ((2, 3), "upside down")


@pytest.mark.parametrize(
    ("augment", "views"),
    [
        ("none", [AS_IT_IS]),
        ("light", [AS_IT_IS, MIRRORED]),
        ("strong", [AS_IT_IS, MIRRORED]),
        ("any-way-up", [AS_IT_IS, MIRRORED, UPTURNED, TURNED]),
        ("none,vertical_flip=0.3", [AS_IT_IS, UPTURNED]),
        ("none,quarter_turns=on", [AS_IT_IS, TURNED]),
        ("none,rotation=180", [AS_IT_IS]),
    ],
)
def test_a_picture_is_shown_in_the_mirror_images_that_training_had(augment: str, views: list[object]) -> None:
    assert views_of(parse_augmentation(augment)) == views


# ---- the whole way, with training that takes no time -------------------------------------------------------------


class Clock:
    """A clock that moves when it is told to."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def quick(warm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Train in no time: a head that is a little larger for each seed; speeds are made up. Return what was called, and the clock.

    The cache is a copy: that of `warm` is shared, and must not come to know merged networks.
    """
    shutil.copytree(warm.parent / "cache", tmp_path / "cache")
    monkeypatch.setenv("SEEFIT_CACHE", str(tmp_path / "cache"))
    quick = SimpleNamespace(calls=[], made=[], enough=[], clock=Clock(), takes=1.0, fails_at=None)

    def finetune_probe(settings: Any, fitted: Fitted, *_: Any, checkpoints: Path, **given: Any) -> tuple[Fitted, list[Epoch]]:
        quick.enough.append(given.get("enough"))
        if len(quick.calls) == quick.fails_at:
            raise KeyboardInterrupt
        quick.calls.append((settings.backbone, settings.seed, settings.epochs, checkpoints.name))
        quick.clock.now += quick.takes
        head = replace(fitted.head, weight=fitted.head.weight * (1 + settings.seed))
        quick.made.append(replace(fitted, head=head))
        return quick.made[-1], [Epoch(1, 0.5, 0.5, 0.5, 0.5, 0.5, 0.001, 10.0, 1.0)]

    monkeypatch.setattr(ensemble, "finetune_probe", finetune_probe)
    monkeypatch.setattr(ensemble, "measure", lambda *_: Speed(0.0, 0.0, 0.0))
    monkeypatch.setattr(ensemble, "time", quick.clock)
    return quick


def test_several_networks_become_one_bundle(quick: SimpleNamespace, train_here: Train) -> None:
    run = train_here(preset="best", backbone="lite0,lite0", epochs=3, augment="any-way-up")
    assert quick.calls == [("lite0", 0, 3, "member-0"), ("lite0", 1, 3, "member-1")]
    bundle = load(run.path)
    bundle.verify()
    assert bundle.manifest["backbone"] == "tf_efficientnet_lite0+tf_efficientnet_lite0"
    assert bundle.manifest["method"] == "finetune"
    assert bundle.manifest["views"] == ["as it is", "mirrored left to right", "mirrored top to bottom", "upside down"]
    assert [member["backbone"] for member in bundle.manifest["members"]] == ["tf_efficientnet_lite0"] * 2
    assert bundle.manifest["features"] == ["members"]
    assert bundle.manifest["class_map"] == 8
    resolved = yaml.safe_load((run.path / "config.yaml").read_text())["resolved"]
    assert (resolved["members"], resolved["views"]) == (bundle.manifest["members"], bundle.manifest["views"])
    assert [row["member"] for row in read_csv(run.path / "history.csv")] == ["0", "1"]
    assert run.metrics["probe"]["val"]["n"] == run.metrics["val"]["n"] > 0
    card = (run.path / "bundle" / "README.md").read_text()
    assert "It is the mean of 2 pretrained networks, " in card
    assert "each sees a picture as it is and mirrored left to right and mirrored top to bottom and upside down." in card
    pixels = np.random.default_rng(0).normal(size=(3, 3, 32, 32)).astype(np.float32)
    logits, probabilities = bundle.reference.run(pixels, ["logits", "probabilities"])
    views = [np.ascontiguousarray(np.flip(pixels, axes)) for axes, _ in (AS_IT_IS, MIRRORED, UPTURNED, TURNED)]
    own = [fitted.head.logits(fitted.extractor.reference.run(view, ["features"])[0]) for fitted in quick.made for view in views]
    assert len(own) == 8
    np.testing.assert_allclose(logits, np.mean(own, 0), atol=1e-5)
    np.testing.assert_allclose(probabilities, softmax(logits, bundle.manifest["temperature"]), atol=1e-5)


def test_training_ends_when_one_more_epoch_would_end_too_late(quick: SimpleNamespace, train_here: Train) -> None:
    row = Epoch(1, 0.5, 0.5, 0.5, 0.5, 0.5, 0.001, 10.0, seconds=50.0)
    train_here(out="few", preset="best", backbone="lite0,lite0", minutes=2)
    first, second = quick.enough
    assert first([]) is None and first([row]) is None
    assert first([row] * 2) == second([row] * 2) == "One more epoch would take longer than 2 min (--minutes): training ends"
    train_here(out="asked", preset="best", backbone="lite0,lite0", minutes=2, epochs=7)
    assert quick.enough[2:] == [None, None]


def test_a_run_broken_off_between_networks_ends_as_an_unbroken_one(
    quick: SimpleNamespace, train_here: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train_here(out="whole", preset="best", backbone="lite0,lite0")
    quick.fails_at = 3
    with pytest.raises(KeyboardInterrupt):
        train_here(out="broken", preset="best", backbone="lite0,lite0")
    quick.fails_at = None
    monkeypatch.delattr(ensemble, "measure")  # what was measured before counts
    again = resume(tmp_path / "broken")
    assert quick.calls[3:] == quick.calls[:2]
    for name in ("predictions.csv", "split.csv", "history.csv", "bundle/model.onnx", "bundle/head.safetensors"):
        assert (again.path / name).read_bytes() == (whole.path / name).read_bytes()


def test_a_network_is_left_out_when_those_before_it_took_too_long_also_on_resume(
    quick: SimpleNamespace, train_here: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    quick.takes = 900.0
    with monkeypatch.context() as patch:
        patch.delattr(ensemble, "merge")
        with pytest.raises(NameError):
            train_here(preset="best", backbone="lite0,lite0,lite0", minutes=20)
    warning = "warning: Only 1 of 3 networks: one more would take longer than 20 min (--minutes)"
    assert warning in capsys.readouterr().err
    quick.takes = 0.0  # the first network is there already, which must not count as fast
    run = resume(tmp_path / "run")
    timings = json.loads((run.path / "checkpoints" / "timings.json").read_text())
    assert (timings["networks"], timings["seconds"]) == (3, [900.0])
    assert len(load(run.path).manifest["members"]) == 1
    assert warning in capsys.readouterr().err


def test_what_fits_is_chosen_and_said_before_the_start(
    quick: SimpleNamespace, warm: Path, no_page: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ensemble, "measure", lambda *_: Speed(0.0, 0.0, 30.0))  # a batch an epoch, and a little to validate
    settings = make_settings({"data": str(warm), "preset": "best", "backbone": "lite0,lite0", "minutes": 7})
    train(settings, out=tmp_path / "run", console=Console())
    assert [epochs for _, _, epochs, _ in quick.calls] == [11]
    told = capsys.readouterr().err
    said = r"Best: lite0, 11 epochs each, and 2 views of every picture: about \d\.\d min in all; there is no time for lite0 \(--minutes 7\)"
    assert re.search(said, told)
    assert re.search(r"One model of 1 network with 2 views of a picture: \d+ MB, about [\d,]+ pictures/s here", told)


def test_what_cannot_fit_is_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    ensemble._say_plan(["lite0"], Timings([Cost(100, 20, 10)], 60, 1, 1), 1, 1, 3, Console())
    first, second = capsys.readouterr().err.splitlines()
    assert first == "Best: lite0, 1 epoch each, and 1 view of every picture: about 3.2 min in all (--minutes 3)"
    assert second == "warning: One network with 1 epoch takes longer than 3 min (--minutes)"


def test_minutes_without_several_networks_are_refused_before_any_image_is_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--minutes"):
        train(make_settings({"data": str(tmp_path / "nothing"), "minutes": 5}), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


# ---- the whole way, with real training -----------------------------------------------------------------------------


@pytest.fixture
def little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return two little networks of timm's own tests, with weights by chance: their real ones are on a hub."""
    torch.manual_seed(0)
    for name in ("test_efficientnet", "test_resnet"):
        save_file(create(name).state_dict(), tmp_path / f"{name}.safetensors")
    monkeypatch.setenv("SEEFIT_WEIGHTS", str(tmp_path))
    return "test_efficientnet,test_resnet"


def said_by_torch(run: Run, pixels: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the probabilities (N, C) that the networks of a run give in torch, from the weights in its bundle alone."""
    bundle = load(run.path)
    manifest, head = bundle.manifest, load_arrays(bundle.folder / "head.safetensors")
    first, features = manifest["members"][0], []
    axes = {words: axes for axes, words in (AS_IT_IS, MIRRORED, UPTURNED, TURNED)}
    for number, member in enumerate(manifest["members"]):
        assert member["file"] == f"backbone{f'-{number}' if number else ''}.safetensors"
        backbone = load_backbone(member["backbone"], manifest["image_size"])
        whole: Any = tower(backbone)
        whole.model.load_state_dict(load_file(bundle.folder / member["file"]))
        base, own = ({key: np.array(of[key]).reshape(3, 1, 1) for key in ("mean", "std")} for of in (first, member))
        rgb = pixels * base["std"] + base["mean"]
        shown = [np.flip((rgb - own["mean"]) / own["std"], axes[words]) for words in manifest["views"]]
        features.append(np.mean([pooled(whole, backbone, view, member["features"]) for view in shown], 0))
    logits = np.concatenate(features, 1) @ head["weight"].T + head["bias"]
    return softmax(logits, manifest["temperature"])


def pooled(whole: Any, backbone: Backbone, pixels: NDArray[np.float64], parts: list[str]) -> NDArray[np.float64]:
    with torch.no_grad():
        outputs = whole(torch.from_numpy(np.ascontiguousarray(pixels, np.float32)))
    maps = dict(zip([stage.name for stage in backbone.stages], outputs, strict=True))
    pieces = [piece for part in parts for piece in (maps[part].mean((2, 3)), maps[part].amax((2, 3)))]
    return np.asarray(torch.cat(pieces, 1).double())


@pytest.mark.slow
def test_what_is_trained_is_what_is_shipped(little: str, photo_folder: PhotoFolder, tmp_path: Path) -> None:
    settings = make_settings(
        {"data": str(photo_folder(20)), "preset": "best", "backbone": little, "image_size": 96, "epochs": 2, "views": 2, "batch": 8}
        | {"augment": "any-way-up", "device": "cpu"}
    )
    run = train(settings, out=tmp_path / "run")
    assert [(row["member"], row["epoch"]) for row in read_csv(run.path / "history.csv")] == [("0", "1"), ("0", "2"), ("1", "1"), ("1", "2")]
    bundle = load(run.path)
    bundle.verify()
    pixels = np.random.default_rng(0).normal(size=(4, 3, 96, 96)).astype(np.float32)
    (probabilities,) = bundle.reference.run(pixels, ["probabilities"])
    np.testing.assert_allclose(probabilities, said_by_torch(run, pixels), atol=1e-4)
    timings = json.loads((run.path / "checkpoints" / "timings.json").read_text())
    assert len(timings["seconds"]) == timings["networks"] == 2
    assert all(cost["epoch"] > 0 and cost["answers"] > 0 for cost in timings["costs"])


@pytest.mark.slow
def test_a_run_broken_off_within_the_second_network_ends_as_an_unbroken_one(little: str, photo_folder: PhotoFolder, tmp_path: Path) -> None:
    settings = make_settings(
        {"data": str(photo_folder(20)), "preset": "best", "backbone": little, "image_size": 96, "epochs": 2, "views": 2, "batch": 8}
        | {"precision": "fp32", "device": "cpu"}
    )
    whole = train(settings, out=tmp_path / "whole")
    with broken_off(after=3):
        train(settings, out=tmp_path / "broken")
    again = resume(tmp_path / "broken")
    for name in ("predictions.csv", "bundle/model.onnx", "bundle/backbone.safetensors", "bundle/backbone-1.safetensors"):
        assert (again.path / name).read_bytes() == (whole.path / name).read_bytes()


@pytest.mark.slow
def test_the_packaged_networks_are_averaged(photo_folder: PhotoFolder, tmp_path: Path) -> None:
    names = [name for name in ("lite0", "lite1") if available(resolve(name))]
    given = {"data": str(photo_folder(20)), "preset": "best", "backbone": ",".join(names), "image_size": 128, "epochs": 1, "views": 2}
    run = train(make_settings(given), out=tmp_path / "run")
    pixels = np.random.default_rng(0).normal(size=(2, 3, 128, 128)).astype(np.float32)
    (probabilities,) = load(run.path).reference.run(pixels, ["probabilities"])
    np.testing.assert_allclose(probabilities, said_by_torch(run, pixels), atol=1e-3)
