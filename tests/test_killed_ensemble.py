"""Kill -9 at any moment of a run with the preset ``best``: `seefit resume` brings it to the end of an unbroken one, to the bit.

20 random moments, each killed again while it resumes, and three in each phase of both networks, on 300 photographs.
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

OPTIONS = ("--preset", "best", "--minutes", 60, "--epochs", 2, "--views", 2, "--batch", 32, "--precision", "fp32", "--image-size", 96)
TIMED = ("scan", "features", "fit", "finetune", "trust", "evaluate", "insights", "report")  # phases that the run's clock knows
MOMENTS = {
    **{phase: [f"within {phase} {share}" for share in (0.1, 0.4, 0.7)] for phase in TIMED},
    "plan": ["inside seefit.ensemble:measure 1", "before timings.json", "after timings.json"],
    "activations of the first": [f"inside {KEPT} {count}" for count in (5, 150, 400)],
    "epochs of the first": [f"inside {LOOP} {count}" for count in (2, 7, 13)],
    "first checkpoints": ["before last.json", "inside seefit.training.checkpoint:write_bytes 3", "after 2 last.json"],
    "conversion of the first": [f"inside {TUNED}:with_state 1", "before backbone.onnx", "after backbone.onnx"],
    "between them": ["before 2 timings.json", "after 2 timings.json", "inside seefit.ensemble:begin 1"],
    "activations of the second": [f"inside {KEPT} {count}" for count in (470, 700, 900)],
    "epochs of the second": [f"inside {LOOP} {count}" for count in (15, 21, 28)],
    "second checkpoints": ["before 3 last.json", "after 3 last.json", "after 4 last.json"],
    "conversion of the second": [f"inside {TUNED}:with_state 2", "before 2 backbone.onnx", "before 3 timings.json"],
    "merge": ["inside seefit.ensemble:merge 1", "before members.onnx", "after members.onnx"],
    "saving": ["before model.onnx", "before bundle.json", "after bundle.json"],
}


@pytest.fixture(scope="module")
def killer() -> Iterator[Killer]:
    process = Killer("torch", "timm", "onnxscript", "matplotlib.figure", "seefit.ensemble")
    yield process
    process.close()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, elpv_cells: dict[str, list[Path]], killer: Killer) -> Iterator[Whole]:
    home = tmp_path_factory.mktemp("whole")
    photos = copy_photos(elpv_cells, home / "photos", 150)
    little = plant_little(home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEEFIT_WEIGHTS", str(home))
        yield train_whole(home, killer, patch, "train", photos, "--backbone", f"{little},{little}", *OPTIONS)


@pytest.fixture
def _converted(whole: Whole) -> None:
    """Work with an empty cache, but for the backbone."""
    shutil.copytree(whole.cache / "backbones", Path(os.environ["SEEFIT_CACHE"]) / "backbones")


def test_the_moments_are_three_in_each_phase_and_exist() -> None:
    check_moments(MOMENTS)


@pytest.mark.slow
def test_the_unbroken_run_has_two_networks(whole: Whole) -> None:
    assert whole.metrics["test"]["accuracy"]["value"] > 0.5
    assert [path.name for path in sorted((whole.run / "checkpoints").iterdir())] == ["member-0", "member-1", "timings.json"]
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
