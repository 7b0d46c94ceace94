"""What a trial is worth: folds inside the training part, the same for all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from seefit.console import QUIET
from seefit.gathering import Gathered, gather
from seefit.settings import make_settings
from seefit.studies import scoring, working
from seefit.studies.scoring import FOLDS, TRAINED_FOLDS, make_task, planned_folds, trial_scores


@pytest.fixture
def gathered(warm: Path, tmp_path: Path) -> Gathered:
    return gather(make_settings({"data": str(warm)}), tmp_path, console=QUIET)


def test_the_search_has_the_training_part_alone(gathered: Gathered) -> None:
    task = make_task(gathered, seed=0)
    train = {gathered.seen.sha256[i] for i in gathered.split.index("train")}
    assert set(task.pool.part.sha256) == train
    held_out = np.concatenate([fold.held_out for fold in task.folds])
    assert len(task.folds) == FOLDS
    assert sorted(held_out) == list(range(len(train)))
    assert all(not set(fold.train) & set(fold.held_out) for fold in task.folds)


def test_a_probe_is_judged_fold_by_fold(gathered: Gathered) -> None:
    task, settings = make_task(gathered, seed=0), make_settings({"data": "x"})
    steps = list(trial_scores(settings, task, {}, {}, 1))
    assert [len(scores) for scores in steps] == [1, 2, 3, 4, 5]
    assert steps[-1][:2] == steps[1]
    assert planned_folds(settings, task) == 5
    assert steps[-1] == list(trial_scores(settings, task, {}, {}, 1))[-1]
    assert list(trial_scores(settings, task, {}, {}, 0.3))[-1] != steps[-1]


def test_training_layers_is_judged_on_fewer_folds(gathered: Gathered) -> None:
    options = {"freeze": "all", "augment": "none", "epochs": 1, "batch": 16, "precision": "fp32"}
    settings = make_settings({"data": "x", "method": "finetune", **options})
    task = make_task(gathered, seed=0)
    scores = list(trial_scores(settings, task, {}, {}, 1))[-1]
    assert len(scores) == TRAINED_FOLDS == planned_folds(settings, task)
    assert all(0 <= score <= 1 for score in scores)


def test_of_many_images_a_search_looks_at_some(gathered: Gathered, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "MOST_IMAGES", 20)
    task = make_task(gathered, seed=0)
    assert len(task.pool.labels) == len(task.pool.sizes) == 20
    assert abs(int(task.pool.labels.sum()) - 10) <= 2


def test_what_computed_features_before_a_kill_computes_them_again(gathered: Gathered, monkeypatch: pytest.MonkeyPatch) -> None:
    task, settings, engines = make_task(gathered, seed=0), make_settings({"data": "x"}), dict[str, str]()
    checked: list[object] = []
    monkeypatch.setattr(working, "engine_difference", lambda extractor, *_: checked.append(extractor))
    list(trial_scores(settings, task, {}, engines, 1))
    (name,) = engines
    assert len(checked) == 1
    opened: scoring.Opened = {}
    extractor = working.open_arm(settings, task.pool, opened, QUIET)
    engines[name] = extractor.reference.name
    list(trial_scores(settings, task, opened, engines, 1))
    assert extractor.engine.name == extractor.reference.name
    assert len(checked) == 1
