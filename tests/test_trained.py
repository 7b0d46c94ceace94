"""Arms whose layers are trained: on every fold anew, gone on with fold by fold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import PhotoFolder, read_csv
from seefit.studies import trained
from seefit.studies.folds import make_study_folds
from seefit.studies.pool import Pool
from seefit.studies.study import run_study
from seefit.studies.trained import train_arm
from seefit.studies.working import Task, open_arm
from test_cache import Listener
from test_fitting import CLASSES, make_part
from test_working import arm_of
from tiny import plant_little, plant_tiny

COUNT = 60


def test_the_head_alone_trains_on_the_tiny_network_and_learns_from_no_held_out_label(tmp_path: Path) -> None:
    plant_tiny()
    arm = arm_of(method="finetune", freeze="all", augment="none", epochs=2, batch=16, precision="fp32")
    part = make_part(tmp_path / "p", COUNT, seed=0)
    labels = part.labels(CLASSES)
    pool = Pool(part, CLASSES, labels, None, np.full((COUNT, 2), 16, np.int64))
    task = Task(pool, make_study_folds(labels, part.units, folds=3, repeats=1, seed=0), 0)
    extractor = open_arm(arm.settings, pool, {}, Listener())
    heard = Listener()
    found = list(train_arm(arm, task, task.folds, extractor, labels, heard))
    for fold, one in zip(task.folds, found, strict=True):
        assert one.judged.probabilities.shape == (len(fold.held_out), 2)
        assert one.judged.row.learnt == len(fold.train)
        assert one.judged.row.seconds > 0
        assert one.features.shape == (len(fold.held_out), extractor.width)
        right = (one.judged.probabilities.argmax(1) == labels[fold.held_out]).mean()
        assert one.judged.row.accuracy == pytest.approx(right)
    assert np.mean([one.judged.row.accuracy for one in found]) > 0.6
    assert "  repeat 1, fold 1: balanced accuracy " in "\n".join(heard.said)
    first = task.folds[0]
    changed = labels.copy()
    changed[first.held_out] = 1 - changed[first.held_out]
    again = next(iter(train_arm(arm, task, [first], extractor, changed, Listener())))
    np.testing.assert_allclose(again.judged.probabilities, found[0].judged.probabilities, atol=1e-6)


@pytest.mark.slow
def test_a_study_of_training_goes_on_with_the_next_fold(
    photo_folder: PhotoFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_page: None
) -> None:
    monkeypatch.setenv("SEEFIT_WEIGHTS", str(tmp_path))
    given: dict[str, Any] = {
        "data": str(photo_folder(24)),
        "backbone": plant_little(tmp_path),
        "image_size": 96,
        "epochs": 2,
        "device": "cpu",
    }
    given |= {"views": 2, "batch": 8, "precision": "fp32"}
    train, done = trained._train, list[int]()

    def broken(*arguments: Any) -> Any:
        if len(done) == 4:
            raise KeyboardInterrupt
        done.append(1)
        return train(*arguments)

    monkeypatch.setattr(trained, "_train", broken)
    with pytest.raises(KeyboardInterrupt):
        run_study(given, "optimiser=adamw,sgd", repeats=1, out=tmp_path / "study")
    kept = read_csv(tmp_path / "study" / "folds.csv")
    assert [(row["arm"], row["fold"]) for row in kept] == [("adamw", "0"), ("adamw", "1"), ("adamw", "2"), ("sgd", "0")]
    done.clear()
    study = run_study(given, "optimiser=adamw,sgd", repeats=1, out=tmp_path / "study")
    assert len(done) == 2
    assert read_csv(tmp_path / "study" / "folds.csv")[:4] == kept
    assert study.found["method"] == ["finetune", "finetune"]
    assert study.found["arms"][0]["map"]["space"] == "trained"
    assert study.found["winner"]["part"] == "test"
