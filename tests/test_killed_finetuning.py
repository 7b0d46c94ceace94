"""Kill -9 at any moment of a run that fine-tunes: `seefit resume` brings it to the end of an unbroken one, to the bit.

20 random moments, each killed again while it resumes, and three in each phase, on 300 photographs.
"""

from __future__ import annotations

import json
import os
import pkgutil
import random
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from conftest import copy_photos, read_csv
from killed import Killer
from tiny import plant_little

OPTIONS = ("--preset", "balanced", "--epochs", 3, "--views", 2, "--batch", 32, "--precision", "fp32", "--image-size", 96, "--every", 2)
SAME = (
    "split.csv",
    "skipped.csv",
    "predictions.csv",
    *(f"bundle/{name}" for name in ("bundle.json", "model.onnx", "backbone.safetensors")),
)
TIMING = {"seconds", "promise", "images_per_second", "peak_memory_mb"}  # what may differ, in metrics.json and history.csv
LOOP, KEPT, TUNED = "seefit.training.finetune:take_step", "seefit.training.activations:Activations._packed", "seefit.models.tuned"
MOMENTS = {
    **{phase: [f"within {phase} {share}" for share in (0.1, 0.4, 0.7)] for phase in ("scan", "features", "fit", "evaluate", "report")},
    "activations": [f"inside {KEPT} {count}" for count in (5, 150, 400)],
    "epoch": [f"inside {LOOP} {count}" for count in (2, 10, 19)],
    "checkpoint": ["before last.json", "inside seefit.training.checkpoint:write_bytes 3", "after 3 last.json"],
    "conversion": [f"inside {TUNED}:with_state 1", "before backbone.onnx", "after backbone.onnx"],
}


@dataclass(frozen=True)
class Whole:
    """An unbroken run, what it was made with, and how long it took."""

    run: Path
    arguments: tuple[object, ...]
    cache: Path
    seconds: float

    @property
    def metrics(self) -> dict[str, Any]:
        return dict(json.loads((self.run / "metrics.json").read_text()))


@pytest.fixture(scope="module")
def killer() -> Iterator[Killer]:
    process = Killer("torch", "timm", "onnxscript", "matplotlib.figure", "seefit.finetuning")
    yield process
    process.close()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, elpv_cells: dict[str, list[Path]], killer: Killer) -> Iterator[Whole]:
    home = tmp_path_factory.mktemp("whole")
    photos = copy_photos(elpv_cells, home / "photos", 150)
    arguments = ("train", photos, "--backbone", plant_little(home), *OPTIONS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEEFIT_WEIGHTS", str(home))
        patch.setenv("SEEFIT_CACHE", str(home / "first"))
        assert killer.kill("never", home, *arguments, "--out", home / "first-run") == 0, (home / "log").read_text()
        shutil.copytree(home / "first" / "backbones", home / "cache" / "backbones")
        patch.setenv("SEEFIT_CACHE", str(home / "cache"))
        began = time.monotonic()
        assert killer.kill("never", home, *arguments, "--out", home / "run") == 0
        found = Whole(home / "run", arguments, home / "cache", time.monotonic() - began)
        check_same(home / "first-run", found)
        yield found


@pytest.fixture
def _converted(whole: Whole) -> None:
    """Work with an empty cache, but for the backbone."""
    shutil.copytree(whole.cache / "backbones", Path(os.environ["SEEFIT_CACHE"]) / "backbones")


def check_same(run: Path, whole: Whole) -> None:
    for name in SAME:
        assert (run / name).read_bytes() == (whole.run / name).read_bytes(), name
    metrics = json.loads((run / "metrics.json").read_text())
    assert {name: metrics[name] for name in metrics.keys() - TIMING} == {name: whole.metrics[name] for name in metrics.keys() - TIMING}
    rows, expected = ([{k: v for k, v in row.items() if k not in TIMING} for row in read_csv(f / "history.csv")] for f in (run, whole.run))
    assert rows == expected and len(rows) == 3
    assert [path.name for path in run.rglob(".*")] == [".choice.json"]
    assert (run / "report.html").is_file()
    assert not any((whole.cache / "tuned").iterdir())


def test_the_moments_are_three_in_each_phase_and_exist() -> None:
    for moments in MOMENTS.values():
        assert len(moments) == 3
        for name in (moment.split(" ")[1] for moment in moments if moment.startswith("inside ")):
            assert callable(pkgutil.resolve_name(name))


@pytest.mark.slow
def test_the_unbroken_run_learns(whole: Whole) -> None:
    assert whole.metrics["test"]["accuracy"]["value"] > 0.5
    assert {"checkpoints", "bundle"} <= {path.name for path in whole.run.iterdir()}


@pytest.mark.slow
@pytest.mark.usefixtures("_converted")
@pytest.mark.parametrize("moment", [moment for moments in MOMENTS.values() for moment in moments])
def test_killed_in_every_phase(moment: str, whole: Whole, killer: Killer, tmp_path: Path) -> None:
    what, *rest = moment.split(" ")
    if what == "within":
        moment = f"within {rest[0]} {float(rest[1]) * whole.metrics['seconds'][rest[0]]:.4f}"
    run = tmp_path / "run"
    code = killer.kill(moment, tmp_path, *whole.arguments, "--out", run)
    assert code == -signal.SIGKILL or (what == "within" and code == 0)  # a phase may be over before
    assert killer.kill("never", tmp_path, "resume", run) == 0, (tmp_path / "log").read_text()
    check_same(run, whole)
    assert not any((Path(os.environ["SEEFIT_CACHE"]) / "tuned").glob("*"))


@pytest.mark.slow
@pytest.mark.usefixtures("_converted")
@pytest.mark.parametrize("seed", range(20))
def test_killed_at_a_random_moment_and_again_while_it_resumes(seed: int, whole: Whole, killer: Killer, tmp_path: Path) -> None:
    chance, run = random.Random(seed), tmp_path / "run"
    codes = []
    for command in ([*whole.arguments, "--out", run], ["resume", run]):
        if command[0] == "train" or (run / "config.yaml").is_file():
            codes.append(killer.kill(f"at {chance.uniform(0, 1) * whole.seconds:.3f}", tmp_path, *command))
    assert set(codes) <= {-signal.SIGKILL, 0}
    if not (run / "config.yaml").is_file():  # nothing was begun
        assert killer.kill("never", tmp_path, *whole.arguments, "--out", run) == 0
    assert killer.kill("never", tmp_path, "resume", run) == 0, (tmp_path / "log").read_text()
    check_same(run, whole)
