"""The nearest neighbours of images by their features."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from seefit.training.solver import Standardised

Float = NDArray[np.float32]
Blocks = Callable[[], Iterable[Float]]

BLOCK = 2_048  # rows that are looked at together


def nearest(queries: Float, blocks: Blocks, count: int) -> tuple[NDArray[np.intp], Float]:
    """Find the rows that are most like some others: by the cosine of standardised features, the first of equals.

    Args:
        queries: (Q, D) float32.
        blocks: Gives the rows to look among, (n, D) at a time, and the same ones again when asked again; at least one row.
        count: How many are wanted, K.

    Returns:
        (Q, K) numbers of rows, most alike first, and (Q, K) cosines in [-1, 1]; fewer columns where there are fewer rows.
    """
    scale = Standardised.of_blocks(blocks())
    wanted = _directions(scale.apply(queries))
    rows = np.empty((len(queries), 0), np.intp)
    cosines = np.empty((len(queries), 0), np.float32)
    seen = 0
    for block in blocks():
        found = wanted @ _directions(scale.apply(block)).T
        numbers = np.broadcast_to(np.arange(seen, seen + len(block)), found.shape)
        rows, cosines = np.hstack([rows, numbers]), np.hstack([cosines, found])
        best = np.argsort(-cosines, axis=1, kind="stable")[:, :count]  # earlier rows come first, so they win among equals
        rows, cosines = np.take_along_axis(rows, best, 1), np.take_along_axis(cosines, best, 1)
        seen += len(block)
    return rows, cosines


def blocks_of(features: Float) -> Blocks:
    """Return what gives the rows of a matrix block by block."""

    def blocks() -> Iterator[Float]:
        yield from (features[start : start + BLOCK] for start in range(0, len(features), BLOCK))

    return blocks


def _directions(rows: Float) -> Float:
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(length > 0, length, 1), np.float32)
