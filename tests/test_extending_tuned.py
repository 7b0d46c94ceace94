"""`seefit train DATA --extend RUN` where RUN's network was fine-tuned: its network is taken over, a new head is fitted."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from command import seefit
from conftest import copy_photos, read_csv
from seefit import pipeline
from seefit.bundle.bundle import load
from seefit.data.dataset import Dataset, Sample
from seefit.errors import RunError, UsageError
from seefit.extending import Older, inherit, join, prepare
from seefit.settings import make_settings
from seefit.training import engine
from test_extending import camera_pictures, parts
from tiny import plant_little

TUNE = ("--preset", "balanced", "--epochs", 2, "--views", 1, "--batch", 8, "--precision", "fp32", "--image-size", 96, "--device", "cpu")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, elpv_cells: dict[str, list[Path]]) -> Iterator[Path]:
    """Return a folder with ``photos``, a fine-tuned ``run`` on them, and new pictures in ``more``, with their cache."""
    place = tmp_path_factory.mktemp("tuned")
    photos = copy_photos(elpv_cells, place / "photos", 20)
    camera_pictures(place / "more" / "camera", 20)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEEFIT_CACHE", str(place / "cache"))
        patch.setenv("SEEFIT_WEIGHTS", str(place))
        patch.setattr(pipeline, "build_report", lambda *_, **__: None)
        answer = seefit("train", photos, "--backbone", plant_little(place), *TUNE, "--out", place / "run")
        assert answer.code == 0, answer.err
        yield place


@pytest.fixture
def home(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return `place`, and work with a copy of its cache."""
    monkeypatch.setenv("SEEFIT_CACHE", str(shutil.copytree(place / "cache", tmp_path / "cache")))
    return place


def test_only_a_head_is_fitted_unless_more_is_asked_for(trained: Path) -> None:
    def way(**given: Any) -> str:
        return inherit(make_settings({"data": "more", "extend": trained, **given})).way

    assert way() == "probe"
    assert way(preset="balanced") == way(method="finetune") == "finetune"
    assert way(preset="balanced", method="probe") == "probe"


def test_an_average_of_networks_cannot_be_extended(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seefit.extending.read_manifest", lambda folder: {"members": [{}, {}]})
    with pytest.raises(UsageError) as caught:
        join(Dataset("more", trained, [], ()), trained)
    assert caught.value.message == f"Cannot extend an average: {trained}. Expected a run of one network, got an average of 2."


def test_layers_are_not_trained_on_images_whose_files_are_gone(trained: Path) -> None:
    older = Older(trained, "", "", (), {}, {}, (), None, gone=frozenset({"one", "two"}))
    nothing: Any = None
    with pytest.raises(RunError) as caught:
        prepare(nothing, older, nothing, nothing, way="finetune")
    assert caught.value.message == (
        f"Images of the run to extend are gone: {trained}. Expected their files, on which layers can be trained, "
        "got 2 of which only features are kept."
    )


@pytest.mark.slow
def test_the_trained_network_is_taken_over_and_a_new_head_fitted(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[str] = []
    forward = engine.frozen_forward

    def count(samples: list[Sample], sha256: list[str], reference: Any, engine: Any, **options: Any) -> Any:
        computed.extend(sample.name for sample in samples if engine is reference)
        return forward(samples, sha256, reference, engine, **options)

    monkeypatch.setattr("seefit.training.cache.frozen_forward", count)
    answer = seefit("train", home / "more", "--extend", home / "run", "--out", tmp_path / "new")
    assert answer.code == 0, answer.err
    assert "Fine-tuning" not in answer.err
    old, new = load(home / "run"), load(tmp_path / "new")
    weights = [bundle.folder / "backbone.safetensors" for bundle in (old, new)]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    assert (new.classes, new.manifest["weights"]) == (("camera", "defective", "functional"), old.manifest["weights"])
    assert (old.manifest["method"], new.manifest["method"]) == ("finetune", "finetune")

    assert parts(tmp_path / "new").items() >= parts(home / "run").items()
    kept = {f"photos/{row['path']}" for row in read_csv(home / "run" / "split.csv") if row["split"] != "train"}
    assert kept.isdisjoint(computed)  # the network was taken over to the bit: what is kept of its features fits
    assert list((tmp_path / "cache" / "tuned").iterdir()) == []

    metrics = json.loads((tmp_path / "new" / "metrics.json").read_text())
    assert metrics["extension"]["earlier_images"]["n"] == json.loads((home / "run" / "metrics.json").read_text())["test"]["n"]
    assert (metrics["cross_validation"], metrics["calibrated"], metrics["probe"]) == (None, True, None)  # folds would flatter
    assert "method: finetune." in (tmp_path / "new" / "bundle" / "README.md").read_text()

    third = camera_pictures(tmp_path / "third" / "camera", 5, first=50)
    again = seefit("train", third, "--extend", tmp_path / "new", "--out", tmp_path / "grown", "--val", 0)
    assert again.code == 0, again.err
    assert (load(tmp_path / "grown").folder / "backbone.safetensors").read_bytes() == weights[0].read_bytes()


@pytest.mark.slow
def test_it_may_be_trained_further(home: Path, tmp_path: Path) -> None:
    answer = seefit("train", home / "more", "--extend", home / "run", "--out", tmp_path / "further", "--preset", "balanced")
    assert answer.code == 0, answer.err
    assert "Fine-tuning the layers above " in answer.err
    old, new = load(home / "run").manifest["weights"], load(tmp_path / "further").manifest["weights"]
    assert old != new


@pytest.mark.slow
def test_a_damaged_bundle_is_not_extended(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "run", tmp_path / "run")
    weights = tmp_path / "run" / "bundle" / "backbone.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    error = seefit("train", home / "more", "--extend", tmp_path / "run", "--out", tmp_path / "new", "--json").error()
    assert error["code"] == 5
    assert str(weights) in error["message"]


@pytest.mark.slow
def test_images_whose_files_are_gone_stop_it_since_their_features_by_this_network_are_not_kept(home: Path, tmp_path: Path) -> None:
    row = next(row for row in read_csv(home / "run" / "split.csv") if row["split"] == "train")
    photo = home / "photos" / row["path"]
    photo.rename(tmp_path / "aside.png")
    try:
        error = seefit("train", home / "more", "--extend", home / "run", "--out", tmp_path / "new", "--json").error()
    finally:
        (tmp_path / "aside.png").rename(photo)
    assert error["code"] == 4
    assert error["message"].endswith(f"got neither of 1 (photos/{row['path']}).")
