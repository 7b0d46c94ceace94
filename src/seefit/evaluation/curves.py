"""ROC and precision-recall curves with 95 % bands, of one class against the rest and of the mean over classes.

A band is pointwise: at each false-alarm rate (ROC) or recall (precision-recall) the expanded percentile interval of the bootstrap over
images or whole groups, and never less than Wilson's interval of the proportion drawn there, for the reasons given in
`seefit.evaluation.metrics`. Curves are averaged over classes at equal false-alarm rate or recall (vertical averaging, Fawcett 2006, "An
introduction to ROC analysis", section 8.1).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seefit.evaluation.facts import number_units
from seefit.evaluation.intervals import Estimate, Floats, Ints, effective_size, estimate, percentile_interval, resamples, wilson
from seefit.evaluation.roc import RankedClass, class_aucs, divide, ranked_classes, row_sums

GRID: Floats = np.linspace(0, 1, 101)  # false-alarm rates of a ROC curve, recalls of a precision-recall curve
REPLICATES = 500
FEWEST_REPLICATES = 100
_WORK = 10**8  # images x classes x resamples
_CURVES = 10_000  # classes x resamples


@dataclass(frozen=True)
class Band:
    """A curve on `GRID` with its 95 % band; all (G,), the ends NaN where nothing tells them."""

    value: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class ClassCurves:
    """The curves of one class against the rest, or of the mean over classes.

    Attributes:
        number: Of the class; -1 for the mean.
        positives: Its images.
        share: Its share of the images: the precision of naming everything so.
        roc: Share found at each false-alarm rate.
        precision: Share right when named, at each share found.
        average_precision: The area under the second, as scikit-learn has it.
        auc: The area under the first.
    """

    number: int
    positives: int
    share: float
    roc: Band
    precision: Band
    average_precision: Estimate
    auc: Estimate


def class_curves(
    probabilities: NDArray[np.floating[Any]],
    labels: Ints,
    *,
    groups: NDArray[np.integer[Any]] | None = None,
    seed: int = 0,
    replicates: int = REPLICATES,
) -> tuple[list[ClassCurves], ClassCurves | None]:
    """Return the curves of every class that has images, and those of their mean.

    Args:
        probabilities: (N, C).
        labels: (N,) class numbers.
        groups: (N,) groups that are resampled whole; None for independent images.
        seed: Of the bootstrap.
        replicates: Resamples; fewer where N and C are large, and no bands where that would leave less than 100.

    Returns:
        One entry per class with images, and the mean over them; the mean is None where fewer than two classes have images.
    """
    n, classes = probabilities.shape
    units = number_units(groups, n)
    rounds = min(replicates, _CURVES // classes, _WORK // (n * classes))
    drawn = _draws(n, units, rounds, seed) if rounds >= min(FEWEST_REPLICATES, replicates) else np.ones((n, 1), np.float32)
    independent = n if units is None else int(units.max()) + 1
    images = np.bincount(labels, minlength=classes)
    present = int((images > 0).sum())
    if present < 2:
        return [], None
    found, mean = [], _Mean(drawn.shape[1])
    for ranks, sampled in _sampled(probabilities, labels, drawn):
        found.append(_curves_of(ranks.number, int(images[ranks.number]), n, sampled, independent))
        mean.add(sampled)
    return found, mean.curves(images[images > 0], independent)


@dataclass(frozen=True)
class _Sampled:
    """Curves of the images themselves (column 0) and of every resample: all (G, 1 + R) but the last two (1 + R,).

    ``called`` is the number of images that the point of the precision-recall curve names so, (G,).
    """

    roc: Floats
    precision: Floats
    called: Floats
    average_precision: Floats
    auc: Floats


def _draws(n: int, units: Ints | None, rounds: int, seed: int) -> NDArray[np.float32]:
    """Return (N, 1 + R): every image once, then the resamples."""
    once = np.ones((n, 1), np.float32)
    return np.concatenate([once, *resamples(n, units, replicates=rounds, seed=seed)], axis=1)


def _sampled(probabilities: NDArray[np.floating[Any]], labels: Ints, drawn: NDArray[np.float32]) -> Iterator[tuple[RankedClass, _Sampled]]:
    for ranks in ranked_classes(probabilities, labels):
        fp, tp = vertices(ranks, drawn)
        roc = np.stack([_roc(fp[:, i], tp[:, i]) for i in range(drawn.shape[1])], axis=1)
        points = [_precision(fp[:, i], tp[:, i]) for i in range(drawn.shape[1])]
        precision = np.stack([at for at, _, _ in points], axis=1)
        areas = class_aucs([ranks], probabilities.shape[1], drawn)[ranks.number]
        yield ranks, _Sampled(roc, precision, points[0][1], np.array([area for *_, area in points]), areas)


def vertices(ranks: RankedClass, counts: NDArray[np.float32]) -> tuple[Floats, Floats]:
    """Return the corners of the ROC curve of one class, from the highest score to the lowest.

    Args:
        ranks: How the class ranks the N images.
        counts: (N, R) how often each image is drawn.

    Returns:
        False and true positives (2 T + 2, R) for the T different scores of the class's own images. Odd places are thresholds: all with
        that score or more are named so. Between them the curve is straight, as ties are.
    """
    split = 2 * ranks.levels + 1
    sums = row_sums(ranks.rows, split + ranks.levels, counts).astype(np.float64)
    others = np.cumsum(sums[split - 1 :: -1], axis=0)  # from the highest: row 2 k is above level T - 1 - k, row 2 k + 1 ties with it
    own = np.repeat(np.cumsum(sums[: split - 1 : -1], axis=0), 2, axis=0)
    own = np.concatenate([np.zeros((1, counts.shape[1])), own])
    start = np.zeros((1, counts.shape[1]))
    return np.concatenate([start, others]), np.concatenate([start, own])


def _roc(fp: Floats, tp: Floats) -> Floats:
    if fp[-1] == 0 or tp[-1] == 0:
        return np.full(len(GRID), np.nan)
    shares: Floats = np.interp(GRID, fp / fp[-1], tp / tp[-1])
    return shares


def _precision(fp: Floats, tp: Floats) -> tuple[Floats, Floats, float]:
    """Return precision at each recall of `GRID`, the images named so there, and the average precision."""
    if tp[-1] == 0:
        return np.full(len(GRID), np.nan), np.zeros(len(GRID)), np.nan
    right, called = tp[2::2], tp[2::2] + fp[2::2]
    precision = divide(right, called)
    places = np.searchsorted(right, GRID * tp[-1] - 1e-9)
    known = right > 0
    area = float(np.nansum(np.diff(right[known], prepend=0) * precision[known]) / tp[-1])
    places = np.maximum(places, int(known.argmax()))  # recall 0: the first threshold that finds one
    return precision[places], called[places], area


def _curves_of(number: int, positives: int, n: int, sampled: _Sampled, units: int) -> ClassCurves:
    trials = 4 * min(positives, n - positives)
    return ClassCurves(
        number,
        positives,
        positives / n,
        _band(sampled.roc, np.full(len(GRID), float(positives)), units),
        _band(sampled.precision, sampled.called, units),
        _area(sampled.average_precision, float(positives), units),
        _area(sampled.auc, float(trials), units),
    )


def _band(sampled: Floats, trials: Floats, units: int) -> Band:
    value = sampled[:, 0]
    low, high = wilson(value, trials)
    if sampled.shape[1] > 1:
        ends = percentile_interval(sampled[:, 1:].T, units)
        return Band(value, np.minimum(low, ends[0]), np.maximum(high, ends[1]))  # NaN where one of them is
    return Band(value, np.full_like(low, np.nan), np.full_like(high, np.nan))


def _area(sampled: Floats, trials: float, units: int) -> Estimate:
    value = float(sampled[0])
    if len(sampled) == 1 or np.isnan(value):
        return estimate(value)
    (low, high), (least, most) = percentile_interval(sampled[1:], units), wilson(value, trials)
    return estimate(value, float(np.minimum(low, least)), float(np.maximum(high, most)))


class _Mean:
    """Sums the curves of the classes: 100 classes need not be kept side by side."""

    def __init__(self, columns: int) -> None:
        self._sums: dict[str, Floats] = {}
        self._known: dict[str, Floats] = {}
        self._shares = np.zeros(len(GRID))  # of 1 / called, for the effective number behind a mean of proportions
        self._columns = columns

    def add(self, sampled: _Sampled) -> None:
        for name in ("roc", "precision", "average_precision", "auc"):
            values = getattr(sampled, name)
            known = ~np.isnan(values)
            self._sums[name] = self._sums.get(name, 0.0) + np.where(known, values, 0)
            self._known[name] = self._known.get(name, 0.0) + known
        self._shares += 1 / np.maximum(sampled.called, 1)

    def curves(self, images: Sequence[int] | Ints, units: int) -> ClassCurves:
        mean = {name: divide(sums, self._known[name]) for name, sums in self._sums.items()}
        behind = effective_size(images)
        return ClassCurves(
            -1,
            int(np.sum(images)),
            1 / len(images),
            _band(mean["roc"], np.full(len(GRID), behind), units),
            _band(mean["precision"], len(images) ** 2 / self._shares, units),
            _area(mean["average_precision"], behind, units),
            _area(mean["auc"], behind, units),
        )
