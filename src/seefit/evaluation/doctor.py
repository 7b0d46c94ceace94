"""Label errors by confident learning: which labels are likely wrong, told by scores of images that no model was fitted on.

How many there are is counted, and which they are is ranked. An image counts as an error when another class than its own is as probable
for it as that class is, on average, for its own images; that is what the confident joint of Northcutt, Jiang & Chuang 2021 ("Confident
Learning: Estimating Uncertainty in Dataset Labels", section 3.1, equations 1 and 2) has beside its diagonal. As many images as that are
then taken from the whole ranking by self-confidence, the probability of the given label (section 3.2), instead of those very images:
both precision and recall were higher so on labels that were flipped on purpose (`benchmarks/label_errors.py`).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from seefit.evaluation.intervals import Floats, Ints

_BLOCK = 4_000_000  # probabilities looked at together
_ROUNDING = 1e-6  # a probability this little under a threshold has reached it


def find_label_errors(probabilities: Floats, labels: Ints) -> tuple[Ints, Ints]:
    """Return the images whose label is likely wrong, the likeliest first, and the class that each is taken for.

    Args:
        probabilities: (N, C) rows sum to 1, of images that the model was not fitted on.
        labels: (N,) the given labels, 0 to C - 1.

    Returns:
        (K,) indices, by rising probability of the given label, and (K,) class numbers that differ from it.
    """
    given = probabilities[np.arange(len(labels)), labels]
    suggested = probabilities.argmax(1)
    count = int((confident_classes(probabilities, labels) != labels).sum())
    ranked = np.argsort(given, kind="stable")[:count]
    chosen = ranked[suggested[ranked] != labels[ranked]]
    return chosen, suggested[chosen]


def confident_classes(probabilities: Floats, labels: Ints) -> Ints:
    """Return the class that each image confidently belongs to: (N,), the given label where no class is sure enough.

    Args:
        probabilities: As in `find_label_errors`.
        labels: Likewise.

    Returns:
        Of the classes whose probability reaches that class's threshold the most probable one. A class's threshold is the mean
        probability that its images give to it; a class without images is never confident.
    """
    thresholds = _thresholds(probabilities, labels) - _ROUNDING
    found = np.empty(len(labels), np.intp)
    for part in _parts(probabilities):
        sure = np.where(probabilities[part] >= thresholds, probabilities[part], -1.0)
        best = sure.argmax(1)
        found[part] = np.where(sure.max(1) >= 0, best, labels[part])
    return found


def _thresholds(probabilities: Floats, labels: Ints) -> Floats:
    classes = probabilities.shape[1]
    sums = np.bincount(labels, probabilities[np.arange(len(labels)), labels], classes)
    counts = np.bincount(labels, minlength=classes)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)


def _parts(probabilities: NDArray[np.float64]) -> Iterator[slice]:
    step = max(1, _BLOCK // probabilities.shape[1])
    return (slice(start, start + step) for start in range(0, len(probabilities), step))
