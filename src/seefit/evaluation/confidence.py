"""What held-out images tell of scores: how far they are off, and what keeping silent below one gives; for bundles."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from seefit.bundle.confidence import Confidence, Point, ScoreBin, Share
from seefit.evaluation.calibrate import calibration_errors, confidence_bins, reliability
from seefit.evaluation.facts import number_units
from seefit.evaluation.intervals import Estimate, estimate, mirrored, percentile_interval, resamples
from seefit.evaluation.means import mean_estimate
from seefit.evaluation.selective import selective_curve


def fit_confidence(
    probabilities: ArrayLike, labels: ArrayLike, groups: ArrayLike | None = None, *, replicates: int = 1000, seed: int = 0
) -> Confidence:
    """Return what images that the model did not learn from tell of its scores.

    Args:
        probabilities: (N, C) calibrated, with N at least 1.
        labels: (N,) class numbers.
        groups: (N,) int: images of one group are not independent; None for independent images.
        replicates: How many resamples each bootstrap takes.
        seed: Of these, and of the order of images that are equally sure.
    """
    table, truth = np.asarray(probabilities, np.float64), np.asarray(labels, np.intp)
    sure, right = table.max(axis=1), table.argmax(axis=1) == truth
    places, units = confidence_bins(sure), None if groups is None else np.asarray(groups)
    bins = []
    for number, one in zip(np.unique(places), reliability(table, truth), strict=True):
        inside = places == number
        found = mean_estimate(right[inside], None if units is None else units[inside], replicates=replicates, seed=seed)
        bins.append(ScoreBin(one.low, one.high, one.images, one.confidence, _share(found)))
    curve = selective_curve(sure, right, groups=groups, replicates=replicates, seed=seed)
    least = -np.sort(-sure)[np.rint(curve.shares * len(sure)).astype(np.intp) - 1]
    rows = zip(least, curve.shares, curve.accuracy, curve.low, curve.high, strict=True)
    points = [Point(float(score), float(share), _share(estimate(value, low, high))) for score, share, value, low, high in rows]
    return Confidence(_share(_calibration_error(sure, right, groups, replicates=replicates, seed=seed)), bins, points)


def _calibration_error(sure: ArrayLike, right: ArrayLike, groups: ArrayLike | None, *, replicates: int, seed: int) -> Estimate:
    n = len(np.asarray(sure))
    units = number_units(groups, n)
    value = float(calibration_errors(sure, right, np.ones((n, 1), np.float32))[0])
    drawn = [calibration_errors(sure, right, counts) for counts in resamples(n, units, replicates=replicates, seed=seed)]
    low, high = percentile_interval(np.concatenate(drawn), n if units is None else int(units.max()) + 1)
    return estimate(value, *mirrored(value, float(low), float(high)))


def _share(found: Estimate) -> Share:
    return Share(0.0 if found.value is None else found.value, found.low, found.high)
