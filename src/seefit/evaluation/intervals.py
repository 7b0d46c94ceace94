"""95 % intervals that stay honest on small test parts, whether images are independent or come in groups."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

LEVEL = 0.95
_Z = 1.959963984540054  # the normal distribution holds 95 % between -z and z
_CELLS = 500_000  # how many numbers a chunk of resamples holds: bounds memory, stays in the processor's cache


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its 95 % interval; None stands for what the data cannot tell."""

    value: float | None
    low: float | None = None
    high: float | None = None

    def to_json(self) -> dict[str, float | None]:
        """Return ``{"value", "low", "high"}``."""
        return {"value": self.value, "low": self.low, "high": self.high}


def estimate(value: float, low: float = math.nan, high: float = math.nan) -> Estimate:
    """Return an `Estimate` with None in place of every NaN; without a value there is no interval."""
    if math.isnan(value):
        return Estimate(None)
    ends = (None, None) if math.isnan(low) or math.isnan(high) else (float(low), float(high))
    return Estimate(float(value), *ends)


def wilson(proportion: ArrayLike, n: ArrayLike) -> tuple[Floats, Floats]:
    """Return Wilson's 95 % score interval of proportions.

    It is right at the edges too, where a resampling interval is falsely certain: 20 of 20 gives 83.9 % to 100 %.
    Wilson 1927; recommended by Brown, Cai & DasGupta 2001.

    Args:
        proportion: Any shape, in [0, 1] or NaN.
        n: The number of trials, same shape; may be a fractional effective number.

    Returns:
        Lower and upper ends in [0, 1]; NaN where ``n`` is 0 or the proportion is NaN.
    """
    p, size = np.broadcast_arrays(np.asarray(proportion, dtype=np.float64), np.asarray(n, dtype=np.float64))
    size = np.where(size > 0, size, np.nan)
    middle = (p + _Z**2 / (2 * size)) / (1 + _Z**2 / size)
    half = _Z / (1 + _Z**2 / size) * np.sqrt(p * (1 - p) / size + _Z**2 / (4 * size**2))
    # Rounding must not push the edge past the proportion itself.
    return np.clip(np.minimum(middle - half, p), 0, 1), np.clip(np.maximum(middle + half, p), 0, 1)


def wilson_f1(f1: ArrayLike, either: ArrayLike) -> tuple[Floats, Floats]:
    """Return Wilson's interval of TP / (TP + FP + FN) as an interval of F1: with J for that share, F1 = 2 J / (1 + J).

    Args:
        f1: Any shape, in [0, 1] or NaN.
        either: TP + FP + FN, same shape.

    Returns:
        Lower and upper ends in [0, 1]; NaN as in `wilson`.
    """
    score = np.asarray(f1, dtype=np.float64)
    low, high = wilson(score / (2 - score), either)
    return 2 * low / (1 + low), 2 * high / (1 + high)


def paired_difference(better: float, worse: float, n: float) -> tuple[float, float]:
    """Return the 95 % interval of the difference between two accuracies on the same images.

    An image counts only where one of the two is right and the other wrong. One more of either kind is added, so that the
    interval stays honest where none was seen yet (Bonett & Price 2012, "Adjusted Wald confidence interval for a difference
    of binomial proportions based on paired data").

    Args:
        better: Images that only the first has right.
        worse: Images that only the second has right.
        n: All images, at least 1; all three may be fractional effective numbers.

    Returns:
        Lower and upper ends in [-1, 1].
    """
    gained, lost = (better + 1) / (n + 2), (worse + 1) / (n + 2)
    half = _Z * math.sqrt((gained + lost - (gained - lost) ** 2) / (n + 2))
    value = (better - worse) / n
    return max(-1.0, min(gained - lost - half, value)), min(1.0, max(gained - lost + half, value))


def effective_size(sizes: ArrayLike) -> float:
    """Return the n for which one proportion varies like the plain mean of proportions of these sizes: C^2 / sum(1 / n)."""
    known = np.asarray(sizes, dtype=np.float64)
    known = known[known > 0]
    return float(len(known) ** 2 / np.sum(1 / known)) if len(known) else 0.0


def effective_groups(groups: Ints) -> float:
    """Return how many groups of equal size would tell as much: (sum n)^2 / sum n^2 (Kish 1965)."""
    sizes = np.bincount(groups).astype(np.float64)
    return float(sizes.sum() ** 2 / (sizes**2).sum())


def clustered_error(influence: ArrayLike, groups: Ints) -> float:
    """Return the standard error of a figure whose images come in groups (Liang & Zeger 1986).

    Args:
        influence: (N,) what each image adds to the figure, as a difference from its expectation.
        groups: (N,) numbers from 0.
    """
    sums = np.bincount(groups, influence)
    count = len(np.unique(groups))
    return math.sqrt(count / max(count - 1, 1) * float((sums**2).sum()))


def resamples(n: int, groups: Ints | None, *, replicates: int, seed: int, width: int = 0) -> Iterator[NDArray[np.float32]]:
    """Yield the bootstrap's resamples in chunks: how many times each image is drawn.

    Args:
        n: The number of images.
        groups: (n,) int, 0 to G - 1: whole groups are drawn with replacement; None draws images.
        replicates: How many resamples in all.
        seed: The same seed draws the same resamples.
        width: The size of what the caller keeps per resample, where it is more than n; chunks get narrower.

    Yields:
        (n, r) float32 whole numbers, one column per resample.
    """
    units = n if groups is None else int(groups.max()) + 1
    rng = np.random.default_rng(seed)
    step = max(1, _CELLS // max(n, width, 1))
    for start in range(0, replicates, step):
        r = min(step, replicates - start)
        drawn = rng.integers(units, size=(units, r)) * r + np.arange(r)
        counts = np.bincount(drawn.ravel(), minlength=units * r).reshape(units, r).astype(np.float32)
        yield counts if groups is None else counts[groups]


def percentile_interval(samples: ArrayLike, units: int, *, wider: float = 1.0) -> tuple[Floats, Floats]:
    """Return the expanded percentile interval of resampled figures.

    A plain percentile interval is too narrow when few units are drawn. The percentiles are moved out as a t interval with
    ``units - 1`` degrees of freedom would be (Hesterberg 2015, "What teachers should know about the bootstrap",
    section 4.4): nothing changes at 1,000 images, and much at 9 groups.

    Args:
        samples: (R, ...) one row per resample; NaN where the figure was undefined in a resample.
        units: How many images or groups were drawn from.
        wider: How many times as wide the interval of a normal figure becomes, for what the resamples do not know of.

    Returns:
        Lower and upper ends (...); NaN where no resample defines the figure, or ``units`` is 1.
    """
    from scipy.special import ndtr, stdtrit

    table = np.asarray(samples, dtype=np.float64)
    ends = np.full((2, *table.shape[1:]), np.nan)
    if units > 1:
        tail = ndtr(-wider * math.sqrt(units / (units - 1)) * stdtrit(units - 1, (1 + LEVEL) / 2))
        unknown = np.isnan(table)
        whole, some = ~unknown.any(axis=0), unknown.any(axis=0) & ~unknown.all(axis=0)
        ends[:, whole] = np.quantile(table[:, whole], [tail, 1 - tail], axis=0)  # many times faster than the other
        ends[:, some] = np.nanquantile(table[:, some], [tail, 1 - tail], axis=0)
    return ends[0], ends[1]


def mirrored(value: float, low: float, high: float) -> tuple[float, float]:
    """Return a percentile interval mirrored at the value, as squares, for a figure such as ECE that chance only pushes up.

    A resample is pushed up once more than the value itself, so the percentiles lie too high by what the value already is.
    """
    ends = [math.sqrt(max(2 * value**2 - end**2, 0.0)) for end in (high, low)]
    return min(ends[0], value), max(ends[1], value)
