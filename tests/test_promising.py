"""What a study says it will take."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from seefit.fitting import open_extractor
from seefit.studies import promising
from seefit.studies.arms import Arm
from seefit.studies.promising import seconds_of_arm, seconds_of_winner
from seefit.studies.working import Task
from test_fitting import make_part
from test_working import COUNT, arm_of, task_of
from tiny import plant_tiny


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Task:
    plant_tiny()
    monkeypatch.setattr(promising, "seconds_per_image", lambda *_: 1.0)
    monkeypatch.setattr(promising, "head_seconds", lambda *_: 0.18)
    monkeypatch.setattr(promising, "slowness", lambda: 1.0)
    return task_of(make_part(tmp_path / "p", COUNT, seed=0))


def test_features_that_are_kept_take_no_time_and_views_do(task: Task) -> None:
    extractor = open_extractor(arm_of().settings, task.pool.sizes)
    fitting = 0.001 * (promising.STEPS_OF_CHOICE + promising.STEPS_OF_FOLD * len(task.folds)) + promising.ARM_S
    assert seconds_of_arm(arm_of(), task, extractor) == pytest.approx(COUNT + fitting)
    extractor.extract(task.pool.part.samples, task.pool.part.sha256)
    assert seconds_of_arm(arm_of(), task, extractor) == pytest.approx(fitting)
    viewed = arm_of(augment="any-way-up", probe_views=8)
    assert seconds_of_arm(viewed, task, extractor) == pytest.approx(7 * COUNT + fitting)


def test_the_run_of_the_winner_is_promised_as_any_run(task: Task, tmp_path: Path) -> None:
    part = task.pool.part
    arm: Arm = arm_of()
    extractor = open_extractor(arm.settings, task.pool.sizes)
    few = seconds_of_winner(arm, part.subset(np.arange(40)), part.subset(np.arange(40, 50)), 10, 2, extractor)
    assert few > 0
