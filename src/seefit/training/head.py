"""The head: multinomial logistic regression on features, its strength chosen by cross-validation along a path.

Strengths go from strong to weak; every fit starts from the one before, and the path ends when the folds' loss
rises. With many rows the path is walked on a sample of them, and the folds are fitted at the strength it gives alone.
The head that comes out is one matrix and one bias on raw features.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from seefit.console import QUIET, Console
from seefit.data.split import k_folds
from seefit.environment import threads
from seefit.training.solver import Double, Float, Rotation, Rows, Standardised, cross_entropy, minimise

Index = NDArray[np.intp]
Fold = tuple[Index, Index]
Balance = Literal["none", "balanced", "prior"]
BALANCES: tuple[Balance, ...] = ("none", "balanced", "prior")

STRENGTHS = (100.0, *(float(10.0**e) for e in np.arange(1, -4.1, -0.5)))  # times columns / rows
FOLDS = 5
PATIENCE = 1  # strengths in a row that must do worse before the path ends; the loss along it has one valley
MAX_PATH_ROWS = 2_500  # up to so many rows all folds see every strength; beyond, a stratified sample of the rows does
SAMPLE_ROWS = 4_000
SAMPLE_PER_CLASS = 20  # rows of the sample at least, where there are so many
SAMPLE_FOLDS = 2  # of the sample's folds, so many are held out
MAX_FOLD_WORK = 2e10  # rows x columns x classes of the folds that are scored beyond MAX_PATH_ROWS; at least one is
MAX_LOGITS = 10**8  # rows x classes of a logistic regression; more would take gigabytes and hours
TOLERANCE_PATH = 1e-5
TOLERANCE_FINAL = 1e-7
TOLERANCE_PATH_MANY = 1e-4  # beyond MAX_PATH_ROWS, where a step costs much: the loss of held-out rows changes by a 200th
TOLERANCE_FINAL_MANY = 1e-6


@dataclass(frozen=True)
class PathPoint:
    """One strength along the path and what the folds say of it.

    Attributes:
        strength: Of the penalty.
        nll: Mean loss of held-out images in nats.
        nll_se: Its standard error.
        balanced_accuracy: Of held-out images.
        train_nll: Mean loss of the images that the folds were fitted on.
        train_balanced_accuracy: Likewise.
        nll_gap: Mean over the folds of the distance between both losses of a fold.
        accuracy_gap: Likewise of its accuracies, which count every image the same.
    """

    strength: float
    nll: float
    nll_se: float
    balanced_accuracy: float
    train_nll: float
    train_balanced_accuracy: float
    nll_gap: float
    accuracy_gap: float


@dataclass(frozen=True)
class Hidden:
    """A hidden layer with ReLU: (U, D) float32 weights on raw features and (U,) float32 bias."""

    weight: Float
    bias: Float


@dataclass(frozen=True)
class Head:
    """A linear head, ready for the graph.

    Attributes:
        weight: (C, D) float32 on raw features; (C, U) on those of the hidden layer where there is one.
        bias: (C,) float32.
        method: ``logistic`` or ``nearest-mean``; of a head that was trained step by step ``finetuned``, ``hidden`` or ``logit``.
        strength: Of the ridge penalty on standardised features; 0 for all but ``logistic``.
        path: What cross-validation saw, from strong to weak; empty for all but ``logistic``.
        fold_rows: Rows of the training part that have out-of-fold logits, ascending.
        fold_logits: (len(fold_rows), C) out-of-fold logits at the chosen strength.
        fold_numbers: (len(fold_rows),) the fold that held each of them out.
        folds: How many folds were scored.
        hidden: A layer in front; None without one.
    """

    weight: Float
    bias: Float
    method: str
    strength: float
    path: tuple[PathPoint, ...] = ()
    fold_rows: Index = field(default_factory=lambda: np.empty(0, np.intp))
    fold_logits: Float = field(default_factory=lambda: np.empty((0, 0), np.float32))
    fold_numbers: Index = field(default_factory=lambda: np.empty(0, np.intp))
    folds: int = 0
    hidden: Hidden | None = None

    def seen(self, features: Float) -> Float:
        """Return what the linear layer sees of (N, D) features: themselves, or (N, U) of a hidden layer."""
        return features if self.hidden is None else np.maximum(features @ self.hidden.weight.T + self.hidden.bias, 0)

    def logits(self, features: Float) -> Float:
        """Return (N, C) logits, before temperature, of (N, D) features."""
        return self.seen(features) @ self.weight.T + self.bias


def fit_head(
    features: Float,
    targets: Float,
    *,
    weights: Double | None = None,
    units: NDArray[np.int64] | None = None,
    balance: Balance = "none",
    seed: int = 0,
    console: Console = QUIET,
) -> Head:
    """Fit the head on the training part.

    Args:
        features: (N, D) float32.
        targets: (N, C) float32, one-hot or soft; rows sum to 1.
        weights: (N,) sample weights, at least 0; ones when None.
        units: (N,) images with one number stay in one fold; each alone when None.
        balance: ``balanced`` weighs classes inversely to their share; ``prior`` fits as it is and then shifts
            the logits to equal shares (logit adjustment, Menon et al. 2021, section 4.1); ``none`` does neither.
        seed: Of the folds.
        console: Where to show progress.

    Returns:
        The head: logistic regression, or nearest-mean (Mensink et al. 2013) where most classes are too small
        to be cross-validated, or the classes are too many.
    """
    labels = targets.argmax(1)
    rows_count = len(labels)
    weights = np.ones(rows_count) if weights is None else np.asarray(weights, np.float64)
    if not weights.sum() > 0:
        weights = np.ones(rows_count)
    if balance == "balanced":
        weights = balanced_weights(targets, labels, weights)
    scale = Standardised.of(features)
    folds = make_folds(labels, np.arange(rows_count) if units is None else units, seed) if targets.size <= MAX_LOGITS else []
    if not folds:
        return _nearest_mean(features, labels, targets.shape[1], weights, scale)  # knows no prior that could be taken out
    head = _logistic(features, targets, weights, scale, folds, seed, console)
    return without_prior(head, class_shares(targets, weights)) if balance == "prior" else head


def class_shares(targets: Float, weights: Double) -> Double:
    """Return the (C,) weighted share of each class."""
    mass = weights @ targets
    return np.asarray(mass / mass.sum(), np.float64)


def balanced_weights(targets: Float, labels: Index, weights: Double) -> Double:
    """Return (N,) weights divided by the weighted share of each image's class: rare classes count as much as common ones."""
    return weights / np.maximum(class_shares(targets, weights), 1e-12)[labels]


def make_folds(labels: Index, units: NDArray[np.int64], seed: int) -> list[Fold]:
    """Return stratified folds that never tear a unit, or none where most classes have a single unit or cannot be separated.

    Classes with a single unit cannot be held out: they stay in every fold's training side, but for the folds that hold
    out other images of that unit.
    """
    pairs = np.unique(np.stack([labels, units]), axis=1)[0]
    sizes = np.bincount(pairs, minlength=int(labels.max()) + 1)
    present = sizes[sizes > 0]
    if len(present) < 2 or np.median(present) < 2:
        return []
    rows = np.flatnonzero(sizes[labels] >= 2)
    single = np.flatnonzero(sizes[labels] < 2)
    k = min(FOLDS, int(sizes[sizes >= 2].min()))
    try:
        inner = k_folds(labels[rows], units[rows], k=k, seed=seed)
    except ValueError:  # the units hold the classes in such a mixture that one class would be in a single fold
        return []
    folds = []
    for train, test in inner:
        apart = single[~np.isin(units[single], units[rows[test]])]
        folds.append((np.sort(np.concatenate([rows[train], apart])), np.sort(rows[test])))
    return folds


def _logistic(
    features: Float, targets: Float, weights: Double, scale: Standardised, folds: list[Fold], seed: int, console: Console
) -> Head:
    if len(features) > MAX_PATH_ROWS:
        return _logistic_of_many(features, targets, weights, scale, folds, seed, console)
    rows = scale.apply(features)
    rotation = Rotation.of(rows) if len(features) < features.shape[1] else None
    rows = rows if rotation is None else rotation.rows
    with workers() as pool:
        path, logits, starts = _walk_path(rows, targets, weights, _strengths(features), folds, pool, console, tolerance=TOLERANCE_PATH)
        best = _best(path)
        solution = minimise(Rows(rows), targets, weights, path[best].strength, starts[best], tolerance=TOLERANCE_FINAL)
    weight, bias = scale.raw(solution[:-1] if rotation is None else rotation.back(solution[:-1]), solution[-1])
    return _head(weight, bias, path, folds, logits[best])


def _logistic_of_many(
    features: Float, targets: Float, weights: Double, scale: Standardised, folds: list[Fold], seed: int, console: Console
) -> Head:
    """Choose the strength on a sample of the rows; then score the folds, and fit, at that strength alone."""
    with workers() as pool:
        path = _sampled_path(features, targets, weights, scale, folds, seed, pool, console)
        strength = path[_best(path)].strength
        rows = Rows(features, scale, pool)
        folds = folds[: max(1, int(MAX_FOLD_WORK / (features.size * targets.shape[1])))]
        logits, start = _score_folds(rows, targets, weights, strength, folds, console)
        solution = minimise(rows, targets, weights, strength, start, tolerance=TOLERANCE_FINAL_MANY)
    return _head(*scale.raw(solution[:-1], solution[-1]), path, folds, logits)


@contextlib.contextmanager
def workers() -> Iterator[Executor]:
    """Give the threads that seefit may use, with one BLAS thread each: products with a few columns are too small to be shared."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "blas"), ThreadPoolExecutor(threads()) as pool:
        yield pool


def _head(weight: Float, bias: Float, path: list[PathPoint], folds: list[Fold], logits: Float) -> Head:
    scored = np.concatenate([test for _, test in folds])
    order = np.argsort(scored)
    numbers = np.repeat(np.arange(len(folds)), [len(test) for _, test in folds])
    strength = path[_best(path)].strength
    return Head(weight, bias, "logistic", strength, tuple(path), scored[order], logits[order], numbers[order], len(folds))


def _strengths(features: Float) -> list[float]:
    return [s * features.shape[1] / len(features) for s in STRENGTHS]


def _best(path: Sequence[PathPoint]) -> int:
    return int(np.argmin([point.nll for point in path]))


def _sampled_path(
    features: Float,
    targets: Float,
    weights: Double,
    scale: Standardised,
    folds: list[Fold],
    seed: int,
    pool: Executor,
    console: Console,
) -> list[PathPoint]:
    """Walk the path on a sample of the rows; the best strength falls with the number of rows as 1/n, so it is told for all rows."""
    sample, inside = _sample(targets, folds, seed)
    rows = features[sample]
    inside, tolerance = inside[:SAMPLE_FOLDS], TOLERANCE_PATH_MANY
    path, _, _ = _walk_path(
        scale.apply(rows), targets[sample], weights[sample], _strengths(rows), inside, pool, console, tolerance=tolerance
    )
    return [replace(point, strength=point.strength * len(sample) / len(features)) for point in path]


def _sample(targets: Float, folds: list[Fold], seed: int) -> tuple[Index, list[Fold]]:
    """Draw rows, keeping the shares of folds and classes; return them and the folds among them."""
    count, classes = targets.shape
    held_out_by = np.full(count, -1)
    for i, (_, test) in enumerate(folds):
        held_out_by[test] = i
    chance = np.random.default_rng(seed).permutation(count)
    order = np.lexsort((chance, targets.argmax(1), held_out_by))
    wanted = min(count, max(SAMPLE_ROWS, SAMPLE_PER_CLASS * classes))
    sample = np.sort(order[np.linspace(0, count - 1, wanted).astype(np.intp)])
    inside = [(np.flatnonzero(np.isin(sample, train)), np.flatnonzero(np.isin(sample, test))) for train, test in folds]
    return sample, [fold for fold in inside if len(fold[1])]


def _score_folds(rows: Rows, targets: Float, weights: Double, strength: float, folds: list[Fold], console: Console) -> tuple[Float, Double]:
    """Fit all folds at one strength side by side, without a copy of the rows: those held out have no weight.

    The start is zero: a solution that saw the held-out rows would leave a trace of them.

    Returns:
        The out-of-fold logits, in the order of the folds, and the mean of the folds' solutions.
    """
    kept = np.zeros((len(weights), len(folds)))
    for column, (train, _) in zip(kept.T, folds, strict=True):
        column[train] = weights[train] if weights[train].any() else 1
    with console.bar("Scoring held-out images", 1, "fits") as advance:
        start = np.zeros((rows.array.shape[1] + 1, len(folds) * targets.shape[1]))
        solutions = np.hsplit(minimise(rows, targets, kept, strength, start, tolerance=TOLERANCE_PATH_MANY), len(folds))
        advance(1)
    held_out = [Rows(rows.array[test], rows.scale) for _, test in folds]
    logits = [
        part.times(found[:-1].astype(np.float32)) + found[-1].astype(np.float32) for part, found in zip(held_out, solutions, strict=True)
    ]
    return np.concatenate(logits), np.mean(solutions, axis=0)


def _walk_path(
    rows: Float,
    targets: Float,
    weights: Double,
    strengths: Sequence[float],
    folds: list[Fold],
    pool: Executor,
    console: Console,
    *,
    tolerance: float,
) -> tuple[list[PathPoint], list[Float], list[Double]]:
    """Fit every fold at each strength, strong to weak, folds side by side.

    Returns:
        For each strength: what was seen, the out-of-fold logits, and the mean of the folds' solutions.
    """
    solutions = [np.zeros((rows.shape[1] + 1, targets.shape[1])) for _ in folds]
    sides = [Rows(rows[train]) for train, _ in folds]
    learnt, truth = (np.concatenate([targets[side].argmax(1) for side in part]) for part in zip(*folds, strict=True))
    path: list[PathPoint] = []
    logits: list[Float] = []
    starts: list[Double] = []

    def fit(i: int) -> tuple[Float, float, Index, float, float]:
        train, test = folds[i]
        counts = weights[train] if weights[train].any() else np.ones(len(train))
        solutions[i] = minimise(sides[i], targets[train], counts, strength, solutions[i], tolerance=tolerance)
        weight, bias = solutions[i][:-1].astype(np.float32), solutions[i][-1].astype(np.float32)
        known, out = sides[i].times(weight) + bias, rows[test] @ weight + bias
        losses = cross_entropy(out, targets[test], weights[test]), cross_entropy(known, targets[train], counts)
        gap = _accuracy(known, targets[train]) - _accuracy(out, targets[test])
        return out, losses[0], known.argmax(1), losses[1], gap

    with console.bar("Choosing the strength", len(strengths) * len(folds), "fits") as advance:
        for strength in strengths:
            found = list(pool.map(fit, range(len(folds))))
            advance(len(folds))
            outs, losses, known, train_losses, gaps = zip(*found, strict=True)
            logits.append(np.concatenate(outs))
            starts.append(np.mean(solutions, axis=0))
            se = float(np.std(losses, ddof=1) / np.sqrt(len(losses))) if len(losses) > 1 else 0.0
            held_out = float(np.mean(losses)), se, _balanced_accuracy(logits[-1].argmax(1), truth)
            train = float(np.mean(train_losses)), _balanced_accuracy(np.concatenate(known), learnt)
            apart = float(np.mean(np.abs(np.subtract(train_losses, losses)))), float(np.mean(np.abs(gaps)))
            path.append(PathPoint(strength, *held_out, *train, *apart))
            if len(path) - 1 - int(np.argmin([point.nll for point in path])) >= PATIENCE:
                break
    return path, logits, starts


def _nearest_mean(features: Float, labels: Index, classes: int, weights: Double, scale: Standardised) -> Head:
    """Fit class means of standardised features; minus half the squared distance is linear in the features.

    The logits are divided by the mean squared distance of a mean from the centre, so that one temperature can
    calibrate them whatever the number of features.
    """
    standardised = scale.apply(features)
    sums = np.zeros((classes, features.shape[1]), np.float32)
    np.add.at(sums, labels, standardised * weights.astype(np.float32)[:, None])
    means = sums / np.maximum(np.bincount(labels, weights, classes), 1e-12).astype(np.float32)[:, None]
    norms = (means.astype(np.float64) ** 2).sum(1)
    spread = max(float(norms.mean()), 1e-12)
    weight, bias = scale.raw(means.T.astype(np.float64) / spread, -norms / 2 / spread)
    return Head(weight, bias, "nearest-mean", 0.0)


def without_prior(head: Head, shares: Double) -> Head:
    """Return the head with its logits shifted to equal class shares: less the logarithm of the (C,) training shares."""
    shift = np.log(np.maximum(shares, 1e-12)).astype(np.float32)
    logits = head.fold_logits - shift if head.fold_logits.size else head.fold_logits
    return replace(head, bias=head.bias - shift, fold_logits=logits)


def _accuracy(logits: Float, targets: Float) -> float:
    return float((logits.argmax(1) == targets.argmax(1)).mean())


def _balanced_accuracy(predicted: Index, truth: Index) -> float:
    present, counts = np.unique(truth, return_counts=True)
    hits = np.bincount(truth, predicted == truth)[present]
    return float(np.mean(hits / counts))
