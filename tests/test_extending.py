"""`seefit train DATA --extend RUN`: new images and classes beside those of a finished run."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from command import Answer, seefit
from conftest import copy_photos, read_csv
from seefit import pipeline
from seefit.bundle.bundle import load
from seefit.data.dataset import Dataset, Sample, Skip
from seefit.data.splitfile import read_split
from seefit.errors import DataError, RunError, UsageError
from seefit.evaluation import evaluate
from seefit.extending import _choice, extension, inherit, join, told
from seefit.settings import make_settings
from seefit.training import engine
from test_pipeline import Sealed
from tiny import plant_tiny

Extend = Callable[..., Answer]


def camera_pictures(folder: Path, count: int, first: int = 0) -> Path:
    """Write photographs of a third kind: parts of scikit-image's camera picture."""
    from skimage import data

    picture, rng = data.camera(), np.random.default_rng(first)
    folder.mkdir(parents=True)
    for i in range(first, first + count):
        y, x = rng.integers(0, 212, 2)
        Image.fromarray(picture[y : y + 300, x : x + 300]).save(folder / f"{i}.png")
    return folder.parent


@pytest.fixture
def home(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with ``run``, made from ``photos``, and their cache: a copy of what `trained` stands on, to be changed freely."""
    place = tmp_path / "home"
    shutil.copytree(trained.parent, place)
    monkeypatch.setenv("SEEFIT_CACHE", str(place / "cache"))
    config = place / "run" / "config.yaml"
    config.write_text(config.read_text().replace(str(trained.parent), str(place)))
    return place


@pytest.fixture
def extend(home: Path, no_page: None) -> Extend:
    """Return a function that extends ``home/run`` to ``home/new-run``."""

    def run(data: Path, *options: object, out: str = "new-run") -> Answer:
        return seefit("train", data, "--extend", home / "run", "--out", home / out, *options)

    return run


def parts(run: Path) -> dict[str, str]:
    return {row["sha256"]: row["split"] for row in read_csv(run / "split.csv")}


@pytest.fixture
def sealed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let test samples refuse to tell their label once the split is written; return the bundle that was there when `evaluate` read them."""
    reads: list[str] = []
    write_first_files = pipeline._write_first_files

    def seal(run: Path, seen: Any, split: Any, classes: Any) -> None:
        write_first_files(run, seen, split, classes)
        for i in split.index("test"):
            seen.samples[i] = Sealed(seen.samples[i])

    def read(path: Path) -> Any:
        reads.append(load(path.parent).hash)
        return read_split(path)

    monkeypatch.setattr(pipeline, "_write_first_files", seal)
    monkeypatch.setattr(evaluate, "read_split", read)
    return reads


def test_a_class_is_added(home: Path, extend: Extend, sealed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Kept features are used again, older images stay in their parts, and the older classes are judged before and after."""
    computed: list[str] = []
    forward = engine.frozen_forward

    def count(samples: list[Sample], *arguments: Any, **options: Any) -> Any:
        computed.extend(sample.name for sample in samples)
        return forward(samples, *arguments, **options)

    monkeypatch.setattr("seefit.training.cache.frozen_forward", count)
    answer = extend(camera_pictures(home / "more" / "camera", 20))
    assert answer.code == 0, answer.err
    assert f"20 new images from {home / 'more'} beside 60 of {home / 'run'}: 3 classes, 1 of them new\n" in answer.err
    assert computed and all(name.startswith("more/camera/") for name in computed)

    new, old = home / "new-run", home / "run"
    rows = read_csv(new / "split.csv")
    assert parts(new).items() >= parts(old).items()
    assert [row["path"] for row in rows[:60]] == [f"photos/{row['path']}" for row in read_csv(old / "split.csv")]
    fresh = [row["split"] for row in rows[60:]]
    assert {part: fresh.count(part) for part in ("train", "val", "test")} == {"train": 14, "val": 3, "test": 3}
    assert load(new).classes == ("camera", "defective", "functional")

    metrics = json.loads((new / "metrics.json").read_text())
    assert metrics["test"]["n"] == 12
    found = metrics["extension"]
    assert found["extended_from"] == str(old)
    assert found["bundle"] == load(old).hash != metrics["bundle"]
    assert sealed == [metrics["bundle"]]
    assert (found["added_classes"], found["images"]) == (["camera"], {"earlier": 60, "new": 20})
    stored = json.loads((old / "metrics.json").read_text())["test"]
    for name in ("accuracy", "balanced_accuracy"):
        assert found["earlier_images"]["before"][name]["value"] == pytest.approx(stored[name]["value"])
    assert found["earlier_images"]["n"] == 9
    predictions = {row["path"]: row for row in read_csv(new / "predictions.csv")}
    now = [predictions[f"photos/{row['path']}"] for row in read_csv(old / "predictions.csv")]
    assert found["earlier_images"]["after"]["accuracy"]["value"] == pytest.approx(np.mean([r["label"] == r["predicted"] for r in now]))
    resolved = yaml.safe_load((new / "config.yaml").read_text())["resolved"]
    assert (resolved["extended_from"], resolved["root"]) == (str(old), str(home))

    before, after, difference = (found["earlier_images"][name]["accuracy"] for name in ("before", "after", "difference"))
    assert f"\nThe 9 of them that {home / 'run'} was judged on      [95 % interval]\n" in answer.out
    for side, figure in (("before    ", before), ("after     ", after)):
        assert f"\n  {side} accuracy {figure['value']:.1%}  [{figure['low']:.1%}, {figure['high']:.1%}], balanced accuracy " in answer.out
    assert (
        f"\n  difference accuracy {difference['value']:+.1%}  [{difference['low']:+.1%}, {difference['high']:+.1%}], image by image\n"
        in answer.out
    )
    assert metrics["notes"][0] == told(found)[0]
    assert metrics["notes"][0].startswith("This run extends run. On the 9 images that both judged, accuracy was ")
    assert seefit("evaluate", home / "new-run").out in answer.out


@pytest.mark.slow
def test_config_yaml_repeats_an_extended_run_and_it_can_be_extended_again(home: Path, extend: Extend) -> None:
    assert extend(camera_pictures(home / "more" / "camera", 20)).code == 0
    again = seefit("train", "--config", home / "new-run" / "config.yaml", "--out", home / "again")
    assert again.code == 0, again.err
    for name in ("split.csv", "predictions.csv", "bundle/bundle.json"):
        assert (home / "again" / name).read_bytes() == (home / "new-run" / name).read_bytes(), name
    third = camera_pictures(home / "third" / "camera", 5, first=50)
    answer = seefit("train", third, "--extend", home / "new-run", "--out", home / "grown", "--json")
    assert answer.code == 0, answer.err
    assert parts(home / "grown").items() >= parts(home / "new-run").items()
    assert answer.json["metrics"]["extension"]["earlier_images"]["n"] == 12


@pytest.mark.slow
def test_an_extended_run_that_was_interrupted_is_resumed(home: Path, extend: Extend, monkeypatch: pytest.MonkeyPatch) -> None:
    more = camera_pictures(home / "more" / "camera", 20)
    assert extend(more).code == 0
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "save_bundle", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
        assert extend(more, out="broken").code == 143
    answer = seefit("resume", home / "broken")
    assert answer.code == 0, answer.err
    for name in ("split.csv", "predictions.csv", "bundle/bundle.json"):
        assert (home / "broken" / name).read_bytes() == (home / "new-run" / name).read_bytes(), name


@pytest.mark.slow
def test_images_that_the_run_has_already_are_no_news(home: Path, extend: Extend) -> None:
    """The new class lies beside the older ones, and all of the folder is named; one older image is there a second time."""
    camera_pictures(home / "photos" / "camera", 20)
    copied = min((home / "photos" / "functional").iterdir())
    shutil.copy(copied, home / "photos" / "functional" / "again.png")
    answer = extend(home / "photos")
    assert answer.code == 0, answer.err
    assert len(read_csv(home / "new-run" / "split.csv")) == 80
    assert parts(home / "new-run").items() >= parts(home / "run").items()
    assert "  note: 61 of the images are in run already and stay in their part.\n" in answer.err


def test_nothing_new_is_said(home: Path, extend: Extend) -> None:
    answer = extend(home / "photos", "--json")
    assert answer.code == 3
    assert answer.error()["message"] == f"Nothing to add: {home / 'run'}. Expected images that the run does not have yet, got none."
    assert not (home / "new-run").exists()


def test_older_images_whose_files_are_gone_are_known_by_what_is_kept(home: Path, extend: Extend) -> None:
    shutil.rmtree(home / "photos")
    answer = extend(camera_pictures(home / "more" / "camera", 20))
    assert answer.code == 0, answer.err
    assert "  note: The files of 60 images of run are gone: what is kept of them stands for them.\n" in answer.err
    assert parts(home / "new-run").items() >= parts(home / "run").items()
    assert len(read_csv(home / "new-run" / "predictions.csv")) == 12


@pytest.mark.slow
def test_whether_files_are_there_or_only_what_is_kept_of_them_makes_no_difference(home: Path, extend: Extend) -> None:
    more = camera_pictures(home / "more" / "camera", 20)
    assert extend(more, out="whole").code == 0
    for row in read_csv(home / "run" / "split.csv")[::7]:
        (home / "photos" / row["path"]).unlink()
    answer = extend(more)
    assert "  note: The files of 9 images of run are gone: what is kept of them stands for them.\n" in answer.err
    assert (home / "new-run" / "split.csv").read_bytes() == (home / "whole" / "split.csv").read_bytes()
    assert load(home / "new-run").hash == load(home / "whole").hash
    for one, two in zip(*(read_csv(home / run / "predictions.csv") for run in ("whole", "new-run")), strict=True):
        assert float(one["p:camera"]) == pytest.approx(float(two["p:camera"]), abs=2e-6)


@pytest.mark.slow
@pytest.mark.parametrize("cleared", [False, True])
def test_older_images_that_were_moved_are_found_among_the_new(cleared: bool, home: Path, extend: Extend) -> None:
    """Also where the run and its photographs came from another computer, without a cache."""
    (home / "photos").rename(home / "elsewhere")
    camera_pictures(home / "elsewhere" / "camera", 20)
    if cleared:
        shutil.rmtree(home / "cache")
        plant_tiny()
    answer = extend(home / "elsewhere")
    assert answer.code == 0, answer.err
    assert "  note: 60 of the images are in run already and stay in their part.\n" in answer.err
    assert parts(home / "new-run").items() >= parts(home / "run").items()
    assert len(read_csv(home / "new-run" / "split.csv")) == 80
    assert len(read_csv(home / "new-run" / "skipped.csv")) == 0


def test_older_images_of_which_nothing_is_left_stop_it(home: Path, extend: Extend) -> None:
    more = camera_pictures(home / "more" / "camera", 20)
    names = sorted(path.relative_to(home).as_posix() for path in (home / "photos" / "defective").iterdir())
    for name in names:
        (home / name).unlink()
    shutil.rmtree(home / "cache" / "scan")
    answer = extend(more, "--json")
    assert answer.code == 4
    error = answer.error()
    assert error["message"] == (
        f"Images of the run to extend are gone: {home / 'run'}. Expected their files, or their kept features, "
        f"got neither of 30 ({', '.join(names[:5])}, … 30 in all)."
    )
    assert error["hint"] == "Put the files back, or train on all images that there are without --extend."
    assert not (home / "new-run").exists()


def test_features_that_are_kept_no_more_stop_it_too(home: Path, extend: Extend) -> None:
    more = camera_pictures(home / "more" / "camera", 20)
    gone = read_csv(home / "run" / "split.csv")[0]
    (home / "photos" / gone["path"]).unlink()
    shutil.rmtree(home / "cache" / "features")
    answer = extend(more, "--json")
    assert answer.code == 4
    assert answer.error()["message"].endswith(f"got neither of 1 (photos/{gone['path']}).")


@pytest.mark.slow
def test_an_older_file_that_holds_another_image_now_is_not_taken_for_the_older_one(home: Path, extend: Extend) -> None:
    more = camera_pictures(home / "more" / "camera", 21)
    row = next(row for row in read_csv(home / "run" / "split.csv") if row["split"] == "test")
    shutil.move(home / "more" / "camera" / "20.png", home / "photos" / row["path"])
    answer = extend(more)
    assert answer.code == 0, answer.err
    assert parts(home / "new-run").items() >= parts(home / "run").items()
    before = {r["path"]: r for r in read_csv(home / "run" / "predictions.csv")}[row["path"]]
    after = {r["path"]: r for r in read_csv(home / "new-run" / "predictions.csv")}[f"photos/{row['path']}"]
    assert after["label"] == before["label"]
    assert float(after["p:camera"]) < 0.5


@pytest.mark.slow
def test_an_older_file_that_was_replaced_by_a_new_image_is_left_out(home: Path, extend: Extend) -> None:
    camera_pictures(home / "photos" / "camera", 20)
    row = read_csv(home / "run" / "split.csv")[0]
    shutil.move(home / "photos" / "camera" / "0.png", home / "photos" / row["path"])
    answer = extend(home / "photos")
    assert answer.code == 0, answer.err
    assert "  note: 1 images of run are left out: other images are in their place now.\n" in answer.err
    assert row["sha256"] not in parts(home / "new-run")
    assert len(read_csv(home / "new-run" / "split.csv")) == 79


def test_a_run_that_judged_nothing_has_nothing_to_compare(home: Path) -> None:
    _, older = join(new_images(home / "more"), home / "run")
    (home / "run" / "predictions.csv").unlink()
    found = extension(home / "run", older, list(older.known), ["camera", "defective", "functional"], seed=0)
    assert found["earlier_images"] is None
    assert told(found) == ["This run extends run; no image was judged by both."]


def test_a_run_hands_its_settings_on_and_its_model_as_it_turned_out(home: Path) -> None:
    config = home / "run" / "config.yaml"
    config.write_text(config.read_text().replace("class_weights: none", "class_weights: balanced").replace("seed: 0", "seed: 7"))
    found = inherit(make_settings({"data": "more", "labels": "csv", "extend": home / "run", "seed": 3, "val": 0.2}))
    assert (found.backbone, found.image_size, found.fit, found.features) == ("lite0", None, "crop", "stages")
    assert (found.class_weights, found.seed) == ("balanced", 3)
    assert (found.data, found.labels, found.root) == ("more", "csv", None)
    assert (found.val, found.test, found.test_from_val) == (0.2, 0.15, None)
    assert inherit(found) == found
    same = {"backbone": "tf_efficientnet_lite0", "image_size": 32, "fit": "auto", "features": "stages"}
    assert inherit(make_settings({"data": "more", "extend": home / "run", **same})).backbone == "lite0"
    plain = make_settings({"data": "more"})
    assert inherit(plain) is plain
    assert [_choice(parts) for parts in (["pooled"], ["blocks.1/flat"], ["blocks.1", "pooled"])] == ["pooled", "flatten", "stages"]


@pytest.mark.parametrize(
    ("given", "refused"),
    [
        ({"backbone": "resnet18"}, ["--backbone. Expected lite0, as in {run}, got 'resnet18'."]),
        (
            {"image_size": 64, "fit": "pad", "features": "pooled"},
            [
                "--image-size. Expected 32, as in {run}, got 64.",
                "--fit. Expected crop, as in {run}, got 'pad'.",
                "--features. Expected stages, as in {run}, got 'pooled'.",
            ],
        ),
    ],
)
def test_another_model_by_hand_is_a_usage_error(given: dict[str, Any], refused: list[str], home: Path) -> None:
    settings = make_settings({"data": "more", "extend": home / "run", **given})
    with pytest.raises(UsageError) as caught:
        inherit(settings)
    assert caught.value.message.splitlines() == [f"Cannot extend with another model: {line.format(run=home / 'run')}" for line in refused]
    assert caught.value.hint.splitlines()[0].endswith("out, or train on old and new images together without --extend.")


@pytest.mark.parametrize(("name", "got"), [("none", "no such folder"), ("photos", "a folder without a readable config.yaml")])
def test_only_a_finished_run_can_be_extended(name: str, got: str, home: Path) -> None:
    with pytest.raises(RunError, match=f"got {got}"):
        inherit(make_settings({"data": "more", "extend": home / name}))
    (home / "run" / "metrics.json").unlink()
    with pytest.raises(RunError, match=r"got a run without metrics\.json"):
        inherit(make_settings({"data": "more", "extend": home / "run"}))


def new_images(root: Path, **given: Any) -> Dataset:
    return Dataset("more", root, [Sample(root / "x.png", "x.png", "camera", **given)], ("camera",), [Skip("bad.png", "broken", 3)])


@pytest.mark.parametrize(
    ("root", "common", "own", "theirs"),
    [("more", "", "more/", "photos/"), ("photos", "photos", "", ""), ("photos/later", "photos", "later/", ""), ("", "", "", "photos/")],
)
def test_names_are_relative_to_what_both_have_in_common(root: str, common: str, own: str, theirs: str, home: Path) -> None:
    both, older = join(new_images(home / root), home / "run")
    assert both.root == home / common
    assert (both.samples[-1].name, both.samples[-1].path) == (f"{own}x.png", home / root / "x.png")
    assert both.skips == [Skip(f"{own}bad.png", "broken", 3)]
    rows = read_csv(home / "run" / "split.csv")
    assert [sample.name for sample in both.samples[:-1]] == [theirs + row["path"] for row in rows] == list(older.names)
    assert all(sample.path.is_file() for sample in both.samples[:-1])
    assert both.classes == ("camera", "defective", "functional")


def test_soft_targets_reach_over_all_classes(home: Path) -> None:
    new = new_images(home / "more", target=(1.0,))
    assert join(new, home / "run")[0].samples[-1].target == (1.0, 0.0, 0.0)


def test_two_drives_have_nothing_in_common(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(paths: object) -> str:
        raise ValueError("Paths don't have the same drive")

    monkeypatch.setattr(os.path, "commonpath", fail)
    with pytest.raises(UsageError, match=r"^No folder in common: more\."):
        join(new_images(home / "more"), home / "run")


@pytest.mark.slow
def test_a_conflict_of_labels_leaves_both_out_within_the_budget(home: Path, extend: Extend) -> None:
    """A new image that is an older one under another label."""
    more = camera_pictures(home / "more" / "camera", 20)
    copied = min((home / "photos" / "functional").iterdir())
    shutil.copy(copied, home / "more" / "camera" / "same.png")
    assert extend(more, "--json").error()["code"] == DataError.exit_code
    answer = extend(more, "--max-skipped", "0.1")
    assert answer.code == 0, answer.err
    skipped = [row["path"] for row in read_csv(home / "new-run" / "skipped.csv")]
    assert skipped == [f"photos/functional/{copied.name}", "more/camera/same.png"]


@pytest.mark.slow
def test_the_real_backbone_learns_a_third_class(lite0: Path, tmp_path: Path, elpv_cells: dict[str, list[Path]]) -> None:
    photos = copy_photos(elpv_cells, tmp_path / "photos", 60)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEEFIT_CACHE", str(lite0))
        assert seefit("train", photos, "--out", tmp_path / "run").code == 0
        answer = seefit(
            "train", camera_pictures(tmp_path / "more" / "camera", 30), "--extend", tmp_path / "run", "--out", tmp_path / "new", "--json"
        )
    assert answer.code == 0, answer.err
    metrics = answer.json["metrics"]
    assert metrics["per_class"]["camera"]["recall"]["value"] == 1
    gain = metrics["extension"]["earlier_images"]["difference"]["accuracy"]
    assert gain["low"] <= 0 <= gain["high"]
