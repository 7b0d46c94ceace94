"""Many heads on frozen features, fast: one rotation for all folds, which knows no labels; one strength per arm; folds side by side.

Every head starts from zero, never from one that has seen the images it is judged on. What is shared between folds:

- the rotation and the scale of the features, found from images alone, without a label;
- one number, the strength of the penalty, chosen by a cross-validation of its own over the same images, on folds that are none of the
  study's, and one temperature from its out-of-fold scores. A single number on a curve with one flat valley carries next to nothing of a
  single label (docs/LOG.md); and all arms are treated alike.

With augmentation an image has several views. All of them stay in its fold: a head is fitted on the views of its training images and
judged on the held-out images as they are, as `seefit predict` will see them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from seefit.data.split import k_folds
from seefit.evaluation.calibrate import fit_temperature
from seefit.evaluation.forecast import FEW_ROWS, turn
from seefit.studies.folds import Fold
from seefit.training.head import STRENGTHS, Head, workers
from seefit.training.solver import Double, Float, Rows, Standardised, cross_entropy, minimise

Ints = NDArray[np.intp]
INNER_FOLDS = 5
INNER_SEED = 104_729  # far from the seeds of the study's own folds
TOLERANCE_PATH, TOLERANCE = 1e-5, 1e-6
DIRECTIONS = FEW_ROWS  # that are kept of the features, of all arms alike


@dataclass(frozen=True)
class Probe:
    """What all folds of an arm share.

    Attributes:
        rows: (N V, k) float32, the V views of an image one after another, the first of them the image itself.
        views: V.
        targets: (N, C) float32 to learn.
        weights: (N,) at least 0, to learn with.
        strength: Of the penalty, times images that it was chosen for.
        shift: (C,) taken from the logits.
        temperature: Divides the logits.
        scale: How features are standardised.
        matrix: (D, k), takes standardised features to the rows.
    """

    rows: Float
    views: int
    targets: Float
    weights: Double
    strength: float
    shift: Float
    temperature: float
    scale: Standardised
    matrix: Float

    def head(self) -> Head:
        """Return a head on raw features, fitted on all images: for the check of the engine, judged by nobody."""
        start = np.zeros((self.rows.shape[1] + 1, self.targets.shape[1]))
        own, some = self.rows[:: self.views], self.strength / len(self.targets)
        with workers():
            solution = minimise(Rows(own), self.targets, _usable(self.weights), some, start, tolerance=TOLERANCE_PATH)
        weight, bias = self.scale.raw(self.matrix @ solution[:-1], solution[-1] - self.shift)
        return Head(weight, bias, "logistic", some)


@dataclass(frozen=True)
class Answers:
    """What a head says of one fold.

    Attributes:
        held_out: (H, C) logits, divided by the temperature, of the held-out images.
        known: (T, C) likewise of the images it was fitted on.
        seconds: That fitting took, on one core.
    """

    held_out: Float
    known: Float
    seconds: float


def make_probe(
    features: Float, views: int, targets: Float, *, weights: Double, units: NDArray[np.int64], shift: Float | None = None, seed: int = 0
) -> Probe:
    """Rotate the features of an arm and choose its strength and temperature.

    Args:
        features: (N V, D) float32, the V views of an image one after another.
        views: V.
        targets: (N, C) float32, one-hot.
        weights: (N,) at least 0.
        units: (N,) images of one number stay together.
        shift: (C,) to take from the logits; nothing when None.
        seed: Of the folds for the choice.
    """
    rows, scale, matrix = turn(features, DIRECTIONS)
    shift = np.zeros(targets.shape[1], np.float32) if shift is None else shift
    labels = targets.argmax(1)
    inner = _inner_folds(labels, units, seed + INNER_SEED)
    strengths = [strength * features.shape[1] / len(targets) for strength in STRENGTHS]
    strength, logits = _choose(rows, views, targets, weights, inner, strengths)
    learnt = float(np.mean([len(train) for train, _ in inner]))
    temperature = fit_temperature(logits - shift, labels, weights)
    return Probe(rows, views, targets, weights, strength * learnt, shift, temperature, scale, matrix)


def _inner_folds(labels: NDArray[np.intp], units: NDArray[np.int64], seed: int) -> list[tuple[Ints, Ints]]:
    """Return folds for the choice of the strength; fewer where groups hold the classes in such a mixture that five cannot be."""
    for k in range(INNER_FOLDS, 2, -1):
        with contextlib.suppress(ValueError):
            return k_folds(labels, units, k=k, seed=seed)
    return k_folds(labels, units, k=2, seed=seed)


def _choose(
    rows: Float, views: int, targets: Float, weights: Double, folds: Sequence[tuple[Ints, Ints]], strengths: Sequence[float]
) -> tuple[float, Float]:
    """Return the strength with the lowest loss on held-out images, and their logits (N, C); from strong to weak until it rises."""
    sides = [(_all_views(train, views), _usable(weights[train])) for train, _ in folds]
    solutions = [np.zeros((rows.shape[1] + 1, targets.shape[1])) for _ in folds]
    logits, best, lowest = np.empty_like(targets), strengths[0], np.inf

    def fit(i: int) -> None:
        some, own = sides[i]
        part = np.repeat(targets[folds[i][0]], views, axis=0)
        solutions[i] = minimise(Rows(rows[some]), part, np.repeat(own, views), strength, solutions[i], tolerance=TOLERANCE_PATH)

    with workers() as pool:
        for strength in strengths:
            list(pool.map(fit, range(len(folds))))
            found = np.empty_like(targets)
            for (_, held_out), solution in zip(folds, solutions, strict=True):
                found[held_out] = _logits(rows[held_out * views], solution)
            loss = cross_entropy(found, targets, weights)
            if loss >= lowest:
                break
            logits, best, lowest = found, strength, loss
    return best, logits


def fit_folds(probe: Probe, folds: Sequence[Fold], learnt: Callable[[Fold], Ints], targets: Float | None = None) -> Iterator[Answers]:
    """Fit a head on each fold, as many at once as there are cores.

    Args:
        probe: What the folds share.
        folds: Of the study.
        learnt: Gives the positions of the images that a fold learns from.
        targets: (N, C) to learn instead of the probe's own, such as corrected ones.

    Yields:
        The answers of each fold, in order.
    """
    taught = probe.targets if targets is None else targets

    def fit(fold: Fold) -> Answers:
        started, some = perf_counter(), learnt(fold)
        rows = Rows(probe.rows[_all_views(some, probe.views)])
        part = np.repeat(taught[some], probe.views, axis=0)
        own = np.repeat(_usable(probe.weights[some]), probe.views)
        start = np.zeros((probe.rows.shape[1] + 1, taught.shape[1]))
        solution = minimise(rows, part, own, probe.strength / len(some), start, tolerance=TOLERANCE)
        seconds = perf_counter() - started
        held_out, known = (
            np.asarray((_logits(probe.rows[index * probe.views], solution) - probe.shift) / probe.temperature, np.float32)
            for index in (fold.held_out, some)
        )
        return Answers(held_out, known, seconds)

    with workers() as pool:
        yield from pool.map(fit, folds)


def _all_views(index: Ints, views: int) -> Ints:
    return np.asarray((index[:, None] * views + np.arange(views)).ravel(), np.intp)


def _usable(weights: Double) -> Double:
    return weights if weights.any() else np.ones(len(weights))


def _logits(rows: Float, solution: Double) -> Float:
    return np.asarray(rows @ solution[:-1].astype(np.float32) + solution[-1].astype(np.float32), np.float32)
