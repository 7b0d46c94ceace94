"""The folds of a study: repeated, stratified, groups and duplicates whole, the same for all arms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seefit.data.split import k_folds
from seefit.errors import DataError
from seefit.evaluation.forecast import growing_order

Ints = NDArray[np.intp]
STEP = 7919  # between the seeds of repeats


@dataclass(frozen=True)
class Fold:
    """One division of the images of a study.

    Attributes:
        repeat: Of the whole cross-validation, from 0.
        number: Within the repeat, from 0.
        train: Positions of the images to learn from, rising.
        held_out: Positions of those to be judged on, rising.
    """

    repeat: int
    number: int
    train: Ints
    held_out: Ints


def make_study_folds(labels: NDArray[np.int64], units: NDArray[np.int64], *, folds: int, repeats: int, seed: int) -> list[Fold]:
    """Divide images into folds, several times over.

    Where the sizes of groups leave no choice, a repeat may come out as one before; it would count one judgement twice and is left out.

    Args:
        labels: (N,) class numbers.
        units: (N,) images of one number stay together.
        folds: Folds of a repeat; fewer where the smallest class has fewer units.
        repeats: How often, at most.
        seed: Of the divisions.

    Raises:
        DataError: Some class cannot be both learnt and held out.
    """
    made: list[Fold] = []
    seen: set[bytes] = set()
    for repeat in range(repeats):
        drawn = _draw(labels, units, folds, seed + STEP * repeat, seen)
        if drawn is not None:
            number = made[-1].repeat + 1 if made else 0
            made += [Fold(number, i, train, held_out) for i, (train, held_out) in enumerate(drawn)]
    return made


def _draw(labels: NDArray[np.int64], units: NDArray[np.int64], k: int, seed: int, seen: set[bytes]) -> list[tuple[Ints, Ints]] | None:
    """Return a division that was not seen before; first with units by size, which balances best, then by chance; None for none."""
    for shuffled in (False, True):
        try:
            drawn = k_folds(labels, units, k=k, seed=seed, shuffled=shuffled)
        except ValueError as error:
            raise DataError(
                "Cannot divide the images into folds",
                where="training and validation part",
                expected="two separate images or groups of every class at least",
                got=str(error),
                hint="Add images, leave out the classes that are too small, or use finer groups with --group-by",
            ) from error
        name = b"|".join(sorted(held_out.tobytes() for _, held_out in drawn))
        if name not in seen:
            seen.add(name)
            return drawn
    return None


def thin_out(fold: Fold, labels: NDArray[np.int64], units: NDArray[np.int64], share: float, *, seed: int) -> Ints:
    """Return the positions of a share of a fold's training images: whole units, all classes in about their shares.

    A smaller share lies within a larger one.

    Args:
        fold: The fold.
        labels: (N,) class numbers of all images.
        units: (N,) images of one number stay together.
        share: In (0, 1]; 1 for all.
        seed: Of the choice.
    """
    if share == 1:
        return fold.train
    order = growing_order(labels[fold.train], units[fold.train], np.random.default_rng([seed, fold.repeat, fold.number]))
    return np.sort(fold.train[order[: max(1, round(share * len(fold.train)))]])


def cut_validation(rows: Ints, labels: NDArray[np.int64], units: NDArray[np.int64], share: float, *, seed: int) -> tuple[Ints, Ints]:
    """Return training and validation rows: a share of the images, stratified, units whole, tells the best epoch and the temperature.

    Args:
        rows: Positions of the images to learn from.
        labels: (N,) class numbers of all images.
        units: (N,) images of one number stay together.
        share: Of the rows, in [0, 1); 0 for no validation rows.
        seed: Of the division.
    """
    if share == 0:
        return rows, rows[:0]
    try:
        train, val = k_folds(labels[rows], units[rows], k=max(2, round(1 / share)), seed=seed)[0]
    except ValueError:  # too few units of some class: then the last epoch counts
        return rows, rows[:0]
    return rows[train], rows[val]
