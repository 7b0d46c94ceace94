"""How many more images? A learning curve measured on kept features, and what it says of two and four times as many images.

Heads are fitted on growing shares of the images, each share within the next, and judged on images they were not fitted on. Errors fall
about as a power of the number of images, error = a + b · images^-c (Hestness et al. 2017, arXiv 1712.00409; reviewed by Viering & Loog
2023, IEEE TPAMI 45(6)), fitted with larger sizes counting more (Figueroa et al. 2012, BMC Medical Informatics 12:8). What the curve
cannot tell is part of the interval: which images were judged (whole groups are drawn with replacement), how the folds fell, and the power,
which several values of c explain about as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seefit.evaluation.intervals import Estimate, Floats, Ints, estimate, percentile_interval, resamples, wilson
from seefit.training.head import make_folds, workers
from seefit.training.solver import Double, Float, Rows, Standardised, minimise

SHARES = tuple(2 ** (step / 2) / 8 for step in range(7))  # of a fold's training side: an eighth to all of it, in steps of 1.41
FEWEST_IMAGES, FEWEST_PER_CLASS, FEWEST_POINTS = 20, 3, 4  # at the smallest share; a class on average; shares on the curve
REPEATS = 4
SAMPLE = 2_500  # rows that the main directions of the features are found from
FEW_ROWS, MANY_ROWS = 1_024, 2_048  # directions that are kept of up to SAMPLE rows, and of more: the error stays (docs/LOG.md)
MAX_WORK = 1e9  # rows x directions x classes of all fits: some 10 s on one core
MAX_WORK_OF_A_FOLD = 4e9  # beyond it a sample of the images is looked at
TOLERANCE = 1e-4
POWERS = (0.2, 0.35, 0.5, 0.7, 1.0)  # c of the curves that are averaged
FACTORS = (2, 4)  # times as many images as now
LINE = 40  # places along the curve
REPLICATES = 2_000
WIDER = 1.5  # times as wide as the bootstrap's is the interval of a change: these images are one draw of many (docs/LOG.md)
SMALLEST_FALL = 0.001  # of the error that is called one


@dataclass(frozen=True)
class Curve:
    """What was measured.

    Attributes:
        sizes: (S,) images that the heads were fitted on, on average over the folds, rising.
        rows: (N,) positions of the images that were judged.
        wrong: (R, N, S) float32, 1 where an image was named wrong, for each repeat of the folds.
        sampled: How many images it was measured on, where they are not all; else 0.
    """

    sizes: Floats
    rows: Ints
    wrong: Float
    sampled: int = 0


@dataclass(frozen=True)
class Outlook:
    """What a curve says of a number of images.

    Attributes:
        images: How many.
        error: Share of images that are named wrong.
        change: Of that share from now on; below 0 for fewer mistakes. Of one class its interval is too narrow: mistakes move from class
            to class with every image that is learnt from.
        sure: Whether the interval of the change lies below 0.
    """

    images: int
    error: Estimate
    change: Estimate
    sure: bool


@dataclass(frozen=True)
class Forecast:
    """A curve and where it leads.

    Attributes:
        points: Error at each measured size.
        now: Error at the present size, on the curve.
        ahead: At two and four times as many images.
        sizes: (L,) images along the curve, from the smallest measured size to the farthest.
        line: Error at each of these.
    """

    points: list[Estimate]
    now: Estimate
    ahead: list[Outlook]
    sizes: Floats
    line: list[Estimate]


def measure_curve(
    features: Float,
    labels: Ints,
    *,
    classes: int,
    strength: float,
    units: NDArray[np.int64],
    weights: Double | None = None,
    shift: Double | None = None,
    seed: int = 0,
) -> Curve | None:
    """Fit heads on growing shares of images and judge them on images of other folds.

    Args:
        features: (N, D) float32.
        labels: (N,) class numbers.
        classes: C, how many classes there are.
        strength: Of the penalty times the images it was chosen for: at n images it is this by n, as the best one falls.
        units: (N,) images of one number stay together, in folds and in shares.
        weights: (N,) at least 0; ones when None.
        shift: (C,) taken from the logits; nothing when None.
        seed: Of folds and shares.

    Returns:
        The curve, of a sample where all images would take too long; None where there are too few images for one.
    """
    weights = np.ones(len(labels)) if weights is None else weights
    most = int(MAX_WORK_OF_A_FOLD / (sum(SHARES) * min(_directions(len(labels)), features.shape[1]) * classes))
    if len(labels) > most:
        some = np.sort(growing_order(labels, units, np.random.default_rng([seed, 3]))[:most])
        own: dict[str, Any] = {"units": units[some], "weights": weights[some], "shift": shift, "seed": seed}
        curve = measure_curve(features[some], labels[some], classes=classes, strength=strength, **own)
        return None if curve is None else replace(curve, rows=some[curve.rows], sampled=most)
    folds = make_folds(labels, units, seed)
    shares = [share for share in SHARES if folds and share * len(folds[0][0]) >= max(FEWEST_IMAGES, FEWEST_PER_CLASS * classes)]
    work = sum(shares) * len(labels) * min(_directions(len(labels)), *features.shape) * classes
    if len(shares) < FEWEST_POINTS:
        return None
    jobs = _jobs(labels, units, folds, int(MAX_WORK / work), seed)
    rows, targets = turned(features), np.eye(classes, dtype=np.float32)[labels]

    def judge(job: tuple[int, Ints, Ints]) -> tuple[Floats, Float]:
        _, order, held_out = job
        return _fit_shares(rows, targets, weights, order, held_out, shares, strength, shift)

    with workers() as pool:
        found = list(pool.map(judge, jobs))
    judged = np.unique(np.concatenate([held_out for _, _, held_out in jobs]))
    wrong = np.zeros((jobs[-1][0] + 1, len(labels), len(shares)), np.float32)
    for (repeat, _, held_out), (_, errors) in zip(jobs, found, strict=True):
        wrong[repeat, held_out] = errors
    return Curve(np.mean([counts for counts, _ in found], axis=0), judged, wrong[:, judged])


def foresee(curve: Curve, present: int, *, groups: Ints | None = None, chosen: NDArray[np.bool_] | None = None, seed: int = 0) -> Forecast:
    """Continue a curve to two and four times as many images.

    For each power c, a (at least 0) and b are fitted by least squares, each size counting by its images; the curves are averaged, each by
    the inverse of its squared deviation. The bootstrap draws the judged images (whole groups where there are groups), the repeats of the
    folds, and one of the curves by the same weights.

    Args:
        curve: As measured.
        present: Images that the head learns from now.
        groups: (N,) numbers of the groups of the judged images; None without groups.
        chosen: (N,) which of the judged images count, such as those of one class; all when None.
        seed: Of the bootstrap.
    """
    wrong = curve.wrong if chosen is None else curve.wrong[:, chosen]
    if groups is not None:
        groups = np.unique(groups if chosen is None else groups[chosen], return_inverse=True)[1]
    measured, drawn = wrong.mean((0, 1), dtype=np.float64), _resampled(wrong, groups, seed)
    farthest = np.geomspace(curve.sizes[0], max(FACTORS) * present, LINE)
    targets = np.array([present, *(factor * present for factor in FACTORS), *farthest])
    values, samples = _continued(curve.sizes, measured, drawn, targets, seed)
    count = wrong.shape[1]
    units = count if groups is None else int(groups.max()) + 1
    now, *errors = (_level(value, sample, units, count) for value, sample in zip(values, samples.T, strict=True))
    ahead = [
        Outlook(factor * present, errors[i], *_change(values[i + 1] - values[0], samples[:, i + 1] - samples[:, 0], units))
        for i, factor in enumerate(FACTORS)
    ]
    points = [_level(value, sample, units, count) for value, sample in zip(measured, drawn.T, strict=True)]
    return Forecast(points, now, ahead, farthest, errors[len(FACTORS) :])


def turned(features: Float) -> Float:
    """Return the features (N, D), standardised, along their main directions, (N, k).

    A ridge penalty does not see a rotation, so all fits share one, which knows no labels. Beyond 2,500 rows a sample of them gives it.
    """
    return turn(features, _directions(len(features)))[0]


def turn(features: Float, directions: int) -> tuple[Float, Standardised, Float]:
    """Do what `turned` does, with so many directions at most, and return how.

    Args:
        features: (N, D) float32.
        directions: k at most.

    Returns:
        The rows (N, k), how features are standardised, and the matrix (D, k) that takes them there.
    """
    from scipy.linalg import eigh

    scale = Standardised.of(features)
    sample = np.linspace(0, len(features) - 1, min(SAMPLE, len(features))).astype(np.intp)
    some = scale.apply(features[sample])
    with workers():  # one thread of BLAS: the same numbers whatever the machine
        values, vectors = eigh(some @ some.T, driver="evd")  # all of them: faster than a part
        there = np.flatnonzero(values > 1e-6 * max(float(values[-1]), 1e-6))[-directions:]
        values, vectors = values[there], vectors[:, there]
        matrix = (some.T @ (vectors / np.sqrt(values))).astype(np.float32)
        if len(sample) == len(features):
            return np.ascontiguousarray(vectors * np.sqrt(values), np.float32), scale, matrix
        scaled = matrix * scale.factor[:, None]
        along: Float = features @ scaled
        along -= scale.mean @ scaled  # in place: of 50,000 images this is 400 MB
        return along, scale, matrix


def _directions(count: int) -> int:
    return FEW_ROWS if count <= SAMPLE else MANY_ROWS


def _jobs(labels: Ints, units: NDArray[np.int64], folds: list[tuple[Ints, Ints]], most: int, seed: int) -> list[tuple[int, Ints, Ints]]:
    """Return repeat, training side in the order in which shares take it, and held-out side, of as many folds as may be fitted.

    Less than one repeat of all folds leaves images without a judgement; whole repeats otherwise.
    """
    repeats = int(np.clip(most // len(folds), 1, REPEATS))
    jobs = []
    for repeat in range(repeats):
        again = make_folds(labels, units, seed + 7919 * repeat) if repeat else folds
        for number, (train, held_out) in enumerate(again):
            order = growing_order(labels[train], units[train], np.random.default_rng([seed, repeat, number]))
            jobs.append((repeat, train[order], held_out))
    return jobs if repeats > 1 else jobs[: max(1, most)]


def growing_order(labels: Ints, units: NDArray[np.int64], rng: np.random.Generator) -> Ints:
    """Return an order of images of which every beginning holds the classes in about their shares, and units whole.

    Of each class a unit comes first, so that no class is missing from a beginning that has room for all.

    Args:
        labels: (N,) class numbers.
        units: (N,) images of one number stay together.
        rng: Chance.
    """
    _, first, member = np.unique(units, return_index=True, return_inverse=True)
    chance, own = rng.permutation(len(first)), labels[first]
    rank = np.empty(len(first))
    for label in np.unique(own):
        same = chance[own[chance] == label]
        rank[same] = np.arange(len(same)) / len(same)
    place = np.empty(len(first), np.intp)
    place[np.lexsort((chance, rank))] = np.arange(len(first))
    return np.argsort(place[member], kind="stable")


def _fit_shares(
    rows: Float,
    targets: Float,
    weights: Double,
    order: Ints,
    held_out: Ints,
    shares: Sequence[float],
    strength: float,
    shift: Double | None,
) -> tuple[Floats, Float]:
    """Return how many images each share holds (S,), and which held-out images the head fitted on it names wrong (H, S)."""
    solution = np.zeros((rows.shape[1] + 1, targets.shape[1]))
    truth = targets[held_out].argmax(1)
    counts, errors = np.empty(len(shares)), np.empty((len(held_out), len(shares)), np.float32)
    for i, share in enumerate(shares):
        some = order[: round(share * len(order))]
        own = weights[some] if weights[some].any() else np.ones(len(some))
        solution = minimise(Rows(rows[some]), targets[some], own, strength / len(some), solution, tolerance=TOLERANCE)
        logits = rows[held_out] @ solution[:-1].astype(np.float32) + solution[-1] - (0 if shift is None else shift)
        counts[i], errors[:, i] = len(some), logits.argmax(1) != truth
    return counts, errors


def _resampled(wrong: Float, groups: Ints | None, seed: int) -> Floats:
    """Return the errors (B, S) of resamples of images or groups, and of repeats.

    A mean of R repeats varies by R / (R - 1) more than resamples of it do; without a second repeat nothing tells how much.
    """
    repeats, count, _ = wrong.shape
    parts = [
        np.einsum("rns,nb->brs", wrong, drawn, optimize=True) / drawn.sum(0)[:, None, None]
        for drawn in resamples(count, groups, replicates=REPLICATES, seed=seed, width=repeats * wrong.shape[2])
    ]
    errors = np.concatenate(parts).astype(np.float64)  # (B, R, S)
    middle = errors.mean(1)
    if repeats == 1:
        return np.asarray(middle, np.float64)
    shares = np.random.default_rng([seed, 1]).multinomial(repeats, np.full(repeats, 1 / repeats), REPLICATES) / repeats
    moved = np.einsum("br,brs->bs", shares, errors)
    return np.asarray(np.clip(middle + (moved - middle) * np.sqrt(repeats / (repeats - 1)), 0, 1), np.float64)


def _continued(sizes: Floats, measured: Floats, drawn: Floats, targets: Floats, seed: int) -> tuple[Floats, Floats]:
    """Return the averaged curve at the targets (T,), and a curve of each resample there (B, T)."""
    values, value_weights = _curves(sizes, measured[None], targets)
    samples, weights = _curves(sizes, drawn, targets)
    chance = np.random.default_rng([seed, 2]).random(len(drawn))
    taken = np.minimum((weights.cumsum(0) < chance).sum(0), len(POWERS) - 1)
    return np.einsum("p,pt->t", value_weights[:, 0], values[:, 0]), samples[taken, np.arange(len(drawn))]


def _curves(sizes: Floats, errors: Floats, targets: Floats) -> tuple[Floats, Floats]:
    """Fit a + b · size^-c for each power to errors (B, S); return the curves at the targets (P, B, T) and their weights (P, B)."""
    curves, weights = [], []
    share = sizes / sizes.sum()
    for power in POWERS:
        falls = sizes**-power
        middle, level = share @ falls, errors @ share
        slope = (errors - level[:, None]) @ (share * (falls - middle)) / (share @ (falls - middle) ** 2)
        floor = level - slope * middle
        slope = np.where(floor < 0, errors @ (share * falls) / (share @ falls**2), slope)
        floor = np.maximum(floor, 0)
        deviation = ((errors - floor[:, None] - slope[:, None] * falls) ** 2) @ share
        curves.append(floor[:, None] + slope[:, None] * targets**-power)
        weights.append(1 / (deviation + 1e-8) ** 2)
    table = np.array(weights)
    return np.clip(np.array(curves), 0, 1), table / table.sum(0)


def _change(value: float, samples: Floats, units: int) -> tuple[Estimate, bool]:
    """Return a change with its interval, and whether it is a fall beyond doubt."""
    if units < 2:
        return estimate(float(value)), False
    low, high = (float(end) for end in percentile_interval(samples, units, wider=WIDER))
    return estimate(float(value), min(low, float(value)), max(high, float(value))), high < -SMALLEST_FALL


def _level(value: float, samples: Floats, units: int, count: int) -> Estimate:
    """Return an error with the wider of the bootstrap's interval and Wilson's, which knows that none of few is not none of all."""
    low, high = (float(end) for end in percentile_interval(samples, units))
    least, most = (float(end) for end in wilson(value, count))
    return estimate(float(value), min(low, least), max(high, most)) if units > 1 else estimate(float(value))
