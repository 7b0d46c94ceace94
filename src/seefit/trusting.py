"""What lets one prediction be trusted, fitted before the bundle is saved: sets of classes, "none of these", and what a score is worth.

All rest on images that the model knows but did not learn from: those of the validation part, or without one the training part of a
probe, each image scored by a head that had not seen it. A network that was trained on all images and has no validation part gets none
of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seefit.bundle.sets import content_draws
from seefit.bundle.trusted import HELD_OUT, Trust
from seefit.bundle.unknown import Familiar
from seefit.console import QUIET, Console
from seefit.evaluation.calibrate import softmax
from seefit.evaluation.confidence import fit_confidence
from seefit.evaluation.conformal import COVERAGE, SMALLEST, fit_sets
from seefit.evaluation.familiar import RATE, fit_familiar, gallery_rows, with_limit
from seefit.evaluation.intervals import Floats, Ints
from seefit.fitting import Fitted
from seefit.parts import Part
from seefit.settings import Settings
from seefit.training.head import make_folds

MOST_HELD_OUT = 5_000  # images that tell how unlike a known image may be


@dataclass(frozen=True)
class _HeldOut:
    """Images that the model did not learn from: a part, rows of it, and the logits (len(rows), C) of each."""

    source: str
    part: Part
    rows: Ints
    logits: NDArray[np.float32]


def fit_trust(
    fitted: Fitted, settings: Settings, classes: tuple[str, ...], train: Part, val: Part | None = None, *, console: Console = QUIET
) -> Trust:
    """Fit what lets one prediction be trusted.

    Args:
        fitted: What fitting made.
        settings: What the user chose.
        classes: Names, in the order of the outputs.
        train: What was trained on.
        val: The validation part; None or empty without one.
        console: Where to say what was fitted, or why nothing was.

    Returns:
        Sets, "none of these" and what scores are worth; nothing where there are too few images that the model did not learn from.
    """
    held = _held_out(fitted, train, val)
    if held is None or len(held.rows) < SMALLEST:
        console.say(f"No sets of classes and no “none of these”: they take {SMALLEST} images that the model did not learn from (--val)")
        return Trust(rate=RATE)
    labels, digests = held.part.labels(classes)[held.rows], [held.part.sha256[i] for i in held.rows]
    probabilities = softmax(held.logits, fitted.temperature)
    sets = fit_sets(probabilities, labels, content_draws(digests))
    confidence = fit_confidence(probabilities, labels, held.part.units[held.rows], seed=settings.seed)
    familiar = _familiar(fitted, settings, classes, train, held)
    images = HELD_OUT[held.source]
    console.say(f"Trust: sets that hold the class of {COVERAGE:.0%}, and “none of these” at {RATE:.0%}, from {len(held.rows):,} {images}")
    return Trust(held.source, len(held.rows), sets, familiar, RATE, confidence)


def _held_out(fitted: Fitted, train: Part, val: Part | None) -> _HeldOut | None:
    if val is not None and val.samples:
        exact = fitted.extractor.extract(val.samples, val.sha256, exact=True)
        return _HeldOut("val", val, np.arange(len(val.samples)), fitted.head.logits(exact))
    if fitted.folds is None:
        return None
    return _HeldOut("folds", train, fitted.head.fold_rows, fitted.head.fold_logits)


def _familiar(fitted: Fitted, settings: Settings, classes: tuple[str, ...], train: Part, held: _HeldOut) -> Familiar | None:
    labels = train.labels(classes)
    rows = gallery_rows(labels)
    familiar = _fit(fitted, settings, train, rows, labels, len(classes))
    chosen = np.linspace(0, len(held.rows) - 1, min(len(held.rows), MOST_HELD_OUT)).astype(np.intp)
    if held.source == "val":
        signs = familiar.signs(_seen(fitted, held.part, held.rows[chosen], exact=True), held.logits[chosen])
    else:
        signs = _fold_signs(fitted, settings, train, labels, len(classes), held.rows[chosen], held.logits[chosen])
    return with_limit(familiar, signs)


def _fold_signs(
    fitted: Fitted, settings: Settings, train: Part, labels: NDArray[np.int64], classes: int, rows: Ints, logits: NDArray[np.float32]
) -> Floats:
    """Return the signs of training images, each against the images of the other folds: those that its logits come from."""
    signs = np.empty((len(rows), 3))
    for others, fold in make_folds(labels, train.units, settings.seed):
        mine = np.flatnonzero(np.isin(rows, fold))
        if len(mine):
            gallery = others[gallery_rows(labels[others])]
            familiar = _fit(fitted, settings, train, gallery, labels, classes)
            signs[mine] = familiar.signs(_seen(fitted, train, rows[mine]), logits[mine])
    return signs


def _fit(fitted: Fitted, settings: Settings, train: Part, rows: Ints, labels: NDArray[np.int64], classes: int) -> Familiar:
    return fit_familiar(compared_features(fitted, train, rows), labels[rows], classes, seed=settings.seed)


def compared_features(fitted: Fitted, train: Part, rows: Ints) -> NDArray[np.float32]:
    """Return what the linear head sees of training images, (len(rows), D), near enough to the reference to compare new images with."""
    proven = not (fitted.trained or fitted.members)  # of a network trained in this run, the fast engine was not held against the reference
    return _seen(fitted, train, rows, exact=not proven)


def _seen(fitted: Fitted, part: Part, rows: Sequence[int] | Ints, *, exact: bool = False) -> NDArray[np.float32]:
    """Return what the linear head sees of images of a part."""
    samples, digests = [part.samples[i] for i in rows], [part.sha256[i] for i in rows]
    return fitted.head.seen(fitted.extractor.extract(samples, digests, exact=exact))
