"""What a trial of a search is worth: balanced accuracy on images of the training part that it did not learn from, fold by fold.

The folds are the same for all trials, and lie inside the training part: the validation and the test part are not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from seefit.console import QUIET
from seefit.evaluation.forecast import growing_order
from seefit.gathering import Gathered
from seefit.settings import Settings
from seefit.studies.arms import Arm
from seefit.studies.folds import make_study_folds
from seefit.studies.judging import HEADLINE
from seefit.studies.pool import Pool
from seefit.studies.working import Judged, Task, open_arm, probe_arm
from seefit.training.features import FeatureExtractor

MOST_IMAGES = 5_000  # of the training part that a search looks at
FOLDS = 5
TRAINED_FOLDS = 3  # of those, where each is a training of its own
Opened = dict[tuple[object, ...], FeatureExtractor]


def make_task(gathered: Gathered, *, seed: int) -> Task:
    """Take the images that a search looks at, of the training part alone, and divide them into folds.

    Args:
        gathered: What is known of the data.
        seed: Of the choice of images and of the folds.

    Raises:
        DataError: Classes are too small for folds.
    """
    part, classes, sizes = gathered.part("train"), gathered.dataset.classes, gathered.seen.sizes[gathered.split.index("train")]
    if len(part.samples) > MOST_IMAGES:
        order = growing_order(part.labels(classes), part.units, np.random.default_rng(seed))
        chosen = np.sort(order[:MOST_IMAGES])
        part, sizes = part.subset(chosen), sizes[chosen]
    labels = part.labels(classes)
    folds = make_study_folds(labels, part.units, folds=FOLDS, repeats=1, seed=seed)
    return Task(Pool(part, classes, labels, None, sizes), folds, seed)


def trial_scores(settings: Settings, task: Task, opened: Opened, engines: dict[str, str], share: float) -> Iterator[list[float]]:
    """Judge settings on the folds, step by step.

    Args:
        settings: Of the trial.
        task: What all trials have in common.
        opened: The networks of trials before; a new one is added.
        engines: What computed the features of networks of trials before, also before a kill: a new one is added, and a known one is not
            checked again with the head of another trial, which might decide otherwise.
        share: How much of each fold's training images is learnt from, in (0, 1].

    Yields:
        The balanced accuracy on each fold so far.

    Raises:
        SeefitError: As training does.
    """
    arm, scores = Arm("trial", settings, amount=share), list[float]()
    extractor = open_arm(settings, task.pool, opened, QUIET)
    name = " ".join(map(str, next(key for key, one in opened.items() if one is extractor)))
    if name in engines and extractor not in task.proved:
        task.proved.append(extractor)
        if engines[name] == extractor.reference.name:
            extractor.use_reference()
    for judged in _judged(arm, task, extractor):
        engines[name] = extractor.engine.name
        scores.append(float(getattr(judged.row, HEADLINE)))
        yield list(scores)


def planned_folds(settings: Settings, task: Task) -> int:
    """Return how many folds a trial sees unless it is given up."""
    return len(task.folds) if settings.way == "probe" else min(TRAINED_FOLDS, len(task.folds))


def _judged(arm: Arm, task: Task, extractor: FeatureExtractor) -> Iterator[Judged]:
    if arm.by_probe:
        yield from probe_arm(arm, task, extractor, task.pool.labels, QUIET)
        return
    from seefit.studies.trained import train_arm  # brings torch

    for trained in train_arm(arm, task, task.folds[:TRAINED_FOLDS], extractor, task.pool.labels, QUIET):
        yield trained.judged
