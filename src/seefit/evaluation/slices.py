"""Slices: kinds of pictures that a model does badly on, such as dark ones, and whether that is more than chance.

Every slice is compared with all other judged images. Many slices are looked at, so p-values are Holm's (1979): where any slice at all is
called bad, that is wrong in at most 5 of 100 data sets without a bad slice.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seefit.evaluation.intervals import Floats, Ints, clustered_error, effective_groups, wilson
from seefit.evaluation.paired import ALPHA, Bools, holm

FEWEST = 10  # images of a slice, and of the others, below which nothing is said
THIRDS = ("low", "middle", "high")


@dataclass(frozen=True)
class Slice:
    """One kind of pictures: by which trait, which value of it, for thirds the range, and which images belong to it."""

    trait: str
    value: str
    members: Bools
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Judged:
    """What a slice came out as: images and share right inside and outside, the difference with its 95 % interval, and Holm's p."""

    slice: Slice
    n: int
    accuracy: float
    others: float
    difference: float
    low: float
    high: float
    p: float

    @property
    def bad(self) -> bool:
        """Whether it is worse than the others by more than chance."""
        return self.difference < 0 and self.p < ALPHA


def cut_slices(numbers: Mapping[str, Floats], kinds: Mapping[str, Sequence[str | None]]) -> list[Slice]:
    """Cut images into slices that are worth a look.

    Args:
        numbers: A trait with a number per image: cut into thirds; where many images share one number, into fewer. NaN is in none.
        kinds: A trait with a word per image, or None: a slice per word.

    Returns:
        Slices of at least 10 images that leave at least 10 others.
    """
    found = [part for trait, values in numbers.items() for part in _thirds(trait, np.asarray(values, np.float64))]
    for trait, words in kinds.items():
        table = np.array([word or "" for word in words], object)
        found += [Slice(trait, word, table == word) for word in dict.fromkeys(word for word in words if word)]
    return [one for one in found if min(one.members.sum(), (~one.members).sum()) >= FEWEST]


def judge_slices(slices: Sequence[Slice], right: Bools, groups: Ints | None = None, *, apart: str = "group") -> list[Judged]:
    """Compare each slice with the other images, the worst first.

    Independent images: Fisher's exact test, and Newcombe's interval of a difference (1998, "Interval estimation for the difference between
    independent proportions", method 10). Images in groups: the difference may move as much as it does from group to group (Liang &
    Zeger 1986), with a t test whose degrees of freedom are the groups that the slice in effect comes from, less one; but never less than
    for independent images, and a slice out of fewer than two groups tells nothing. Slices that are groups themselves are judged like
    independent images: what is asked is whether this very group is worse.

    Args:
        slices: From `cut_slices`.
        right: (N,) whether each image was named right.
        groups: (N,) numbers of groups that resemble each other inside; None for independent images.
        apart: The trait whose slices are the groups.
    """
    clustered = [None if one.trait == apart else groups for one in slices]
    raw = [_compare(one.members, right, units) for one, units in zip(slices, clustered, strict=True)]
    adjusted = holm([p for *_, p in raw])
    judged = [
        Judged(one, int(one.members.sum()), float(right[one.members].mean()), float(right[~one.members].mean()), *found[:3], p)
        for one, found, p in zip(slices, raw, adjusted, strict=True)
    ]
    return sorted(judged, key=lambda one: (one.p if one.difference < 0 else 2 - one.p, one.difference))


def fisher(hits: int, n: int, others: int, m: int) -> float:
    """Return the two-sided p of Fisher's exact test: tables no likelier than this one. `scipy.stats` takes half a second to load.

    Args:
        hits: Right among the n images of one kind.
        n: At least 1.
        others: Right among the m other images.
        m: At least 1.
    """
    from scipy.special import gammaln

    def log_choose(top: int, below: NDArray[np.int64]) -> Floats:
        return np.asarray(gammaln(top + 1) - gammaln(below + 1) - gammaln(top - below + 1), np.float64)

    total = hits + others
    possible = np.arange(max(0, total - m), min(n, total) + 1)
    logs = log_choose(n, possible) + log_choose(m, total - possible)
    chances = np.exp(logs - logs.max())
    return float(chances[chances <= chances[hits - possible[0]] * (1 + 1e-7)].sum() / chances.sum())


def _thirds(trait: str, values: Floats) -> list[Slice]:
    """Cut at the terciles; equal numbers stay together, so that there may be two parts or one, which is none."""
    known = np.isfinite(values)
    ends = np.quantile(values[known], [1 / 3, 2 / 3]) if known.any() else np.zeros(2)
    places = np.where(known, np.searchsorted(ends, values, side="left"), -1)
    present = np.unique(places[known])
    if len(present) < 2:
        return []
    names = THIRDS if len(present) == 3 else (THIRDS[0], THIRDS[2])
    return [
        Slice(trait, name, places == place, float(values[places == place].min()), float(values[places == place].max()))
        for name, place in zip(names, present, strict=True)
    ]


def _compare(members: Bools, right: Bools, groups: Ints | None) -> tuple[float, float, float, float]:
    """Return the difference of accuracy inside and outside, both ends of its interval, and p."""
    if groups is None:
        return _independent(members, right)
    return _clustered(members, right, groups)


def _independent(members: Bools, right: Bools) -> tuple[float, float, float, float]:
    sizes = np.array([members.sum(), (~members).sum()])
    hits = np.array([right[members].sum(), right[~members].sum()])
    inside, outside = hits / sizes
    (low, low_out), (high, high_out) = wilson(hits / sizes, sizes)
    difference = float(inside - outside)
    down, up = math.hypot(inside - low, high_out - outside), math.hypot(high - inside, outside - low_out)
    p = fisher(int(hits[0]), int(sizes[0]), int(hits[1]), int(sizes[1]))
    return difference, max(-1.0, difference - down), min(1.0, difference + up), p


def _clustered(members: Bools, right: Bools, groups: Ints) -> tuple[float, float, float, float]:
    from scipy.special import stdtr, stdtrit

    difference, *ends, p = _independent(members, right)
    freedom = min(effective_groups(groups[side]) for side in (members, ~members)) - 1
    if freedom < 1:  # in effect one group on one side: whether it is the kind of picture or the group, nobody can tell
        return difference, -1.0, 1.0, 1.0
    influence = np.where(members, (right - right[members].mean()) / members.sum(), -(right - right[~members].mean()) / (~members).sum())
    spread = clustered_error(influence, groups)
    half = float(stdtrit(freedom, 0.975)) * spread
    p = max(p, float(2 * stdtr(freedom, -abs(difference) / spread)) if spread > 0 else 0.0)
    return difference, max(-1.0, min(ends[0], difference - half)), min(1.0, max(ends[1], difference + half)), p
