"""From probabilities to decisions: where to draw the line between two classes.

The line is chosen on images that were not learnt from (validation or out-of-fold scores); the judged images only show what it gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seefit.evaluation.intervals import Estimate, Floats, Ints, estimate, percentile_interval, resamples, wilson
from seefit.evaluation.roc import divide

PERCENTS: Floats = np.round(np.arange(0.01, 1.0, 0.01), 2)
MOST_THRESHOLDS = 100  # besides whole percents
MOST_BLOCKS = 200
REPLICATES = 500
WANTED = 0.95  # share found, or right when named, that a threshold is looked for
FEWEST_CALLED = 10  # images that must be named so before their share that is right counts for anything

_ORDINARY = """negative neg normal ok okay good healthy fine functional working intact clean clear undamaged pass passed no none not non
nothing background other others absent benign false 0 正常 合格 良品 良好 阴性 无 否 背景 其他"""
_SOUGHT = """positive pos abnormal bad sick defective defect defects damaged damage broken faulty fault crack cracked cracks pothole
potholes anomaly fail failed yes present malignant cancer disease diseased true 1 异常 不合格 次品 缺陷 阳性 有 是 破损 裂纹"""


@dataclass(frozen=True)
class Counts:
    """What thresholds give on some images; a picture is named so from a score of the threshold on.

    Attributes:
        tp: (T,) images of the class that are named so.
        fp: (T,) other images that are named so.
        positives: Images of the class.
        negatives: The others.
    """

    tp: Ints
    fp: Ints
    positives: int
    negatives: int


def positive_class(classes: Sequence[str], counts: Sequence[int]) -> tuple[int, str]:
    """Say which of two classes is looked for.

    Args:
        classes: Two names.
        counts: Training images of each.

    Returns:
        Its number, and why: ``name`` where one name alone stands for the ordinary case or for what is looked for, else ``rare``: the one
        with fewer images, the second of equals.
    """
    words = [_words(name) for name in classes]
    for listed, wanted in ((_SOUGHT, True), (_ORDINARY, False)):
        said = [bool(name & set(listed.split())) for name in words]
        if said[0] != said[1]:
            return said.index(wanted), "name"
    return int(counts[1] <= counts[0]), "rare"


def _words(name: str) -> set[str]:
    """Return the words of a name; a number says something only where it is the whole name, as in "0" and "1"."""
    whole = name.casefold().strip()
    return {whole} | {word for word in whole.replace("_", " ").replace("-", " ").split() if not word.isdigit()}


def choose_thresholds(scores: Floats, positive: NDArray[np.bool_]) -> Floats:
    """Return the thresholds that may be chosen from: whole percents, and places between scores, even in ranks of either class.

    Args:
        scores: (N,) of images that thresholds may be chosen on.
        positive: (N,) whether each is of the class.

    Returns:
        (T,) rising, at most 199, in (0, 1).
    """
    places = [PERCENTS]
    for side in (scores[positive], scores[~positive]):
        levels = np.unique(side)
        middles = (levels[1:] + levels[:-1]) / 2
        places.append(middles[np.unique(np.linspace(0, len(middles) - 1, MOST_THRESHOLDS // 2).astype(int))] if len(middles) else levels)
    found = np.unique(np.round(np.concatenate(places), 4))
    return np.asarray(found[(found > 0) & (found < 1)], np.float64)


def count_at(scores: Floats, positive: NDArray[np.bool_], thresholds: Floats) -> Counts:
    """Count what each threshold gives.

    Args:
        scores: (N,) probabilities of the class.
        positive: (N,) whether each image is of it.
        thresholds: (T,) rising.
    """
    sides = [np.sort(scores[side]) for side in (positive, ~positive)]
    tp, fp = (len(side) - np.searchsorted(side, thresholds) for side in sides)
    return Counts(tp, fp, len(sides[0]), len(sides[1]))


def costs_of(counts: Counts, cost_fp: float, cost_fn: float) -> Floats:
    """Return the (T,) mean cost of an image."""
    images = counts.positives + counts.negatives
    return np.asarray((cost_fp * counts.fp + cost_fn * (counts.positives - counts.tp)) / images, np.float64)


def cheapest(thresholds: Floats, counts: Counts, cost_fp: float, cost_fn: float) -> int:
    """Return the place of the threshold to take for these costs.

    The lowest cost on a few hundred images is a matter of luck: among all thresholds that are not shown to be worse than it, by one
    standard error of the paired difference (the rule of Breiman et al. 1984 for trees), the one is taken that is nearest to what calibrated
    probabilities call for, cost_fp / (cost_fp + cost_fn) (Elkan 2001, section 2).

    Args:
        thresholds: (T,) rising.
        counts: What they give on images that thresholds may be chosen on.
        cost_fp: Of naming another image so, above 0.
        cost_fn: Of missing an image of the class, above 0.
    """
    costs = costs_of(counts, cost_fp, cost_fn)
    best = int(costs.argmin())
    between = (cost_fn, counts.tp - counts.tp[best]), (cost_fp, counts.fp - counts.fp[best])  # the images that two thresholds differ in
    variance = sum(_spread(cost, np.abs(cases), counts.positives + counts.negatives) for cost, cases in between)
    near = np.flatnonzero(costs - costs[best] <= np.sqrt(variance))
    return int(near[np.abs(thresholds[near] - cost_fp / (cost_fp + cost_fn)).argmin()])


def finds_enough(counts: Counts) -> int | None:
    """Return the highest threshold that finds 95 % of the class; None where none does."""
    enough = np.flatnonzero(counts.tp >= WANTED * counts.positives)
    return int(enough[-1]) if len(enough) else None


def right_enough(counts: Counts) -> int | None:
    """Return the lowest threshold from which on 95 % of what is named so is of the class; None where none does."""
    called = counts.tp + counts.fp
    good = (counts.tp >= WANTED * called) & (called >= FEWEST_CALLED)
    return int(good.argmax()) if good.any() else None


# ---- what a threshold gives on the judged images -----------------------------------------------------------------


@dataclass(frozen=True)
class Blocks:
    """Judged images in blocks that may be resampled: counts from which every figure at every threshold can be made again.

    Attributes:
        positives: (B, T + 1) images of the class per block that reach exactly so many thresholds.
        negatives: Likewise, of the others.
    """

    positives: Ints
    negatives: Ints

    def counts(self) -> Counts:
        """Return what the thresholds give on all images."""
        tp, fp = (_reached(side.sum(axis=0, keepdims=True))[0] for side in (self.positives, self.negatives))
        return Counts(tp, fp, int(self.positives.sum()), int(self.negatives.sum()))


def make_blocks(scores: Floats, positive: NDArray[np.bool_], thresholds: Floats, units: Ints | None, *, seed: int = 0) -> Blocks:
    """Deal images, or whole groups, at random into at most 200 blocks, so that a file of any run stays small.

    Args:
        scores: (N,).
        positive: (N,).
        thresholds: (T,) rising.
        units: (N,) groups as 0 to G - 1; None for independent images.
        seed: Of the dealing.
    """
    numbers = np.arange(len(scores)) if units is None else units
    size = int(numbers.max()) + 1
    block = np.random.default_rng(seed).permutation(size) % min(size, MOST_BLOCKS)
    rows, reached = block[numbers], np.searchsorted(thresholds, scores, side="right")
    shape = (min(size, MOST_BLOCKS), len(thresholds) + 1)
    sides = [np.zeros(shape, np.intp) for _ in range(2)]
    for side, chosen in zip(sides, (positive, ~positive), strict=True):
        np.add.at(side, (rows[chosen], reached[chosen]), 1)
    return Blocks(*sides)


def _reached(histogram: NDArray[Any]) -> NDArray[Any]:
    """Return how many images reach each threshold: (…, T + 1) → (…, T)."""
    return np.cumsum(histogram[..., ::-1], axis=-1)[..., ::-1][..., 1:]


@dataclass(frozen=True)
class Given:
    """What a threshold gives, each with its 95 % interval; costs are means per image.

    Attributes:
        found: Share of the class's images that are named so (recall).
        alarmed: Share of the others that are named so (false-alarm rate).
        right: Share of what is named so that is of the class (precision).
        cost: By the user's costs.
        saved: Cost of the threshold it is compared with, less its own, on the same images.
    """

    found: Estimate
    alarmed: Estimate
    right: Estimate
    cost: Estimate
    saved: Estimate


def resampled(blocks: Blocks, places: Sequence[int] | slice, *, seed: int = 0) -> tuple[Floats, Floats, Floats, Floats]:
    """Return what thresholds give on the images themselves (row 0) and on resamples of the blocks.

    Args:
        blocks: The judged images.
        places: Of K thresholds.
        seed: Of the bootstrap.

    Returns:
        Finds and false alarms (1 + R, K), images of the class and others (1 + R, 1).
    """
    size = len(blocks.positives)
    drawn = [counts.T.astype(np.float64) for counts in resamples(size, None, replicates=REPLICATES, seed=seed)]
    draws = np.concatenate([np.ones((1, size)), *drawn])
    tp, fp = (draws @ _reached(side)[:, places] for side in (blocks.positives, blocks.negatives))
    p, n = (draws @ side.sum(axis=1, keepdims=True) for side in (blocks.positives, blocks.negatives))
    return tp, fp, p, n


def give(blocks: Blocks, place: int, against: int, cost_fp: float, cost_fn: float, *, seed: int = 0) -> Given:
    """Say what a threshold gives on judged images.

    Intervals are those of the bootstrap over blocks, and never less than Wilson's; for costs never less than a normal interval with one
    more image of either kind (as Bonett & Price 2012 have it for a difference), since a mistake not yet seen may come.

    Args:
        blocks: The judged images.
        place: Of the threshold.
        against: Of the threshold that its cost is compared with.
        cost_fp: Of naming another image so.
        cost_fn: Of missing an image of the class.
        seed: Of the bootstrap.
    """
    tp, fp, p, n = resampled(blocks, [place, against], seed=seed)
    found, alarmed, right = divide(tp, p)[:, 0], divide(fp, n)[:, 0], divide(tp, tp + fp)[:, 0]
    cost = (cost_fp * fp + cost_fn * (p - tp)) / (p + n)
    images, missed, false = float(p[0, 0] + n[0, 0]), p[0, 0] - tp[0, 0], fp[0, 0]
    one = _spread(cost_fn, missed, images) + _spread(cost_fp, false, images)
    two = _spread(cost_fn, abs(tp[0, 1] - tp[0, 0]), images) + _spread(cost_fp, abs(fp[0, 1] - fp[0, 0]), images)
    units = len(blocks.positives)
    costs = _widened(cost[:, 0], _around(cost[0, 0], one), units)
    return Given(
        _widened(found, wilson(found[0], p[0, 0]), units),
        _widened(alarmed, wilson(alarmed[0], n[0, 0]), units),
        _widened(right, wilson(right[0], tp[0, 0] + fp[0, 0]), units),
        costs if costs.low is None else estimate(cost[0, 0], max(0.0, costs.low), float(costs.high or 0)),
        _widened(cost[:, 1] - cost[:, 0], _around(cost[0, 1] - cost[0, 0], two), units),
    )


def _spread(cost: float, cases: ArrayLike, images: float) -> Floats:
    """Return the variance that mistakes of one kind give to the mean cost, as if one more had been seen; a bound, for rare ones close."""
    return np.asarray(cost**2 * (np.asarray(cases) + 1) / (images + 2) ** 2, np.float64)


def _around(value: float, variance: Floats) -> tuple[float, float]:
    half = 1.96 * float(np.sqrt(variance))
    return value - half, value + half


def _widened(sampled: Floats, least: tuple[ArrayLike, ArrayLike], units: int) -> Estimate:
    low, high = percentile_interval(sampled[1:], units)
    return estimate(float(sampled[0]), float(np.minimum(low, least[0])), float(np.maximum(high, least[1])))
