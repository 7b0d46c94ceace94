"""Whether one of two things is better than the other, judged on the same images or the same folds.

Which test answers which question:

- Do two saved models differ on these test images? McNemar's exact test, and a paired interval of the bootstrap; both by group where
  images come in groups.
- Is one way of training better than another on this data, chance of training included? Both are trained on the same folds of a repeated
  cross-validation, and the differences have Nadeau and Bengio's corrected t test: the training parts overlap, so a plain t test is far
  too sure.
- Many at once: Holm's p-values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seefit.evaluation.facts import number_units
from seefit.evaluation.intervals import (
    LEVEL,
    Estimate,
    Ints,
    clustered_error,
    effective_groups,
    estimate,
    paired_difference,
    percentile_interval,
    resamples,
)
from seefit.evaluation.metrics import Resampled
from seefit.evaluation.roc import column_sums

ALPHA = 0.05
POWER = 0.8
FIGURES = ("accuracy", "balanced_accuracy", "auc")
Bools = NDArray[np.bool_]
Verdict = Literal["helps", "hurts", "not shown"]


@dataclass(frozen=True, slots=True)
class Paired:
    """What the folds say of the difference between two arms.

    Attributes:
        value: Mean difference; above 0 the second arm is better, where more is better.
        low: Lower end of its 95 % interval.
        high: Upper end.
        p: Two-sided.
        folds: Differences behind it.
        effect: The mean difference in standard deviations of a fold's difference.
        detectable: The true difference that such folds show 80 times in 100, two-sided at 5 %; with several arms at 5 % over their
            number, which is Holm's first step.
    """

    value: float
    low: float
    high: float
    p: float
    folds: int
    effect: float
    detectable: float

    def to_json(self) -> dict[str, float | int]:
        """Return every attribute by its name."""
        return {name: getattr(self, name) for name in self.__slots__}


def corrected_t(differences: ArrayLike, share_test_over_train: float, *, arms: int = 1) -> Paired:
    """Judge the differences between two arms over the folds of a repeated cross-validation.

    The corrected resampled t test: t = mean / sqrt((1/J + n_test/n_train) s^2) with J - 1 degrees of freedom (Nadeau & Bengio 2003,
    "Inference for the generalization error", section 4; for repeated cross-validation Bouckaert & Frank 2004). Scores are whole numbers
    of images, so a few differences may be all the same by chance: s is never taken below the mean (as a size) / J.

    Args:
        differences: (J,) one per fold of every repeat, the same folds for both arms; two at least.
        share_test_over_train: Images of a test fold over those it is trained on: 1/2 for three folds.
        arms: How many are held against the same one: what is ``detectable`` grows with their number; p and interval are of this one.

    Raises:
        ValueError: Fewer than two differences, numbers that are not finite, or a share that is not above 0.
    """
    from scipy.special import nctdtrinc, stdtr, stdtrit

    table = np.asarray(differences, np.float64)
    if table.ndim != 1 or len(table) < 2 or not np.isfinite(table).all():
        raise ValueError(f"expected two finite differences at least, got shape {table.shape}")
    if not 0 < share_test_over_train < math.inf:
        raise ValueError(f"expected a share above 0, got {share_test_over_train}")
    folds, value = len(table), float(table.mean())
    spread = max(float(table.std(ddof=1)), abs(value) / folds)
    error = math.sqrt(1 / folds + share_test_over_train) * spread
    if error == 0:
        return Paired(value, value, value, 1.0, folds, 0.0, 0.0)
    edge = float(stdtrit(folds - 1, (1 + LEVEL) / 2))
    p = float(2 * stdtr(folds - 1, -abs(value) / error))
    strict = float(stdtrit(folds - 1, 1 - ALPHA / arms / 2))
    detectable = float(nctdtrinc(folds - 1, 1 - POWER, strict)) * error
    return Paired(value, value - edge * error, value + edge * error, p, folds, value / spread, detectable)


def verdict(difference: Paired | Estimate, p_holm: float) -> Verdict:
    """Return what may be said of a difference where more is better.

    Args:
        difference: Its sign counts.
        p_holm: Its p-value, by `holm` when it is one of several.
    """
    if p_holm >= ALPHA or not difference.value:
        return "not shown"
    return "helps" if difference.value > 0 else "hurts"


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's adjusted p-values (1979): the smallest times their number, the next times one less, never falling, at most 1."""
    order = np.argsort(p_values, kind="stable")
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        largest = min(1.0, max(largest, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = largest
    return adjusted


def mcnemar(right_a: Bools, right_b: Bools, groups: ArrayLike | None = None) -> float:
    """Return the two-sided p of McNemar's exact test: do two models differ on the same images?

    Only images that one of the two has right count; if the models are equally good, each of these falls to either side as a coin does
    (McNemar 1947). Images of one group are not independent: there, the mean difference is also held against how much it differs from
    group to group (Liang & Zeger 1986), by a t test whose degrees of freedom are the groups in effect, less one. The larger p counts.

    Args:
        right_a: (N,) where the first is right.
        right_b: (N,) where the second is right.
        groups: (N,) any kind of names; None for independent images. Of a single group nothing can be told: p is 1.
    """
    from scipy.special import bdtr

    gain = right_b.astype(np.int64) - right_a
    better, worse = int((gain > 0).sum()), int((gain < 0).sum())
    p = min(1.0, 2 * float(bdtr(min(better, worse), better + worse, 0.5)))
    units = number_units(groups, len(gain))
    return p if units is None else max(p, _clustered(gain, units))


def _clustered(gain: NDArray[np.int64], units: Ints) -> float:
    """Return the p of a mean difference whose images come in groups; 1 where in effect there is one group."""
    from scipy.special import stdtr

    freedom = effective_groups(units) - 1
    mean = float(gain.mean())
    if freedom < 1 or mean == 0:
        return 1.0
    spread = clustered_error((gain - mean) / len(gain), units)
    return float(2 * stdtr(freedom, -abs(mean) / spread)) if spread > 0 else 0.0


def paired_interval(right_a: Bools, right_b: Bools, groups: ArrayLike | None = None, *, replicates: int = 1000, seed: int = 0) -> Estimate:
    """Return how much higher the second of two accuracies on the same images is, with its 95 % interval.

    Args:
        right_a: (N,) where the first is right.
        right_b: (N,) where the second is right.
        groups: (N,) any kind of names: whole groups are resampled, and the interval is never narrower than that of independent images,
            `seefit.evaluation.intervals.paired_difference`. None for independent images.
        replicates: How many resamples the bootstrap takes.
        seed: Of the bootstrap.
    """
    better, worse = int((right_b & ~right_a).sum()), int((right_a & ~right_b).sum())
    low, high = paired_difference(better, worse, len(right_a))
    units = number_units(groups, len(right_a))
    if units is not None:
        gain = right_b.astype(np.float32) - right_a
        drawn = [
            column_sums([gain], counts)[0] / counts.sum(axis=0) for counts in resamples(len(gain), units, replicates=replicates, seed=seed)
        ]
        low, high = _wider(np.concatenate(drawn), int(units.max()) + 1, low, high)
    return estimate((better - worse) / len(right_a), low, high)


def figure_differences(drawn_a: Resampled, drawn_b: Resampled) -> dict[str, Estimate]:
    """Return how much higher accuracy, balanced accuracy and AUC of the second model are, each with its paired 95 % interval.

    Both were judged on the same resamples, so what an easy or hard sample does to both cancels out. The bootstrap alone never draws the
    difference that was not seen yet: an interval is at least that of a difference of as many images, at the figure's effective number.

    Args:
        drawn_a: The first model's figures by `seefit.evaluation.metrics.resample_figures`.
        drawn_b: The second's, of the same images, groups and seed.
    """
    found = {}
    for name in FIGURES:
        gain, trials = drawn_b.figures[name] - drawn_a.figures[name], drawn_a.trials[name]
        value = float(gain[0])
        if math.isnan(value) or not trials:
            found[name] = estimate(value)
            continue
        least = paired_difference(max(value, 0) * trials, max(-value, 0) * trials, trials)
        found[name] = estimate(value, *_wider(gain[1:], drawn_a.units, *least))
    return found


def _wider(drawn: NDArray[np.float64], units: int, low: float, high: float) -> tuple[float, float]:
    """Return the percentile interval of resampled figures, at least as wide as from low to high."""
    ends = percentile_interval(drawn, units)
    return float(np.fmin(low, ends[0])), float(np.fmax(high, ends[1]))
