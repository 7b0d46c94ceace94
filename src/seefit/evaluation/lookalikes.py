"""Look-alikes by features: pictures that are nearer to each other than pictures of this data set ever are by chance.

The scan finds copies by their pixels (`seefit.data.duplicates`). Features also see mirrored, cropped or brightened copies, but how near is
near depends on the data: among solar cells the nearest of 2,624 different cells are more alike than a picture and its own cropped copy,
so there features can tell nothing, and among clothes they can. Hence no fixed limit alone: a pair is proposed when it lies outside of what
nearest neighbours are in this very data set, by a robust z of their distance, and is very similar at that. Among 6,000 clothes with
mirrored copies of 200 of them, 98 of the copies are proposed (the pixels find none) and 2 other pairs; among solar cells nothing is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from seefit.evaluation.intervals import Ints
from seefit.training.solver import Standardised

Points = NDArray[np.float32]

DIMENSIONS = 256  # of the projection: similarities are off by (1 - s²) / 16, so by 0.01 at 0.9
MIN_SIMILARITY = 0.9  # cosine of standardised features
MIN_DISTANCE_Z = -4.0  # robust z of log(1 - s) among nearest neighbours
FEWEST = 40  # images from which there is something usual
_SAMPLE = 2_000  # images whose nearest neighbours tell what is usual
_BLOCK = 512  # rows compared with all at once: 200 MB at 50,000 images
_MOST = 10_000  # pairs


class Pair(NamedTuple):
    """Two images, by number, and how similar they are: the cosine of their points."""

    first: int
    second: int
    similarity: float


def embed(features: Points, scale: Standardised) -> Points:
    """Return points that lie about as far apart as standardised features do.

    Args:
        features: (N, D) float32.
        scale: What they are standardised by; parts that are to be compared share it.

    Returns:
        (N, min(D, 256)) float32: beyond 256 features a random projection of them, which keeps distances and products within a few
        hundredths (Johnson & Lindenstrauss 1984). The same features give the same points.
    """
    width = features.shape[1]
    if width <= DIMENSIONS:
        return scale.apply(features)
    turn = np.random.default_rng(0).standard_normal((width, DIMENSIONS), np.float32) / np.float32(DIMENSIONS**0.5)
    points = np.empty((len(features), DIMENSIONS), np.float32)
    for part in _blocks(len(features)):
        points[part] = scale.apply(features[part]) @ turn
    return points


def find_lookalikes(points: Points, clusters: Ints) -> list[Pair]:
    """Return pairs that are nearer than nearest neighbours of this data set are, the most alike first; at most 10,000.

    Args:
        points: (N, E) from `embed`.
        clusters: (N,) equal numbers for what the scan knows to be copies: such pairs are left out.
    """
    if len(points) < FEWEST:
        return []
    directions = points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-12)
    found = sorted(_near(directions, clusters, _limit(directions, clusters)), key=lambda pair: (-pair.similarity, pair))
    return found[:_MOST]


def robust_z(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how many spreads each value lies from the median: 1.4826 times the median distance from it (Iglewicz & Hoaglin 1993)."""
    middle, spread = _usual(values)
    return (values - middle) / spread


def _limit(points: Points, clusters: Ints) -> float:
    """Return the similarity from which a pair is no chance: robust z of the logarithm of the distance of nearest neighbours."""
    sample = np.linspace(0, len(points) - 1, min(_SAMPLE, len(points))).astype(np.intp)
    nearest = np.empty(len(sample))
    for part in _blocks(len(sample)):
        similarity = points[sample[part]] @ points.T
        similarity[clusters[sample[part], None] == clusters[None]] = -1
        nearest[part] = similarity.max(1)
    middle, spread = _usual(np.log(np.maximum(1 - nearest, 1e-6)))
    return max(MIN_SIMILARITY, 1 - float(np.exp(middle + MIN_DISTANCE_Z * spread)))


def _usual(values: NDArray[np.float64]) -> tuple[float, float]:
    middle = float(np.median(values))
    return middle, max(1.4826 * float(np.median(np.abs(values - middle))), 1e-12)


def _near(points: Points, clusters: Ints, limit: float) -> Iterator[Pair]:
    """Yield the pairs of similar points, smaller number first; of very many not all."""
    found = 0
    for part in _blocks(len(points)):
        similarity = points[part] @ points[part.start :].T
        near = (similarity >= limit) & (clusters[part, None] != clusters[None, part.start :])
        for i, j in zip(*np.nonzero(np.triu(near, 1)), strict=True):
            yield Pair(int(i + part.start), int(j + part.start), float(similarity[i, j]))
        found += int(near.sum())
        if found > 10 * _MOST:  # a data set of one picture over and over: there is no end to them
            return


def _blocks(count: int) -> Iterator[slice]:
    return (slice(start, min(start + _BLOCK, count)) for start in range(0, count, _BLOCK))
