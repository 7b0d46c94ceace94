"""How long a study takes on this computer, said before its work begins."""

from __future__ import annotations

import time
from pathlib import Path

from seefit.parts import Part
from seefit.promises import Work, head_seconds, promise_run, seconds_per_image, slowness
from seefit.studies.arms import Arm
from seefit.studies.folds import cut_validation
from seefit.studies.probing import DIRECTIONS
from seefit.studies.working import Task
from seefit.training.features import FeatureExtractor
from seefit.training.viewed import count_views, share_missing

STEPS_OF_HEAD = 180  # of the solver, that `head_seconds` stands for
STEPS_OF_FOLD, STEPS_OF_CHOICE = 110, 1_400  # of a fold, and for the choice of the strength (docs/LOG.md)
ARM_S = 8.0  # rotation, map and figures of an arm, on the computer where these were measured
ONCE = ("features", "activations")  # of a run: what is kept, so that the folds share it
FOLDED = ("head", "training")


def seconds_of_arm(arm: Arm, task: Task, extractor: FeatureExtractor) -> float:
    """Estimate how long an arm takes on all folds.

    Args:
        arm: What is fitted or trained.
        task: The images and folds.
        extractor: Of the arm's network.
    """
    if arm.by_probe:
        return _seconds_of_probe(arm, task, extractor)
    fold = task.folds[0]
    own, val = cut_validation(fold.train, task.pool.labels, task.pool.part.units, arm.settings.val, seed=task.seed)
    parts = task.pool.part.subset(own), task.pool.part.subset(val)
    work = Work(*parts, len(fold.held_out), len(task.pool.classes), parts[0])
    found = promise_run(arm.settings, extractor, work, began=time.monotonic(), checkpoints=Path("none")).parts
    once, each = (sum(found.get(name, 0.0) for name in names) for names in (ONCE, FOLDED))
    return once * len(task.pool.labels) / max(len(own), 1) + len(task.folds) * each + ARM_S * slowness()


def _seconds_of_probe(arm: Arm, task: Task, extractor: FeatureExtractor) -> float:
    part, images = task.pool.part, len(task.pool.labels)
    views = count_views(arm.settings.augment, arm.settings.probe_views)
    missing = share_missing(extractor, part.samples, part.sha256, arm.settings.augment, views, seed=arm.settings.seed)
    computed = extractor.kept(part.sha256).count(False) + round(missing * (views - 1) * images)
    reading = computed * seconds_per_image(extractor, extractor.engine, part) if computed else 0.0
    learnt, classes = len(task.folds[0].train) * views, len(task.pool.classes)
    step = head_seconds(min(learnt, 2_000), DIRECTIONS, classes) / STEPS_OF_HEAD * max(1.0, learnt / 2_000)
    steps = STEPS_OF_CHOICE + STEPS_OF_FOLD * len(task.folds)
    return reading + step * steps + ARM_S * slowness()


def seconds_of_winner(arm: Arm, train: Part, val: Part, judged: int, classes: int, extractor: FeatureExtractor) -> float:
    """Estimate how long the run of the winner takes, if it is this arm.

    Args:
        arm: Any arm.
        train: The training part.
        val: The validation part.
        judged: Images of the test part.
        classes: How many there are.
        extractor: Of the arm's network.
    """
    work = Work(train, val, judged, classes, train)
    return promise_run(arm.settings, extractor, work, began=time.monotonic(), checkpoints=Path("none")).left
