"""What a model knows, fitted on training images, and the limit at which a stated share of known images is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from seefit.bundle.unknown import LIMIT, Familiar, Float
from seefit.evaluation.conformal import conformal_limit
from seefit.evaluation.intervals import Floats, Ints

GALLERY = 2_048  # training images that new ones are compared with; one of each class where there are more classes
DIRECTIONS = 128
NUMBERS = 2**19  # of the projection, and of the gallery
FEWEST_DIRECTIONS = 16  # however many features there are
IMAGES_PER_DIRECTION = 10
DISCRIMINANTS = 64
SHRINKAGE = 0.03  # of the covariance within classes, towards a sphere
RATE = 0.05  # of false refusals


def gallery_rows(labels: NDArray[np.int64], most: int = GALLERY) -> Ints:
    """Return rows that hold as many images of each class as there is room for, equally many where there are as many, ascending.

    Args:
        labels: (N,) class numbers.
        most: Rows in all; more only where there are more classes.
    """
    sizes = np.bincount(labels)
    place = np.empty(len(labels), np.intp)  # of each image within its class
    place[np.argsort(labels, kind="stable")] = np.arange(len(labels)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    room = np.cumsum(np.bincount(place))  # room[q - 1] images where each class gives at most q
    quota = max(1, int(np.searchsorted(room, most, side="right")))
    count = np.minimum(sizes, quota)[labels]
    # evenly spread over each class, since files of one source often follow each other
    return np.flatnonzero((place * count) // sizes[labels] != ((place - 1) * count) // sizes[labels])


def compared(train: int, val: int) -> int:
    """Return how many training images a trained network is asked about, so that new images can be compared with them: none where
    there is no validation part to set a limit by. For estimates of time: more where there are more classes.
    """
    return min(train, GALLERY) if val else 0


def fit_familiar(features: Float, labels: NDArray[np.int64], classes: int, *, seed: int = 0) -> Familiar:
    """Fit what new images are compared with; the signs are not in proportion to each other yet.

    Args:
        features: (G, D) of the images of `gallery_rows`.
        labels: (G,) class numbers.
        classes: C.
        seed: Of the search for the directions.

    Returns:
        What the model knows, with units of one.
    """
    from sklearn.utils.extmath import randomized_svd

    rows = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    centre = rows.mean(axis=0, dtype=np.float64).astype(np.float32)
    rows = rows - centre
    room = max(FEWEST_DIRECTIONS, NUMBERS // max(rows.shape))
    count = max(1, min(DIRECTIONS, room, rows.shape[1], len(rows) // IMAGES_PER_DIRECTION))
    _, _, directions = randomized_svd(rows, count, n_iter=2, random_state=seed)
    projection = np.ascontiguousarray(directions.T, np.float32)
    gallery = rows @ projection
    discriminants, means, background = _discriminants(gallery.astype(np.float64), labels, classes)
    nothing = np.full(3, -np.inf, np.float32)
    return Familiar(centre, projection, gallery, discriminants, means, background, nothing, np.ones(3, np.float32), 0.0)


def _discriminants(points: NDArray[np.float64], labels: NDArray[np.int64], classes: int) -> tuple[Float, Float, Float]:
    """Return the directions (P, R) that tell the classes apart, the class means (C, R) and one over the variance (R,) in them.

    Where the covariance within classes is a sphere, the two Mahalanobis distances of a relative one differ in the span of the class
    means alone, so nothing else is kept. A class without an image is put at the centre.
    """
    counts = np.bincount(labels, minlength=classes)
    sums = np.zeros((classes, points.shape[1]))
    np.add.at(sums, labels, points)
    means = sums / np.maximum(counts, 1)[:, None]
    apart = points - means[labels]
    within = apart.T @ apart / max(1, len(points) - int((counts > 0).sum()))
    sphere = max(float(np.trace(within)) / len(within), 1e-12)
    values, vectors = np.linalg.eigh((1 - SHRINKAGE) * within + SHRINKAGE * sphere * np.eye(len(within)))
    white = vectors / np.sqrt(np.maximum(values, 1e-12))
    weighted = (means @ white) * np.sqrt(counts)[:, None]
    count = min(DISCRIMINANTS, int((counts > 0).sum()) - 1, len(within))
    directions = white @ np.linalg.svd(weighted, full_matrices=False)[2][: max(1, count)].T
    spread = (points @ directions).var(axis=0)
    return directions.astype(np.float32), (means @ directions).astype(np.float32), (1 / np.maximum(spread, 1.0)).astype(np.float32)


def with_limit(familiar: Familiar, signs: Floats, *, rate: float = RATE) -> Familiar | None:
    """Put the signs in proportion and set the limit, so that a stated share of the images that the model knows goes beyond it.

    Each sign counts in units of its spread, half the distance between its 16th and 84th hundredth, which a few odd images cannot
    stretch, and never as less than its 16th hundredth. The sum is then moved and stretched so that the median image is at 0 and the
    limit at 1.

    Args:
        familiar: From `fit_familiar`.
        signs: (N, 3) of images that are known but were not fitted on.
        rate: Share of known images that may be refused.

    Returns:
        What the model knows, with its limit; None where there are too few images to promise such a rate, or all are the same.
    """
    low, high = np.quantile(signs, [0.16, 0.84], axis=0)
    spread = (high - low) / 2
    units = np.where(spread > 1e-9, 1 / np.maximum(spread, 1e-9), 0)
    sums = np.maximum(signs, low) @ units
    ordinary, limit = float(np.median(sums)), conformal_limit(sums, 1 - rate)
    if limit is None or not limit > ordinary:
        return None
    scale = LIMIT / (limit - ordinary)
    return replace(familiar, floors=low.astype(np.float32), units=(scale * units).astype(np.float32), offset=-scale * ordinary)
