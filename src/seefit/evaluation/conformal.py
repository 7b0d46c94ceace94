"""Conformal sets: fitted on images that the model had not seen, and what they give on others.

Split conformal prediction with the scores of `seefit.bundle.sets`. Where the images of tomorrow come from the same source as those that
the limits are fitted on, a set holds the true class at least as often as stated, whatever the model is (Vovk, Gammerman & Shafer 2005;
Romano, Sesia & Candès 2020, theorem 1), averaged over the choice of the images. A class with enough images has a limit of its own,
from its own images alone (Mondrian), so that the promise holds for it too; smaller ones share the limit of all images.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from seefit.bundle.sets import FREE_RANKS, PENALTY, Floats, SetRule, rank_penalty
from seefit.evaluation.intervals import Estimate, Ints
from seefit.evaluation.means import mean_estimate
from seefit.evaluation.metrics import MANY_CLASSES

COVERAGE = 0.9
SMALLEST = 20  # images that a class needs for a limit of its own
_BLOCK = 4_000_000  # probabilities looked at together


@dataclass(frozen=True)
class SetFigures:
    """What sets give on images with known classes.

    Attributes:
        coverage: Share of the images whose set holds the true class.
        size: Mean number of classes in a set.
        sizes: (C + 1,) numbers of images by the size of their set.
        per_class: Share of the images of each class whose set holds it.
    """

    coverage: Estimate
    size: Estimate
    sizes: Ints
    per_class: list[Estimate]


def true_scores(
    probabilities: ArrayLike,
    labels: ArrayLike,
    draws: ArrayLike | None,
    *,
    penalty: float = PENALTY,
    free: int = FREE_RANKS,
    keeps_first: bool = True,
) -> Floats:
    """Return (N,) the score of each image's true class, as `seefit.bundle.sets.SetRule.sets` compares it.

    Args:
        probabilities: (N, C), calibrated.
        labels: (N,) class numbers.
        draws: (N,) in [0, 1); None counts the class's own probability in full.
        penalty: As in `SetRule`.
        free: Likewise.
        keeps_first: Likewise.
    """
    table, truth = np.asarray(probabilities), np.asarray(labels, np.intp)
    above, ranks, own = np.empty(len(table)), np.empty(len(table), np.intp), np.empty(len(table))
    columns, step = np.arange(table.shape[1]), max(1, _BLOCK // table.shape[1])
    for start in range(0, len(table), step):
        part = slice(start, start + step)
        block, true = table[part].astype(np.float64), truth[part, None]
        mine = np.take_along_axis(block, true, axis=1)
        before = (block > mine) | ((block == mine) & (columns < true))  # equals stand in the order of the classes, as in a stable sort
        above[part], ranks[part], own[part] = (block * before).sum(axis=1), before.sum(axis=1), mine[:, 0]
    counted = own if draws is None else own * (1 - np.asarray(draws, np.float64))
    scores: Floats = above + counted + rank_penalty(ranks, penalty, free)
    return np.where(ranks == 0, 0.0, scores) if keeps_first else scores


def fit_sets(
    probabilities: ArrayLike,
    labels: ArrayLike,
    draws: ArrayLike | None,
    *,
    coverage: float = COVERAGE,
    per_class: bool = True,
    penalty: float = PENALTY,
    free: int = FREE_RANKS,
    keeps_first: bool = True,
) -> SetRule | None:
    """Fit the limits of conformal sets.

    Args:
        probabilities: (N, C) of images that the model was not fitted on, calibrated.
        labels: (N,) class numbers.
        draws: (N,) in [0, 1), from `seefit.bundle.sets.content_draws`; None for sets without a draw, which are larger.
        coverage: How often a set is to hold the true class.
        per_class: Whether classes with `SMALLEST` images have limits of their own.
        penalty: As in `SetRule`; 0 for APS.
        free: Likewise.
        keeps_first: Likewise.

    Returns:
        The rule; None where there are too few images to promise so much: fewer than coverage / (1 - coverage).
    """
    truth, classes = np.asarray(labels, np.intp), np.shape(probabilities)[1]
    scores = true_scores(probabilities, truth, draws, penalty=penalty, free=free, keeps_first=keeps_first)
    common = conformal_limit(scores, coverage)
    if common is None:
        return None
    limits, own = np.full(classes, common), np.zeros(classes, np.bool_)
    counts = np.bincount(truth, minlength=classes)
    for number in np.flatnonzero(counts >= SMALLEST) if per_class else ():
        limit = conformal_limit(scores[truth == number], coverage)
        if limit is not None:
            limits[number], own[number] = limit, True
    return SetRule(coverage, limits, own, penalty, free, keeps_first)


def conformal_limit(scores: Floats, share: float) -> float | None:
    """Return the limit that the score of one more image stays within with probability ``share`` or more; None with too few scores.

    Args:
        scores: (N,) of images that are like those to come.
        share: In (0, 1).

    Returns:
        The ceil((N + 1) share)-th smallest score (Romano, Sesia & Candès 2020, equation 10).
    """
    place = math.ceil((len(scores) + 1) * share - 1e-9)  # rounding must not ask for one more
    return float(np.partition(scores, place - 1)[place - 1]) if place <= len(scores) else None


def judge_sets(
    rule: SetRule, probabilities: ArrayLike, labels: ArrayLike, draws: ArrayLike | None, *, groups: ArrayLike | None = None, seed: int = 0
) -> SetFigures:
    """Return what sets give on images with known classes, with 95 % intervals.

    Args:
        rule: From `fit_sets`.
        probabilities: (N, C), calibrated.
        labels: (N,) class numbers.
        draws: (N,) as in `fit_sets`.
        groups: (N,) int: images of one group are not independent; None for independent images.
        seed: Of the bootstrap.
    """
    truth = np.asarray(labels, np.intp)
    table, classes = np.asarray(probabilities), len(rule.limits)
    held, sizes = np.empty(len(table), np.bool_), np.empty(len(table), np.intp)
    step = max(1, _BLOCK // classes)
    for start in range(0, len(table), step):
        part = slice(start, start + step)
        found = rule.sets(table[part], None if draws is None else np.asarray(draws)[part])
        held[part], sizes[part] = np.take_along_axis(found, truth[part, None], axis=1)[:, 0], found.sum(axis=1)
    numbers = None if groups is None or classes > MANY_CLASSES else np.asarray(groups)  # as figures per class have it

    def share(rows: Ints) -> Estimate:
        return mean_estimate(held[rows], None if numbers is None else numbers[rows], seed=seed)

    return SetFigures(
        mean_estimate(held, groups, seed=seed),
        mean_estimate(sizes, groups, seed=seed),
        np.bincount(sizes, minlength=classes + 1),
        [share(np.flatnonzero(truth == number)) for number in range(classes)],
    )
