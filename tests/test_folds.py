"""The folds that all arms share."""

from __future__ import annotations

import numpy as np
import pytest

from seefit.errors import DataError
from seefit.studies.folds import cut_validation, make_study_folds, thin_out

RNG = np.random.default_rng(0)
LABELS = RNG.integers(3, size=120)
ALONE = np.arange(120)
BLOCKS = np.arange(120) // 4


@pytest.mark.parametrize("units", [ALONE, BLOCKS], ids=["alone", "groups"])
def test_every_image_is_held_out_once_a_repeat_and_units_stay_whole(units: np.ndarray) -> None:
    folds = make_study_folds(LABELS, units, folds=3, repeats=4, seed=0)
    assert [(fold.repeat, fold.number) for fold in folds] == [(r, k) for r in range(4) for k in range(3)]
    for repeat in range(4):
        held = np.concatenate([fold.held_out for fold in folds if fold.repeat == repeat])
        assert sorted(held.tolist()) == list(range(120))
    for fold in folds:
        assert not set(fold.train) & set(fold.held_out)
        assert len(fold.train) + len(fold.held_out) == 120
        assert not set(units[fold.train]) & set(units[fold.held_out])
        shares = np.bincount(LABELS[fold.held_out], minlength=3) / len(fold.held_out)
        assert np.abs(shares - np.bincount(LABELS) / 120).max() < (0.02 if units is ALONE else 0.15)


def test_repeats_differ_and_the_seed_decides() -> None:
    def held(seed: int) -> list[bytes]:
        return [fold.held_out.tobytes() for fold in make_study_folds(LABELS, ALONE, folds=3, repeats=3, seed=seed)]

    assert held(0) == held(0)
    assert len(set(held(0))) == 9
    assert held(0) != held(1)


def test_groups_of_different_sizes_are_divided_anew_too() -> None:
    units = np.repeat(np.arange(15), np.arange(1, 16))  # by size alone there is one order
    labels = units % 2
    folds = make_study_folds(labels, units, folds=3, repeats=5, seed=0)
    assert len(folds) == 15
    assert len({b"".join(sorted(f.held_out.tobytes() for f in folds if f.repeat == r)) for r in range(5)}) == 5


def test_a_repeat_that_was_there_before_is_left_out() -> None:
    labels, units = np.array([0, 0, 1, 1] * 2), np.array([0, 0, 1, 1, 2, 2, 3, 3])
    folds = make_study_folds(labels, units, folds=2, repeats=10, seed=0)
    assert len(folds) <= 4  # there are two ways to divide two units each of two classes
    assert folds[-1].repeat == len(folds) // 2 - 1


def test_a_class_that_cannot_be_held_out_is_told() -> None:
    with pytest.raises(DataError, match="Cannot divide the images into folds: training and validation part") as error:
        make_study_folds(np.array([0, 0, 0, 1]), np.arange(4), folds=3, repeats=1, seed=0)
    assert error.value.exit_code == 3


def test_a_share_of_the_training_images_keeps_units_classes_and_lies_within_a_larger_one() -> None:
    fold = make_study_folds(LABELS, BLOCKS, folds=3, repeats=1, seed=0)[0]
    half, tenth = (thin_out(fold, LABELS, BLOCKS, share, seed=0) for share in (0.5, 0.1))
    assert len(half) == round(len(fold.train) / 2)
    assert set(tenth) < set(half) < set(fold.train)
    assert set(LABELS[half]) == {0, 1, 2}
    torn = [unit for unit in set(BLOCKS[half]) if (BLOCKS[fold.train] == unit).sum() != (BLOCKS[half] == unit).sum()]
    assert len(torn) <= 1
    np.testing.assert_array_equal(thin_out(fold, LABELS, BLOCKS, 1, seed=0), fold.train)


def test_validation_rows_are_cut_from_what_is_learnt_from() -> None:
    rows = np.arange(20, 120)
    train, val = cut_validation(rows, LABELS, BLOCKS, 0.15, seed=0)
    assert sorted([*train, *val]) == rows.tolist()
    assert 8 <= len(val) <= 25
    assert not set(BLOCKS[train]) & set(BLOCKS[val])
    assert len(cut_validation(rows, LABELS, BLOCKS, 0, seed=0)[1]) == 0
    assert len(cut_validation(np.arange(3), np.array([0, 0, 1]), np.arange(3), 0.15, seed=0)[1]) == 0
