"""Outliers: the images that are least like the others of their class.

An image is judged by its mean distance to the nearest others of its class in feature space (Angiulli & Pizzuti 2002, "Fast outlier
detection in high dimensional spaces"), against what is usual in that class. Twenty neighbours, since strange pictures come in handfuls, and
each would find the others of its handful: of ten pictures of clothes hidden in each class of the solar cells 19 of 20 are flagged, beside 2
cells, and of ten cells in two classes of clothes 11 of 20, beside 13; with five neighbours nearly none of the latter.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from seefit.evaluation.intervals import Floats, Ints
from seefit.evaluation.lookalikes import robust_z

NEIGHBOURS = 20
MIN_Z = 4.0  # robust z of the logarithm of the distance, within the class
FEWEST = 40  # images of a class from which it has a usual distance
_MOST_OTHERS = 5_000  # of a class that an image is compared with
_BLOCK = 1_024


def find_outliers(points: NDArray[np.float32], labels: Ints) -> tuple[Ints, Floats]:
    """Return the images that are least like their class, the strangest first, and how strange each is.

    Args:
        points: (N, E) as `seefit.evaluation.lookalikes.embed` gives them.
        labels: (N,) class numbers.

    Returns:
        (K,) indices and (K,) robust z of at least 4. Classes with fewer than 40 images have none.
    """
    strange = np.zeros(len(labels))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if len(members) >= FEWEST:
            strange[members] = robust_z(np.log(np.maximum(_distances(points[members]), 1e-6)))
    found = np.flatnonzero(strange >= MIN_Z)
    found = found[np.argsort(-strange[found], kind="stable")]
    return found, strange[found]


def _distances(points: NDArray[np.float32]) -> Floats:
    """Return the mean distance (n,) of each point to its nearest others, at most 5,000 of which are looked at."""
    others = np.linspace(0, len(points) - 1, min(_MOST_OTHERS, len(points))).astype(np.intp)
    lengths = np.einsum("ij,ij->i", points, points)
    found = np.empty(len(points))
    for start in range(0, len(points), _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, len(points)))
        squares = lengths[rows, None] + lengths[others] - 2 * points[rows] @ points[others].T
        squares[rows[:, None] == others] = np.inf
        nearest = np.partition(squares, NEIGHBOURS - 1, axis=1)[:, :NEIGHBOURS]
        found[rows] = np.sqrt(np.maximum(nearest.astype(np.float64), 0)).mean(1)
    return found
