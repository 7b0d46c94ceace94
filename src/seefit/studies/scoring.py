"""What a trial of a search is worth: balanced accuracy on images of the training part that it did not learn from, fold by fold.

The folds are the same for all trials, and lie inside the training part: the validation and the test part are not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seefit.console import QUIET, Console
from seefit.errors import DataError
from seefit.evaluation.forecast import growing_order, turned
from seefit.evaluation.merit import fold_scores, held_out_logits
from seefit.fitting import Fitted, Part, begin, open_extractor
from seefit.settings import Settings
from seefit.training.features import FeatureExtractor
from seefit.training.head import Fold, Head, fit_head, make_folds
from seefit.training.history import Epoch
from seefit.training.solver import Float

MOST_IMAGES = 5_000  # of the training part that a search looks at
TRAINED_FOLDS = 3  # of those that are made, where each is a training of its own
KEPT_BYTES = 10**9  # of features in memory


@dataclass
class Images:
    """The images that a search looks at, and what is known of them once and for all trials.

    Attributes:
        part: Of the training part, all of it or a share.
        classes: Names, in the order of the outputs.
        sizes: (N, 2) width and height of all training images in pixels.
        folds: The same for all trials.
        rows: Of each network that was asked for lately: its features, rotated, and how many there were before.
        heads: Fitted heads that training begins with.
        engine: What computed the latest features.
    """

    part: Part
    classes: tuple[str, ...]
    sizes: NDArray[np.int64]
    folds: list[Fold]
    rows: dict[tuple[object, ...], tuple[Float, int]] = field(default_factory=dict)
    heads: dict[tuple[object, ...], Head] = field(default_factory=dict)
    engine: str = ""


def choose_images(part: Part, classes: tuple[str, ...], sizes: NDArray[np.int64], *, seed: int) -> Images:
    """Take the images that a search looks at, and divide them into folds.

    Args:
        part: The training part.
        classes: Names, in the order of the outputs.
        sizes: (N, 2) width and height in pixels.
        seed: Of the folds.

    Raises:
        DataError: Classes are too small for folds.
    """
    if len(part.samples) > MOST_IMAGES:
        order = growing_order(part.labels(classes), part.units, np.random.default_rng(seed))
        part = subset(part, np.sort(order[:MOST_IMAGES]))
    folds = make_folds(part.labels(classes), part.units, seed)
    if len(folds) < 2:
        raise DataError(
            "Too few images to search with",
            where="training part",
            expected="two images or groups at least of most classes",
            got="fewer",
            hint="Add images, or train without a search: `seefit train`",
        )
    return Images(part, classes, sizes, folds)


def subset(part: Part, index: NDArray[np.intp]) -> Part:
    """Return some images of a part, in the order of their positions (M,)."""
    return Part([part.samples[i] for i in index], [part.sha256[i] for i in index], part.units[index])


def trial_scores(
    settings: Settings, images: Images, share: float, *, checkpoints: Path | None = None, console: Console = QUIET
) -> Iterator[list[float]]:
    """Judge settings on the folds, step by step.

    Args:
        settings: Of the trial.
        images: What is looked at.
        share: How much of each fold's training images is learnt from, in (0, 1].
        checkpoints: Where the precision that layers are trained in is kept, so that all trials have the same; None to measure it anew.
        console: Where progress is shown.

    Yields:
        The balanced accuracy on each fold so far.

    Raises:
        SeefitError: As training does.
    """
    folds = [(_share(fold[0], images, share, settings.seed), fold[1]) for fold in images.folds]
    if settings.way == "probe":
        yield from _probe_scores(settings, images, folds, console)
        return
    scores: list[float] = []
    for number, fold in enumerate(folds[:TRAINED_FOLDS]):
        scores.append(_trained_score(settings, images, fold, (number, share), checkpoints, console))
        yield list(scores)


def planned_folds(settings: Settings, images: Images) -> int:
    """Return how many folds a trial sees unless it is given up."""
    return len(images.folds) if settings.way == "probe" else min(TRAINED_FOLDS, len(images.folds))


def _share(train: NDArray[np.intp], images: Images, share: float, seed: int) -> NDArray[np.intp]:
    """Return the positions of a share of a fold's training images; a smaller share lies within a larger one."""
    if share >= 1:
        return train
    labels = images.part.labels(images.classes)[train]
    order = growing_order(labels, images.part.units[train], np.random.default_rng([seed, len(train)]))
    return np.sort(train[order[: max(len(images.classes), round(share * len(train)))]])


# ---- a probe on kept features -----------------------------------------------------------------------------------


def _probe_scores(settings: Settings, images: Images, folds: list[Fold], console: Console) -> Iterator[list[float]]:
    part, classes = images.part, images.classes
    options: dict[str, Any] = {"weights": part.weights(), "balance": settings.class_weights}
    for logits in held_out_logits(*_rows(settings, images, console), part.one_hot(classes), folds, **options):
        yield fold_scores(logits, folds, part.labels(classes))


def _rows(settings: Settings, images: Images, console: Console) -> tuple[Float, int]:
    """Return the features of all images, rotated, and how many there are of each; what was asked for last stays in memory."""
    key = _network_key(settings)
    if key not in images.rows:
        extractor = open_extractor(settings, images.sizes, console=console)
        features = extractor.extract(images.part.samples, images.part.sha256, console=console)
        images.rows[key], images.engine = (turned(features), extractor.width), extractor.engine.name
        while len(images.rows) > 1 and sum(rows.nbytes for rows, _ in images.rows.values()) > KEPT_BYTES:
            del images.rows[next(iter(images.rows))]
    return images.rows[key]


def _network_key(settings: Settings) -> tuple[object, ...]:
    return settings.backbone, settings.features, settings.image_size, settings.fit


# ---- a network whose layers are trained -------------------------------------------------------------------------


def _trained_score(
    settings: Settings, images: Images, fold: Fold, which: tuple[int, float], checkpoints: Path | None, console: Console
) -> float:
    """Train on one side of a fold and return the balanced accuracy on the other, at the epoch whose weights would be kept."""
    from seefit.finetuning import prepared
    from seefit.plans import find_rates, is_sought
    from seefit.training.finetune import finetune

    extractor = open_extractor(settings, images.sizes)
    train, held_out = (subset(images.part, index) for index in fold)
    fitted = _first_head(settings, images, extractor, train, which)
    with prepared(settings, fitted, images.classes, train, held_out, checkpoints=checkpoints) as ready:
        plan = ready.plan()
        if is_sought(settings):
            plan = ready.plan(find_rates(plan, ready.choice, ready.network, ready.training, None, console=QUIET))
        history = finetune(ready.network, plan, ready.training, ready.validation, console=console)
    return _kept_epoch(history, settings).val_balanced_accuracy


def _first_head(settings: Settings, images: Images, extractor: FeatureExtractor, train: Part, which: tuple[int, float]) -> Fitted:
    """Return the probe that training begins with, fitted on the same images; once for all trials that begin with the same."""
    if settings.from_scratch:
        return begin(settings, extractor, images.classes, train)
    key = (*_network_key(settings), settings.class_weights, *which)
    if key not in images.heads:
        features = extractor.extract(train.samples, train.sha256)
        options: dict[str, Any] = {"weights": train.weights(), "units": train.units, "balance": settings.class_weights}
        images.heads[key] = fit_head(features, train.one_hot(images.classes), **options, seed=settings.seed)
    return Fitted(extractor, images.heads[key], 1.0, None, None, None)


def _kept_epoch(history: list[Epoch], settings: Settings) -> Epoch:
    """Return the epoch whose weights training keeps: the last, or the best by the metric that is watched."""
    if settings.keep == "last":
        return history[-1]
    sign = -1 if settings.monitor == "loss" else 1
    return max(history, key=lambda epoch: (sign * getattr(epoch, f"val_{settings.monitor}"), -epoch.epoch))
