"""Which of several ways of answering is best, and which are clearly worse, judged on the same images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seefit.evaluation.intervals import clustered_error

Floats = NDArray[np.float64]
CLEARLY = 2.0  # standard errors behind the best: looked at no more
ALIKE = 0.5  # standard errors behind the best at most: as good, so the cheaper one is taken (docs/decisions.md)


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one of them stands.

    Attributes:
        balanced_accuracy: The mean recall of the classes.
        behind: How much lower that is than the best one's; 0 for the best.
        error: The standard error of that difference on images, or whole units, like these.
    """

    balanced_accuracy: float
    behind: float
    error: float

    @property
    def worse(self) -> bool:
        """Whether it is clearly worse than the best."""
        return self.behind > CLEARLY * self.error

    @property
    def alike(self) -> bool:
        """Whether it is about as good as the best."""
        return self.behind <= ALIKE * self.error


def rank(right: Floats, labels: NDArray[np.int64], units: NDArray[np.int64]) -> list[Standing]:
    """Hold each against the best, paired by images: what an easy or hard image does to both cancels out.

    The standard error is that of a difference of means over clusters, centred in each class.

    Args:
        right: (K, N) how often each of K had an image right, in [0, 1].
        labels: (N,) class numbers.
        units: (N,) images of one number are not independent.
    """
    codes, counts = np.unique(labels, return_inverse=True, return_counts=True)[1:]
    weights = 1 / (len(counts) * counts[codes])
    values = right @ weights
    best = int(values.argmax())
    members = np.unique(units, return_inverse=True)[1]
    errors = [_error(right[best] - own, codes, weights, members) for own in right]
    return [Standing(float(value), float(values[best] - value), error) for value, error in zip(values, errors, strict=True)]


def choose(standings: Sequence[Standing]) -> int:
    """Return the number of the first, the cheapest, that is about as good as the best."""
    return next(number for number, standing in enumerate(standings) if standing.alike)


def _error(gain: Floats, codes: NDArray[np.intp], weights: Floats, members: NDArray[np.intp]) -> float:
    middle = np.bincount(codes, gain) / np.bincount(codes)
    return clustered_error(weights * (gain - middle[codes]), members)
