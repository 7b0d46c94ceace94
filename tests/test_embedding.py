"""The map: neighbours stay neighbours, figures are of the features, and nothing hangs on order or threads."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.manifold import trustworthiness
from sklearn.metrics import silhouette_score
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

from seefit.evaluation.embedding import choose_points, embed, nearest_is_own, spread_out
from seefit.training.solver import Standardised


def blobs(each: int = 40, kinds: int = 3, width: int = 30, apart: float = 6.0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(kinds), each)
    centres = rng.normal(size=(kinds, width)) * apart
    return (centres[labels] + rng.normal(size=(len(labels), width))).astype(np.float32), labels


def test_figures_are_those_of_scikit_learn_between_the_standardised_features() -> None:
    features, labels = blobs(apart=1.0)
    found = embed(features, labels, seed=0)
    assert found is not None
    rows = Standardised.of(features).apply(features)
    assert found.trustworthiness == pytest.approx(trustworthiness(rows, found.places, n_neighbors=10), abs=1e-3)
    assert found.silhouette == pytest.approx(silhouette_score(rows, labels), abs=1e-4)
    nearest = NearestNeighbors(n_neighbors=11).fit(rows).kneighbors(rows, return_distance=False)[:, 1:]
    assert np.mean([len(set(a) & set(b)) for a, b in zip(found.neighbours, nearest, strict=True)]) > 9.9
    assert found.shares(labels) == pytest.approx((labels[found.neighbours] == labels[:, None]).mean(1))
    assert found.perplexity == 30


def test_kinds_that_lie_apart_lie_apart_on_the_map() -> None:
    features, labels = blobs()
    found = embed(features, labels, seed=0)
    assert found is not None
    assert found.trustworthiness > 0.9
    assert found.shares(labels).mean() == 1
    assert silhouette_score(found.places, labels) > 0.5
    assert found.places.min() == 0
    assert found.places.max() == 1


def test_the_seed_alone_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = blobs(each=15)
    maps = []
    for threads in (1, 2):
        monkeypatch.setenv("SEEFIT_THREADS", str(threads))
        with threadpool_limits(threads):
            maps.append(embed(features, labels, seed=3))
    assert maps[0] is not None
    assert maps[1] is not None
    assert np.array_equal(maps[0].places, maps[1].places)


def test_few_images_have_a_smaller_perplexity_and_too_few_no_map() -> None:
    features, labels = blobs(each=10)
    found = embed(features, labels, seed=0)
    assert found is not None
    assert found.perplexity == pytest.approx(29 / 3)
    assert found.neighbours.shape == (30, 10)
    assert embed(features[:19], labels[:19], seed=0) is None
    assert embed(np.ones((50, 8), np.float32), np.arange(50) % 2, seed=0) is None, "all alike"


def test_without_two_classes_or_with_one_image_each_there_is_no_silhouette() -> None:
    features, _ = blobs(each=10)
    alone = embed(features, np.zeros(30, np.int64), seed=0)
    each = embed(features, np.arange(30), seed=0)
    assert alone is not None
    assert each is not None
    assert alone.silhouette is None
    assert each.silhouette is None


def test_a_sample_keeps_the_shares_of_the_classes() -> None:
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [600, 300, 100]))
    chosen = choose_points(labels, 100, seed=1)
    assert np.bincount(labels[chosen]).tolist() == pytest.approx([60, 30, 10], abs=1)
    assert np.array_equal(chosen, np.unique(chosen))
    assert not np.array_equal(chosen, choose_points(labels, 100, seed=2))
    assert choose_points(labels, 1000, seed=0).tolist() == list(range(1000))


def test_points_are_spread_out_after_the_first() -> None:
    places = np.array([[0.0, 0.0], [0.1, 0.0], [1.0, 1.0], [0.9, 1.0], [0.0, 1.0]])
    assert spread_out(places, np.array([1]), 3).tolist() == [1, 2, 4]
    assert spread_out(places, np.array([3, 4]), 1).tolist() == [3]
    assert spread_out(np.zeros((4, 2)), np.array([], np.intp), 3).tolist() == [0], "all in one place"


def test_views_are_told_from_other_images() -> None:
    rng = np.random.default_rng(0)
    images = rng.normal(size=(20, 1, 16))
    near = (images + rng.normal(size=(20, 4, 16)) * [[[0.0]], [[0.1]], [[0.1]], [[0.1]]][0]).astype(np.float32)
    near[:, 0] = images[:, 0]
    assert nearest_is_own(near.reshape(80, 16), 4) > 0.95
    swapped = np.concatenate([images, np.roll(images, 1, axis=0)], axis=1).astype(np.float32)
    assert nearest_is_own(swapped.reshape(40, 16), 2) == 0
