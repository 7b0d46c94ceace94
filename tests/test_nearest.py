"""Nearest neighbours against a plain search, block by block, ties in order."""

from __future__ import annotations

import numpy as np
import pytest

from seefit.evaluation.nearest import blocks_of, nearest
from seefit.training.solver import Standardised


def test_the_nearest_are_those_of_a_plain_search() -> None:
    rng = np.random.default_rng(0)
    rows, queries = (rng.normal(3, 2, size=(n, 12)).astype(np.float32) for n in (5000, 6))
    scale = Standardised.of(rows)
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (scale.apply(rows), scale.apply(queries))]
    cosines = unit[1] @ unit[0].T
    found, alike = nearest(queries, blocks_of(rows), 4)
    np.testing.assert_array_equal(found, np.argsort(-cosines, axis=1)[:, :4])
    np.testing.assert_allclose(alike, -np.sort(-cosines, axis=1)[:, :4], atol=1e-5)


@pytest.mark.parametrize("size", [1, 3, 7, 100])
def test_blocks_do_not_matter(size: int) -> None:
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(50, 5)).astype(np.float32)
    whole, _ = nearest(rows[:4], blocks_of(rows), 3)
    cut, _ = nearest(rows[:4], lambda: (rows[start : start + size] for start in range(0, 50, size)), 3)
    np.testing.assert_array_equal(whole, cut)
    assert whole[:, 0].tolist() == [0, 1, 2, 3], "a row is most like itself"


def test_the_first_of_equals_comes_first_and_few_rows_give_few() -> None:
    rows = np.array([[1, 0], [0, 1], [1, 0], [1, 0]], np.float32)
    found, alike = nearest(rows[:1], blocks_of(rows), 9)
    assert found.tolist() == [[0, 2, 3, 1]]
    assert alike[0, 0] == alike[0, 1] == alike[0, 2]


def test_features_that_never_vary_say_nothing() -> None:
    rows = np.ones((3, 4), np.float32)
    found, alike = nearest(rows[:1] * 2, blocks_of(rows), 2)
    assert found.tolist() == [[0, 1]]
    assert not alike.any()
