from __future__ import annotations

import json
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from command import Answer, seefit, seefit_process, start
from conftest import copy_photos, read_csv
from seefit.training import engine

REPEATED = ("split.csv", "predictions.csv", "bundle/bundle.json")

WATCHED = Path(__file__).parent / "watched.py"


def at_home(home: Path, *arguments: object) -> Answer:
    """Run a command that may open no socket, as a user whose home folder this is, and look at what it wrote.

    The cache is in its usual place, ``home/.cache/seefit``, the working folder is ``home/work``; nothing else may appear below home.
    """
    for name in ("work", "tmp"):
        (home / name).mkdir(exist_ok=True)
    usual = dict.fromkeys(["SEEFIT_CACHE", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "MPLCONFIGDIR", "HF_HOME"])
    code = f"import runpy; runpy.run_path({str(WATCHED)!r}, run_name='__main__')"
    answer = seefit_process(*arguments, code=code, cwd=home / "work", **usual, HOME=home, TMPDIR=home / "tmp")
    assert answer.code == 0, answer.err
    assert {path.name for path in home.iterdir()} == {"work", "tmp", ".cache"}
    assert {path.name for path in (home / ".cache").iterdir()} == {"seefit"}
    assert [path for path in (home / "tmp").rglob("*") if not path.is_dir()] == []  # importing torch makes an empty folder
    return answer


def test_real_photographs_through_the_real_backbone_from_end_to_end(lite0: Path, tmp_path: Path, elpv_cells: dict[str, list[Path]]) -> None:
    """Train, predict and evaluate as a user does; no socket opens and nothing is written but to the run and the cache."""
    home = tmp_path / "home"
    shutil.copytree(lite0, home / ".cache" / "seefit")
    photos = copy_photos(elpv_cells, tmp_path / "photos", 40)
    fresh = copy_photos(elpv_cells, tmp_path / "fresh", 10, start=40)
    answer = at_home(home, "train", photos, "--json")
    assert set(answer.json) == {"run", "metrics"}
    assert answer.json["run"] == "runs/photos-lite0-1"
    assert [path.name for path in (home / "work").iterdir()] == ["runs"]
    assert "224 px" in answer.err
    folds = answer.json["metrics"]["cross_validation"]
    assert folds["n"] == 56
    assert folds["balanced_accuracy"]["value"] > 0.7  # 80 photographs; chance is 0.5
    judged = at_home(home, "evaluate", answer.json["run"], fresh, "--json").json
    assert judged["test"]["n"] == 20
    assert judged["test"]["accuracy"]["value"] >= 0.7
    predicted = seefit("predict", home / "work" / answer.json["run"], fresh, "--json").json
    right = np.mean([entry["predictions"][0]["label"] == Path(entry["path"]).parent.name for entry in predicted])
    assert right == pytest.approx(judged["test"]["accuracy"]["value"])


@pytest.mark.usefixtures("no_page")
def test_the_console_says_what_was_chosen_and_what_to_do_next(warm: Path, trained: Path, tmp_path: Path) -> None:
    answer = seefit("train", warm, "--out", tmp_path / "run")
    assert answer.code == 0
    for words in (
        f"60 images in 2 classes from {warm}\n",
        "class           train      val     test\n",
        "in all             42        9        9\n",
        "Pictures: cropped to a square, since the images are square or nearly so (--fit)\n",
        "Model: tf_efficientnet_lite0 at 32 px, frozen: 24 features per image, computed once by ",
        "Head: logistic regression, strength ",
        "Cross-validation on the training part (5 folds, ",
    ):
        assert words in answer.err
    figure = json.loads((tmp_path / "run" / "metrics.json").read_text())["test"]["balanced_accuracy"]
    assert f"  balanced accuracy            {figure['value']:7.1%}  [{figure['low']:.1%}, {figure['high']:.1%}]\n" in answer.out
    assert answer.out.endswith(f"report   {tmp_path / 'run' / 'report.html'}\npredict  seefit predict {tmp_path / 'run'} IMAGES\n")


@pytest.mark.usefixtures("no_page")
def test_config_yaml_repeats_the_run_and_options_by_hand_win(warm: Path, trained: Path, tmp_path: Path) -> None:
    again = seefit("train", "--config", trained / "config.yaml", "--out", tmp_path / "again", "--json")
    assert again.code == 0, again.err
    for name in REPEATED:
        assert (tmp_path / "again" / name).read_bytes() == (trained / name).read_bytes(), name
    other = seefit("train", "--config", trained / "config.yaml", "--out", tmp_path / "other", "--seed", 7, "--val", 0, "--json")
    assert other.json["metrics"]["val"] is None
    kept: list[dict[str, Any]] = [yaml.safe_load((run / "config.yaml").read_text()) for run in (trained, tmp_path / "other")]
    for settings in kept:
        settings.pop("resolved")
    assert kept[1] == {**kept[0], "seed": 7, "val": 0.0}


@pytest.mark.usefixtures("no_page")
def test_config_yaml_repeats_the_run_from_any_folder(warm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    shutil.copytree(warm, tmp_path / "here" / "photos")
    monkeypatch.chdir(tmp_path / "here")
    assert seefit("train", "photos", "--out", "run", "--json").code == 0
    assert yaml.safe_load(Path("run/config.yaml").read_text())["data"] == "photos"
    monkeypatch.chdir(tmp_path / "there")
    again = seefit("train", "--config", "../here/run/config.yaml", "--out", "run", "--json")
    assert again.code == 0, again.err
    for name in REPEATED:
        assert (tmp_path / "there" / "run" / name).read_bytes() == (tmp_path / "here" / "run" / name).read_bytes(), name
    shutil.rmtree(tmp_path / "here" / "photos")
    gone = seefit("train", "--config", "../here/run/config.yaml", "--out", "other", "--json")
    assert gone.error()["message"].startswith(f"Cannot read the data: {tmp_path / 'here' / 'photos'}. ")


@pytest.mark.usefixtures("no_page")
def test_data_given_by_hand_wins_over_the_file(warm: Path, trained: Path, tmp_path: Path, elpv_cells: dict[str, list[Path]]) -> None:
    photos = copy_photos(elpv_cells, tmp_path / "photos", 8)
    answer = seefit("train", photos, "--config", trained / "config.yaml", "--out", tmp_path / "run", "--json")
    assert sum(sum(part.values()) for part in answer.json["metrics"]["counts"].values()) == 16


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["{tmp}/none"], 2, "Cannot read the data: {tmp}/none. "),
        (["{photos}", "--out", "{run}"], 4, "The run folder is occupied: {run}. Expected a new or empty folder, got "),
        (["{photos}", "--val", "0.6", "--test", "0.4"], 2, ""),
        (["--config", "{tmp}/none.yaml"], 2, "Cannot read the settings: {tmp}/none.yaml. Expected a YAML file of settings, got "),
        (["{tmp}"], 3, ""),
        (["{tmp}/none", "--device", "cuda"], 6, "No GPU: --device cuda. "),  # before any look at the data
    ],
)  # fmt: skip
def test_what_cannot_be_done_says_why_and_leaves_no_run(
    arguments: list[str], code: int, message: str, warm: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(engine, "_has_gpu", lambda: False)
    answer = seefit("train", *(argument.format(tmp=tmp_path, photos=warm, run=trained) for argument in arguments), "--json")
    assert answer.code == code
    assert answer.error()["message"].startswith(message.format(tmp=tmp_path, run=trained))
    assert list(tmp_path.glob("runs/*/metrics.json")) == []


@pytest.mark.usefixtures("no_page")
def test_a_run_that_was_killed_is_listed_deleted_and_done_again(warm: Path, trained: Path, tmp_path: Path) -> None:
    """Killed (-9) just before the bundle would get its manifest: no bundle is there, and the next run is as if nothing had been."""
    deadly = (
        "import os, pathlib, signal\nrename = pathlib.Path.replace\n"
        "def replace(self, target):\n"
        "    if target.name == 'bundle.json': os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return rename(self, target)\n"
        "pathlib.Path.replace = replace\nfrom seefit.cli.main import run; run()"
    )
    run = tmp_path / "run"
    assert seefit_process("train", warm, "--out", run, code=deadly).code == -signal.SIGKILL
    assert (run / "bundle" / "model.onnx").read_bytes() == (trained / "bundle" / "model.onnx").read_bytes()
    assert not (run / "bundle" / "bundle.json").exists()
    assert seefit("predict", run, warm, "--json").error()["message"].endswith("got an unfinished run.")
    assert [entry["state"] for entry in seefit("runs", tmp_path, "--json").json["runs"]] == ["unfinished"]
    assert seefit("train", warm, "--out", run, "--json").error()["hint"].endswith(f"`seefit runs --delete {run}`.")
    assert seefit("runs", "--delete", run).code == 0
    assert seefit("train", warm, "--out", run, "--json").code == 0
    for name in REPEATED:
        assert (run / name).read_bytes() == (trained / name).read_bytes(), name


@pytest.mark.slow
def test_two_processes_on_one_run(warm: Path, tmp_path: Path, elpv_cells: dict[str, list[Path]]) -> None:
    """The second is refused with the pid of the first, which goes on undisturbed."""
    run = tmp_path / "run"
    first = start("train", copy_photos(elpv_cells, tmp_path / "photos", 60), "--out", run, "--json")
    deadline = time.monotonic() + 30
    while not (run / ".lock").is_file() and time.monotonic() < deadline:
        time.sleep(0.01)
    began = time.monotonic()
    second = seefit("train", warm, "--out", run, "--json")
    assert time.monotonic() - began < 1
    assert second.code == 4
    assert second.error()["message"] == f"The run is in use: {run}. Expected no other process in it, got process {first.pid}."
    out, err = first.communicate(timeout=60)
    assert first.returncode == 0, err
    assert json.loads(out)["run"] == str(run)


@pytest.mark.slow
def test_ten_thousand_classes_of_three_images(trained: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for i in range(10_000):
        folder = tmp_path / "photos" / f"class {i}"
        folder.mkdir(parents=True)
        for n in range(3):
            Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8)).save(folder / f"{n}.png")
    answer = seefit_process("train", tmp_path / "photos", "--out", tmp_path / "run", "--json", SEEFIT_CACHE=trained.parent / "cache")
    assert answer.code == 0, answer.err
    metrics = answer.json["metrics"]
    assert "Head: nearest class mean, since the classes are too small or too many for cross-validation\n" in answer.err
    assert len(metrics["per_class"]) == 10_000
    assert metrics["peak_memory_mb"] < 4096  # measured: 2,944
    assert (tmp_path / "run" / "report.html").stat().st_size < 5_000_000
    assert {row["split"] for row in read_csv(tmp_path / "run" / "split.csv") if row["label"] == "class 7"} == {"train", "val", "test"}
