"""Whether acting on a model pays: decision curves (Vickers & Elkin 2006, "Decision curve analysis").

Whoever acts from a probability t on accepts (1 - t) / t false alarms for a find. So at each t a model is worth its finds less its false
alarms at that rate, and is held against acting on every image and acting on none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seefit.evaluation.decide import make_blocks, resampled
from seefit.evaluation.facts import number_units
from seefit.evaluation.intervals import Estimate, Floats, Ints, estimate, percentile_interval

MOST_CLASSES = 100  # that a curve is drawn of
THRESHOLDS: Floats = np.round(np.arange(0.1, 0.901, 0.01), 2)  # from 9 false alarms for a find to 9 finds for a false alarm


def net_benefit(tp: ArrayLike, fp: ArrayLike, images: ArrayLike, thresholds: ArrayLike) -> Floats:
    """Return the net benefit of acting on what is named so.

    Args:
        tp: (…, T) finds.
        fp: (…, T) false alarms.
        images: (…, 1) images.
        thresholds: (T,) in (0, 1).

    Returns:
        (…, T) finds per image, less false alarms times t / (1 - t).
    """
    t = np.asarray(thresholds, np.float64)
    return np.asarray((np.asarray(tp) - np.asarray(fp) * t / (1 - t)) / np.asarray(images), np.float64)


@dataclass(frozen=True)
class DecisionCurve:
    """Net benefit over `THRESHOLDS`, all (T,), of one class or the mean over classes.

    Attributes:
        model: Of acting on the model.
        low: Lower ends of its 95 % interval, NaN where nothing tells them.
        high: Upper ends.
        everything: Of acting on every image. Acting on none has 0.
        area: Mean of ``model`` over the thresholds.
        gain: The same, less that of the better of everything and nothing at each threshold, with its 95 % interval.
    """

    model: Floats
    low: Floats
    high: Floats
    everything: Floats
    area: float
    gain: Estimate


def decision_curves(
    probabilities: NDArray[np.floating[Any]],
    labels: Ints,
    chosen: Sequence[int],
    *,
    groups: NDArray[np.integer[Any]] | None = None,
    seed: int = 0,
) -> tuple[DecisionCurve, list[DecisionCurve]]:
    """Return the mean decision curve of some classes, each against the rest, and that of each.

    Args:
        probabilities: (N, C).
        labels: (N,) class numbers.
        chosen: Classes, one at least.
        groups: (N,) groups that are resampled whole; None for independent images.
        seed: Of the bootstrap.
    """
    units, tables, size = number_units(groups, len(labels)), [], 0
    for number in chosen:
        blocks = make_blocks(probabilities[:, number].astype(np.float64), labels == number, THRESHOLDS, units, seed=seed)
        tp, fp, p, n = resampled(blocks, slice(None), seed=seed)
        everything, size = net_benefit(p, n, p + n, THRESHOLDS), len(blocks.positives)
        tables.append(np.stack([net_benefit(tp, fp, p + n, THRESHOLDS), everything, np.maximum(everything, 0)]))
    return _curve(np.mean(tables, axis=0), size), [_curve(table, size) for table in tables]


def _curve(table: Floats, units: int) -> DecisionCurve:
    """Return the curve of (model, everything, the better of everything and nothing), each (1 + R, T); row 0 is of the images themselves."""
    model, everything, default = table
    low, high = percentile_interval(model[1:], units)
    gain = (model - default).mean(axis=1)
    ends = (float(end) for end in percentile_interval(gain[1:], units))
    return DecisionCurve(model[0], low, high, everything[0], float(model[0].mean()), estimate(float(gain[0]), *ends))
