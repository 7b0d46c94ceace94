"""One arm at work: what it learns from, the check of its engine, and what it costs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from seefit.fitting import open_extractor
from seefit.parts import Part
from seefit.settings import make_settings
from seefit.studies import working
from seefit.studies.arms import Arm
from seefit.studies.folds import make_study_folds
from seefit.studies.pool import Pool
from seefit.studies.working import Task, cost_of, curve_of, drawn_map, learn_from, map_of, open_arm, probe_arm, time_networks
from seefit.training.features import FeatureExtractor
from test_cache import Listener
from test_fitting import CLASSES, Warped, make_part
from tiny import plant_tiny

COUNT = 60


def task_of(part: Part) -> Task:
    labels = part.labels(CLASSES)
    pool = Pool(part, CLASSES, labels, None, np.full((COUNT, 2), 16, np.int64))
    return Task(pool, make_study_folds(labels, part.units, folds=3, repeats=2, seed=0), 0)


@pytest.fixture
def task(tmp_path: Path) -> Task:
    plant_tiny()
    return task_of(make_part(tmp_path / "p", COUNT, seed=0))


def arm_of(**given: object) -> Arm:
    return Arm("arm", make_settings({"data": "x", "device": "cpu", **given}))


@pytest.fixture
def extractor(task: Task) -> FeatureExtractor:
    return open_extractor(arm_of().settings, task.pool.sizes)


def test_arms_of_one_network_share_it(task: Task) -> None:
    opened: dict[tuple[object, ...], FeatureExtractor] = {}
    first = open_arm(arm_of().settings, task.pool, opened, Listener())
    assert open_arm(arm_of(class_weights="balanced").settings, task.pool, opened, Listener()) is first
    assert open_arm(arm_of(features="pooled").settings, task.pool, opened, Listener()) is not first


def test_every_fold_is_judged(task: Task, extractor: FeatureExtractor) -> None:
    found = list(probe_arm(arm_of(), task, extractor, task.pool.labels, Listener()))
    assert [(one.row.repeat, one.row.fold) for one in found] == [(fold.repeat, fold.number) for fold in task.folds]
    for fold, one in zip(task.folds, found, strict=True):
        assert one.probabilities.shape == (len(fold.held_out), 2)
        right = (one.probabilities.argmax(1) == task.pool.labels[fold.held_out]).mean()
        assert one.row.accuracy == pytest.approx(right)
        assert one.row.learnt == len(fold.train)


def test_images_that_are_left_out_are_not_learnt_from(task: Task) -> None:
    labels = task.pool.labels.copy()
    labels[:30] = -1
    for fold in task.folds:
        learnt = learn_from(arm_of(), task, labels, fold)
        assert learnt.tolist() == [i for i in fold.train if i >= 30]
    half = Arm("half", arm_of().settings, amount=0.5)
    assert len(learn_from(half, task, task.pool.labels, task.folds[0])) == round(len(task.folds[0].train) / 2)


@pytest.mark.parametrize(("error", "reference"), [(0.9, True), (1e-4, False)])
def test_an_engine_that_is_off_gives_way_once_and_for_all_arms(task: Task, error: float, reference: bool) -> None:
    extractor, heard = open_extractor(arm_of().settings, task.pool.sizes), Listener()
    extractor.engine = Warped(extractor, error)
    for _ in range(2):
        list(probe_arm(arm_of(), task, extractor, task.pool.labels, heard))
    assert extractor.engine.name == ("onnxruntime-fp32" if reference else "warped")
    assert len(heard.warned) == int(reference)
    assert task.proved == [extractor]


def test_what_ships_is_what_is_counted(task: Task, extractor: FeatureExtractor) -> None:
    found = cost_of(extractor, task.pool)
    weights = 4 * 3 * 4 * 4 + 8 * 4 * 2 * 2  # of the tiny network's two layers
    assert found["parameters"] == weights + 2 * (extractor.width + 1)
    assert found["size_mb"] >= 0
    assert found["engine"] == extractor.engine.name
    assert cost_of(extractor, task.pool, hidden=8)["parameters"] == weights + 8 * (extractor.width + 1) + 2 * 9


def test_networks_take_turns_and_their_fastest_counts(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (open_extractor(arm_of(features=name).settings, task.pool.sizes) for name in ("stages", "pooled"))
    turns: list[FeatureExtractor] = []
    seconds = iter([0.1, 0.5, 0.2, 0.25, 0.4, 1.0])

    def timed(extractor: FeatureExtractor, engine: object, part: Part) -> float:
        assert engine is extractor.reference
        turns.append(extractor)
        return next(seconds)

    monkeypatch.setattr(working, "seconds_per_image", timed)
    assert time_networks([first, second, first], task.pool) == [10.0, 4.0, 10.0]
    assert turns == [first, second] * 3


def test_a_map_is_of_what_the_head_learns_from(task: Task, extractor: FeatureExtractor) -> None:
    plain = map_of(arm_of(), task, extractor, Listener())
    viewed = map_of(arm_of(augment="any-way-up", probe_views=2), task, extractor, Listener())
    assert plain is not None
    assert viewed is not None
    assert (plain["space"], plain["images"], len(plain["places"])) == ("frozen", COUNT, COUNT)
    assert (viewed["space"], viewed["images"], len(viewed["places"])) == ("views", COUNT, 2 * COUNT)
    assert -1 <= plain["silhouette"] <= 1
    assert 0 <= viewed["own"] <= 1


def test_views_of_one_image_are_not_neighbours_that_tell_of_classes() -> None:
    rng = np.random.default_rng(0)
    images, labels = rng.normal(size=(60, 8)), np.arange(60) % 2  # nothing in common with the classes
    views = np.repeat(images, 8, axis=0) + rng.normal(scale=0.01, size=(480, 8))
    found = drawn_map(views.astype(np.float32), np.repeat(labels, 8), "views", 8, 0)
    assert found is not None
    assert found["images"] == 60
    assert found["own"] == pytest.approx(0.5, abs=0.15)  # counted with the views of the image itself: 0.85


def test_a_decision_curve_is_of_one_of_two_classes_or_the_mean_over_more(task: Task) -> None:
    from dataclasses import replace

    sure = np.eye(2)[task.pool.labels]
    found = curve_of(sure, task.pool, 0)
    assert found is not None
    assert found["area"] == pytest.approx(0.5)  # half of the images are found, and no false alarm
    third = np.where(np.arange(COUNT) % 3 == 2, 2, task.pool.labels)
    several = curve_of(np.eye(3)[third], replace(task.pool, classes=("a", "b", "c"), labels=third), 0)
    assert several is not None
    assert (found["class"] is None, several["class"]) == (False, None)
    assert several["area"] == pytest.approx(1 / 3)  # the mean over classes: a third is found of each
    assert curve_of(np.eye(101)[third], replace(task.pool, classes=tuple(map(str, range(101))), labels=third), 0) is None
