"""Kill -9 at any moment of a run that fine-tunes: `seefit resume` brings it to the end of an unbroken one, to the bit.

20 random moments, each killed again while it resumes, and three in each phase, on 300 photographs.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import copy_photos
from killed import Killer
from tiny import plant_little
from unbroken import KEPT, LOOP, TUNED, Whole, check_moments, kill_and_resume, kill_twice_and_resume, train_whole

OPTIONS = ("--preset", "balanced", "--epochs", 3, "--views", 2, "--batch", 32, "--precision", "fp32", "--image-size", 96, "--every", 2)
TIMED = ("scan", "features", "fit", "trust", "evaluate", "insights", "report")  # phases that the run's clock knows
MOMENTS = {
    **{phase: [f"within {phase} {share}" for share in (0.1, 0.4, 0.7)] for phase in TIMED},
    "activations": [f"inside {KEPT} {count}" for count in (5, 150, 400)],
    "epoch": [f"inside {LOOP} {count}" for count in (2, 10, 19)],
    "checkpoint": ["before last.json", "inside seefit.training.checkpoint:write_bytes 3", "after 3 last.json"],
    "conversion": [f"inside {TUNED}:with_state 1", "before backbone.onnx", "after backbone.onnx"],
    "saving": ["before model.onnx", "before bundle.json", "after bundle.json"],
    "insight files": ["before diagnosis.json", "before forecast.json", "after trust.json"],
}


@pytest.fixture(scope="module")
def killer() -> Iterator[Killer]:
    process = Killer("torch", "timm", "onnxscript", "matplotlib.figure", "seefit.finetuning")
    yield process
    process.close()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, elpv_cells: dict[str, list[Path]], killer: Killer) -> Iterator[Whole]:
    home = tmp_path_factory.mktemp("whole")
    photos = copy_photos(elpv_cells, home / "photos", 150)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEEFIT_WEIGHTS", str(home))
        yield train_whole(home, killer, patch, "train", photos, "--backbone", plant_little(home), *OPTIONS)


@pytest.fixture
def _converted(whole: Whole) -> None:
    """Work with an empty cache, but for the backbone."""
    shutil.copytree(whole.cache / "backbones", Path(os.environ["SEEFIT_CACHE"]) / "backbones")


def test_the_moments_are_three_in_each_phase_and_exist() -> None:
    check_moments(MOMENTS)


@pytest.mark.slow
def test_the_unbroken_run_learns(whole: Whole) -> None:
    assert whole.metrics["test"]["accuracy"]["value"] > 0.5
    assert {"checkpoints", "bundle"} <= {path.name for path in whole.run.iterdir()}
    assert set(TIMED) <= whole.metrics["seconds"].keys()


@pytest.mark.slow
@pytest.mark.usefixtures("_converted")
@pytest.mark.parametrize("moment", [moment for moments in MOMENTS.values() for moment in moments])
def test_killed_in_every_phase(moment: str, whole: Whole, killer: Killer, tmp_path: Path) -> None:
    kill_and_resume(moment, whole, killer, tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("_converted")
@pytest.mark.parametrize("seed", range(20))
def test_killed_at_a_random_moment_and_again_while_it_resumes(seed: int, whole: Whole, killer: Killer, tmp_path: Path) -> None:
    kill_twice_and_resume(seed, whole, killer, tmp_path)
