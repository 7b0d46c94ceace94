"""The mean of a value over images, such as a share, with its 95 % interval."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from seefit.evaluation.facts import number_units
from seefit.evaluation.intervals import Estimate, estimate, percentile_interval, resamples, wilson
from seefit.evaluation.roc import column_sums


def mean_estimate(values: ArrayLike, groups: ArrayLike | None = None, *, replicates: int = 1000, seed: int = 0) -> Estimate:
    """Return the mean of a value with its interval: Wilson's for yes and no, the bootstrap's for anything else and for groups.

    Args:
        values: (N,) bool or float.
        groups: (N,) int: images of one group are not independent, so whole groups are resampled; None for independent images.
        replicates: How many resamples the bootstrap takes.
        seed: Of the bootstrap.

    Returns:
        The mean; without a value where there is no image.
    """
    table = np.asarray(values)
    if not len(table):
        return Estimate(None)
    share, numbers = table.dtype == np.bool_, table.astype(np.float64)
    value, units = float(numbers.mean()), number_units(groups, len(numbers))
    low, high = (float(end) for end in wilson(value, len(numbers))) if share else (np.nan, np.nan)
    if units is not None or not share:
        drawn = resamples(len(numbers), units, replicates=replicates, seed=seed)
        means = np.concatenate([column_sums([numbers], counts)[0] / counts.sum(axis=0) for counts in drawn])
        ends = percentile_interval(means, len(numbers) if units is None else int(units.max()) + 1)
        low, high = float(np.fmin(low, ends[0])), float(np.fmax(high, ends[1]))
    return estimate(value, low, high)
