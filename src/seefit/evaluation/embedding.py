"""Many features in two dimensions, for looking at: t-SNE, how far it can be trusted, and how far apart the classes are.

The places mean nothing by themselves: only which images lie close together does. So everything that is said about classes is
measured between the features, and the map is only judged by how well it keeps their neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seefit.environment import threads
from seefit.training.head import workers
from seefit.training.solver import Standardised

Floats = NDArray[np.float64]
Float = NDArray[np.float32]
Index = NDArray[np.intp]

MOST_POINTS = 3_000
FEWEST_POINTS = 20  # fewer are no map
COMPONENTS = 50  # of a PCA first, as van der Maaten & Hinton 2008 do (section 4.2)
PERPLEXITY = 30.0  # of 5 to 50 they recommend; about so many neighbours of an image count
STEPS = 500  # of 1,000 usual: on 2,624 images the second half changes trustworthiness in the fourth place (docs/LOG.md)
NEIGHBOURS = 10  # that trustworthiness and the share of the same class look at


@dataclass(frozen=True)
class Embedding:
    """Images on a map, and what is measured of them.

    Attributes:
        places: (N, 2), each axis from 0 to 1.
        perplexity: That t-SNE was run with.
        trustworthiness: Of the map, 0 to 1: how far neighbours on it are neighbours among the features.
        flat: The same of the two main directions of the features (PCA), without t-SNE.
        silhouette: Of the classes, -1 to 1, between the features; None where it is undefined.
        neighbours: (N, k) positions of each image's nearest neighbours among the features.
    """

    places: Floats
    perplexity: float
    trustworthiness: float
    flat: float
    silhouette: float | None
    neighbours: Index

    def shares(self, kinds: NDArray[np.int64]) -> Floats:
        """Return the (N,) share of each image's neighbours that are of its own kind: (N,) numbers of classes, or of groups."""
        return np.asarray((kinds[self.neighbours] == kinds[:, None]).mean(1), np.float64)


def embed(features: Float, labels: Index, *, seed: int) -> Embedding | None:
    """Lay images out in two dimensions so that those with like features lie close together.

    Features are standardised and reduced to 50 components, then t-SNE (van der Maaten & Hinton 2008; Barnes-Hut, 2014) is started from the
    first two of these. The map is judged by its trustworthiness (Venna & Kaski 2001; scikit-learn's, 10 neighbours): 1 less a penalty for
    neighbours on the map that are none among the standardised features. The classes' silhouette (Rousseeuw 1987) and the nearest
    neighbours are those of the standardised features, too: no figure is measured on the map.

    Args:
        features: (N, D) float32.
        labels: (N,) class numbers.
        seed: The same seed gives the same map.

    Returns:
        The map; None of fewer than 20 images, or where they hardly differ.
    """
    from scipy.linalg import eigh
    from sklearn.manifold import TSNE, trustworthiness

    if len(features) < FEWEST_POINTS:
        return None
    rows = Standardised.of(features).apply(features)
    with workers():  # one thread of BLAS: t-SNE would make another map of the last digit
        products = rows @ rows.T
        values, vectors = eigh(products, subset_by_index=(max(0, len(rows) - COMPONENTS), len(rows) - 1))
        there = values > 1e-6 * max(float(values[-1]), 1e-6)
        components = np.ascontiguousarray((vectors[:, there] * np.sqrt(values[there]))[:, ::-1], np.float32)  # those of a PCA
        if components.shape[1] < 2:
            return None
        perplexity = min(PERPLEXITY, (len(rows) - 1) / 3)
        drawing = TSNE(perplexity=perplexity, init="pca", max_iter=STEPS, random_state=seed, n_jobs=threads())
        places = np.asarray(drawing.fit_transform(components), np.float64)
    apart, near = _distances(products), min(NEIGHBOURS, (len(rows) - 1) // 2)
    kept, flat = (float(trustworthiness(apart, found, n_neighbors=near, metric="precomputed")) for found in (places, components[:, :2]))
    return Embedding(_scaled(places), perplexity, kept, flat, _silhouette(apart, labels), _nearest(apart, near))


def choose_points(labels: Index, most: int, *, seed: int) -> Index:
    """Return at most so many positions, ascending: a sample that keeps the shares of the classes.

    Args:
        labels: (N,) class numbers.
        most: How many at most.
        seed: Another seed draws others.
    """
    if len(labels) <= most:
        return np.arange(len(labels))
    order = np.lexsort((np.random.default_rng(seed).permutation(len(labels)), labels))
    return np.sort(order[np.linspace(0, len(labels) - 1, most).astype(np.intp)])


def spread_out(places: Floats, first: Index, most: int) -> Index:
    """Return ``first`` and, up to ``most``, further points of a map: each time the one that is farthest from all before.

    Args:
        places: (N, 2).
        first: Positions to begin with; may be none.
        most: How many at most.
    """
    chosen: list[int] = first[:most].tolist() or [0]
    away = np.min([np.linalg.norm(places - places[i], axis=1) for i in chosen], axis=0)
    while len(chosen) < min(most, len(places)) and away.max() > 0:
        chosen.append(int(away.argmax()))
        away = np.minimum(away, np.linalg.norm(places - places[chosen[-1]], axis=1))
    return np.array(chosen, np.intp)


def nearest_is_own(features: Float, views: int) -> float:
    """Return the share of changed views that lie nearer to the image they come from than to any other image.

    Args:
        features: (M * views, D) float32: of each of M images first its own, then those of its changed views.
        views: Views of an image, its own among them.
    """
    rows = Standardised.of(features).apply(features)
    images, count = rows[::views], len(rows) // views
    owner = np.repeat(np.arange(count), views)
    squares = (images**2).sum(1) - 2 * rows @ images.T  # less what is the same for all images
    return float((squares.argmin(1) == owner).reshape(count, views)[:, 1:].mean())


def _distances(products: Float) -> Float:
    squares = np.diag(products)
    apart: Float = np.sqrt(np.maximum(squares[:, None] + squares - 2 * products, 0))
    np.fill_diagonal(apart, 0)
    return apart


def _silhouette(apart: Float, labels: Index) -> float | None:
    from sklearn.metrics import silhouette_score

    count = len(np.unique(labels))
    return float(silhouette_score(apart, labels, metric="precomputed")) if 2 <= count < len(labels) else None


def _nearest(apart: Float, near: int) -> Index:
    others = apart + np.diag(np.full(len(apart), np.inf, np.float32))
    return np.argpartition(others, near, axis=1)[:, :near]


def _scaled(places: Floats) -> Floats:
    """Return places from 0 to 1, in the same shape: the longer side fills the whole range, the shorter is centred."""
    low, high = places.min(0), places.max(0)
    return np.asarray(0.5 + (places - (low + high) / 2) / max(float((high - low).max()), 1e-12), np.float64)
