"""Look-alikes are told by what is usual in the very data set."""

from __future__ import annotations

import numpy as np
import pytest

from seefit.evaluation import lookalikes
from seefit.evaluation.lookalikes import embed, find_lookalikes, robust_z
from seefit.training.solver import Standardised


def made(n: int = 300, width: int = 40, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32)


def test_a_pair_far_nearer_than_usual_is_found_and_nothing_else() -> None:
    points = made()
    points[7] = points[200] + 0.05
    (pair,) = find_lookalikes(points, np.arange(300))
    assert (pair.first, pair.second) == (7, 200)
    assert 0.99 < pair.similarity <= 1.0001


def test_where_all_pictures_are_alike_none_is_conspicuous() -> None:
    rng = np.random.default_rng(1)
    points = (5 + made() * rng.uniform(0.05, 0.5, (300, 1))).astype(np.float32)  # cosines of 0.9 and more between any two
    assert find_lookalikes(points, np.arange(300)) == []


def test_what_the_scan_knows_to_be_copies_is_left_out() -> None:
    points = made()
    points[7] = points[200] + 0.05
    clusters = np.arange(300)
    clusters[200] = 7
    assert find_lookalikes(points, clusters) == []


def test_few_images_and_equal_ones_say_nothing() -> None:
    assert find_lookalikes(made(10), np.arange(10)) == []
    assert find_lookalikes(np.zeros((100, 8), np.float32), np.arange(100)) == []


def test_one_picture_over_and_over_comes_to_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookalikes, "_MOST", 20)
    monkeypatch.setattr(lookalikes, "_BLOCK", 16)
    points = np.concatenate([made(150), np.tile(made(1, seed=3), (60, 1))])
    assert len(find_lookalikes(points, np.arange(210))) == 20


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    points = made()
    points[[7, 150]] = points[[200, 151]] + 0.05
    whole = find_lookalikes(points, np.arange(300))
    monkeypatch.setattr(lookalikes, "_BLOCK", 17)
    assert [pair[:2] for pair in find_lookalikes(points, np.arange(300))] == [pair[:2] for pair in whole] == [(150, 151), (7, 200)]


def test_the_projection_keeps_distances() -> None:
    features = made(60, 2000) * np.linspace(0.5, 3, 2000, dtype=np.float32)
    scale = Standardised.of(features)
    points, standard = embed(features, scale), scale.apply(features)
    assert points.shape == (60, 256)
    true, found = (np.linalg.norm(rows[:30] - rows[30:], axis=1) for rows in (standard, points))
    assert np.allclose(found / true, 1, atol=0.2)
    assert np.array_equal(points, embed(features, scale))
    few = made(60, 30)
    assert np.array_equal(embed(few, Standardised.of(few)), Standardised.of(few).apply(few))


def test_robust_z() -> None:
    assert robust_z(np.array([1.0, 2, 3, 4, 100]))[-1] > 50
    assert robust_z(np.array([5.0, 5, 5])).tolist() == [0, 0, 0]
