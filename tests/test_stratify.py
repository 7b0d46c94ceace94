"""The sharing-out rule by itself: targets, and units that hold several classes."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from seefit.data.stratify import distribute, units_per_class

SHARES = [0.7, 0.15, 0.15]


def shared_out(contents: list[list[int]], shares: list[float], seed: int = 0) -> tuple[np.ndarray, list[set[int]]]:
    """Distribute units given as lists of class numbers, one per image."""
    codes = np.array([code for content in contents for code in content])
    units = np.repeat(np.arange(len(contents)), [len(content) for content in contents])
    return distribute(codes, units, [f"unit {number}" for number in range(len(contents))], shares, seed)


def test_units_per_class_counts_a_unit_once() -> None:
    codes, units = np.array([0, 0, 0, 1, 1]), np.array([5, 5, 6, 6, 7])
    assert units_per_class(codes, units).tolist() == [2, 2]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(3, 60), min_size=1, max_size=12), st.integers(0, 9))
def test_single_images_are_less_than_one_off_in_every_class_and_overall(sizes: list[int], seed: int) -> None:
    contents = [[code] for code, size in enumerate(sizes) for _ in range(size)]
    places, missing = shared_out(contents, SHARES, seed)
    codes = np.array([content[0] for content in contents])
    assert not any(missing)
    for code, size in enumerate(sizes):
        got = np.bincount(places[codes == code], minlength=3)
        if size >= 14:  # smaller classes get one image per part before anything else
            assert np.all(np.abs(got - size * np.array(SHARES)) < 1)
        assert got.min() >= 1
    if min(sizes) >= 14:
        assert np.all(np.abs(np.bincount(places) - len(codes) * np.array(SHARES)) < 2)


def test_a_scarce_class_reaches_every_part_though_large_units_come_first() -> None:
    places, missing = shared_out([[0] * 100, [0] * 100, [0]], SHARES)
    assert not missing[0]
    assert sorted(places.tolist()) == [0, 1, 2]


def test_units_of_all_sizes_reach_the_small_parts() -> None:
    sizes = list(range(1, 41))
    places, _ = shared_out([[0] * size for size in sizes], SHARES)
    means = [np.mean([size for size, place in zip(sizes, places, strict=True) if place == part]) for part in range(3)]
    assert min(means) > 12  # filling train first would leave only the smallest units for the others
    assert np.allclose(np.bincount(places, weights=sizes) / sum(sizes), SHARES, atol=0.02)


def test_mixed_units_that_need_another_order_still_give_every_class_to_every_part() -> None:
    rng = np.random.default_rng(0)
    contents = [[0] * int(rng.integers(1, 30)) + [1] * int(rng.integers(0, 30)) for _ in range(30)]
    for unit, code in ((3, 2), (11, 2), (25, 2), (3, 3), (7, 3), (19, 3)):  # two classes with exactly three units each
        contents[unit].append(code)
    for seed in range(10):
        assert not any(shared_out(contents, SHARES, seed)[1])


def test_mixtures_that_cannot_work_are_reported() -> None:
    # Three classes, each in two of three units: two parts cannot both hold all of them.
    _, missing = shared_out([[0, 2], [0, 1], [1, 2]], [0.5, 0.5])
    assert any(missing)
