"""The trials of a search in SQLite: proposed, gone on with, given up, counted."""

from __future__ import annotations

import builtins
import os
from pathlib import Path
from typing import Any

import pytest

from seefit.errors import ResourceError, UsageError
from seefit.studies.space import Space, make_space
from seefit.studies.trials import (
    FILE,
    FOLDS,
    UNPRUNED,
    best,
    check_optuna,
    done,
    finish,
    hopeless,
    importance,
    next_trial,
    open_trials,
    whole,
)

SPACE = make_space({"features": ["default", "pooled"], "class_weights": ["none", "balanced", "prior"]}, ())
RANGE = make_space({"method": "finetune", "lr": {"low": 0.001, "high": 0.1, "log": True}, "dropout": [0, 0.5]}, ())


def search(folder: Path, space: Space, most: int) -> list[dict[str, Any]]:
    """Do trials until there are so many or none is left; return their settings."""
    with open_trials(folder) as study:
        while len(done(study)) < most:
            trial = next_trial(study, space, seed=0)
            if trial is None:
                break
            finish(study, trial, score=0.5 + len(str(trial.params)) / 1000, seconds=1)
        return [dict(trial.params) for trial in done(study)]


def test_trials_differ_and_an_exhausted_space_ends(tmp_path: Path) -> None:
    tried = search(tmp_path, SPACE, 50)
    assert len(tried) == SPACE.count == len({tuple(sorted(params.items())) for params in tried})
    assert tried[0] == SPACE.usual()


def test_trials_that_differ_in_what_nothing_looks_at_are_one(tmp_path: Path) -> None:
    space = make_space({"method": "finetune", "head": ["linear", "hidden"], "hidden": [64, 128]}, ())
    tried = search(tmp_path, space, 50)
    assert sorted((params["head"], params["hidden"]) for params in tried if params["head"] == "hidden") == [("hidden", 64), ("hidden", 128)]
    assert len(tried) == 3, "a linear head has no hidden units"


def test_the_same_seed_proposes_the_same_also_in_two_parts(tmp_path: Path) -> None:
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    search(tmp_path / "parts", RANGE, 5)
    assert search(tmp_path / "parts", RANGE, 14) == search(tmp_path / "whole", RANGE, 14)
    tried = search(tmp_path / "whole", RANGE, 14)
    assert len({tuple(sorted(params.items())) for params in tried}) == 14


def test_a_trial_under_way_goes_on_under_its_number(tmp_path: Path) -> None:
    with open_trials(tmp_path) as study:
        first = next_trial(study, SPACE, seed=0)
        assert first is not None
        assert not hopeless(first, 0, 0.6)
        settings = dict(first.params)
    with open_trials(tmp_path) as study:
        again = next_trial(study, SPACE, seed=0)
        assert again is not None
        assert (again.number, dict(again.params)) == (first.number, settings)
        assert not hopeless(again, 0, 0.6)  # told a second time, without a word
        finish(study, again, score=0.7, seconds=1, folds=[0.6, 0.8])
        assert [trial.user_attrs[FOLDS] for trial in done(study)] == [[0.6, 0.8]]


def test_what_falls_behind_is_given_up_and_never_wins(tmp_path: Path) -> None:
    with open_trials(tmp_path) as study:
        for i in range(UNPRUNED):
            trial = next_trial(study, RANGE, seed=0)
            assert trial is not None
            assert not hopeless(trial, 0, 0.7 + i / 100)
            finish(study, trial, score=0.7 + i / 100, seconds=1)
        bad, good = next_trial(study, RANGE, seed=0), None
        assert bad is not None
        assert hopeless(bad, 0, 0.5)
        finish(study, bad, score=None, seconds=1, folds=[0.99])
        good = next_trial(study, RANGE, seed=0)
        assert good is not None
        assert not hopeless(good, 0, 0.9)
        finish(study, good, score=None, seconds=1, why="it broke")
        found = best(study)
        assert found is not None
        assert found.value == pytest.approx(0.7 + (UNPRUNED - 1) / 100)
        assert (len(done(study)), len(whole(study))) == (UNPRUNED + 2, UNPRUNED)


def test_importance_finds_what_matters(tmp_path: Path) -> None:
    with open_trials(tmp_path) as study:
        assert importance(study, seed=0) is None
        for _ in range(6):
            trial = next_trial(study, SPACE, seed=0)
            assert trial is not None
            finish(study, trial, score=0.9 if trial.params["features"] == "pooled" else 0.6, seconds=1)
        found = importance(study, seed=0)
    assert found is not None
    assert found["features"] > 0.9
    assert sum(found.values()) == pytest.approx(1)


def test_without_optuna_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *others: Any, **options: Any) -> Any:
        if name == "optuna":
            raise ImportError(name)
        return real(name, *others, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError, match=r"pip install 'seefit\[tune\]'"):
        check_optuna()


def test_a_file_that_is_none_of_ours_is_said_to_be_so(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(os.urandom(4096))
    with pytest.raises(ResourceError, match="Cannot keep the trials"), open_trials(tmp_path):
        pass
