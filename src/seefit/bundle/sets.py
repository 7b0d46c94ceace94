"""Sets of classes that hold the true one at a stated rate: the rule that a bundle carries, and what it gives.

A class comes into the set of an image when its score is no higher than the limit of that class. The score is what lies above the
class: the probability of the likelier classes and a part of its own, that part drawn evenly between all and nothing (Romano, Sesia &
Candès 2020, arXiv 2006.02544, equations 5-8: APS); beyond the first few ranks each further one adds a penalty, so that sets stay
small where there are many classes (Angelopoulos et al. 2021, arXiv 2009.14193, section 2.2: RAPS). By their definition a set can be
empty, most often that of a clear picture. A set that keeps the likeliest class gives it the score 0, for fitting and in use alike: no
set is empty, and the promise holds as before.

The draw comes from the image's own content: the same file always gets the same set.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

PENALTY, FREE_RANKS = 0.01, 5  # of RAPS: the fixed values of Angelopoulos et al. 2021, section 3.4


@dataclass(frozen=True)
class SetRule:
    """What turns probabilities into sets of classes.

    Attributes:
        coverage: How often a set is to hold the true class, in (0, 1).
        limits: (C,) the highest score with which each class is in a set.
        own: (C,) whether the limit of a class comes from its own images alone; else it is that of all images.
        penalty: What each rank beyond ``free`` adds to a score; 0 for APS.
        free: How many ranks are without a penalty.
        keeps_first: Whether the likeliest class has the score 0, so that every set holds it.
    """

    coverage: float
    limits: Floats
    own: NDArray[np.bool_]
    penalty: float = PENALTY
    free: int = FREE_RANKS
    keeps_first: bool = True

    def sets(self, probabilities: ArrayLike, draws: ArrayLike | None) -> NDArray[np.bool_]:
        """Return which classes are in the set of each image.

        Args:
            probabilities: (N, C), calibrated.
            draws: (N,) in [0, 1), from `content_draws`; None counts every class's own probability in full.

        Returns:
            (N, C) bool.
        """
        table = np.asarray(probabilities, np.float64)
        order = np.argsort(-table, axis=1, kind="stable")
        ranked = np.take_along_axis(table, order, axis=1)
        counted = ranked if draws is None else ranked * (1 - np.asarray(draws, np.float64)[:, None])
        scores = np.cumsum(ranked, axis=1) - ranked + counted + rank_penalty(np.arange(table.shape[1]), self.penalty, self.free)
        if self.keeps_first:
            scores[:, 0] = 0
        inside = scores <= self.limits[order]
        found = np.empty_like(inside)
        np.put_along_axis(found, order, inside, axis=1)
        return found

    def to_json(self, classes: Sequence[str]) -> dict[str, Any]:
        """Return the rule as a manifest holds it: the limit of all images, and by name those of classes that have their own."""
        rest = self.limits[~self.own]
        return {
            "coverage": self.coverage,
            "method": "raps" if self.penalty else "aps",
            "penalty": self.penalty,
            "free_ranks": self.free,
            "keeps_first": self.keeps_first,
            "limit": float(rest[0]) if len(rest) else None,
            "class_limits": {name: float(limit) for name, limit, own in zip(classes, self.limits, self.own, strict=True) if own},
        }

    @classmethod
    def from_json(cls, said: dict[str, Any], classes: Sequence[str]) -> SetRule:
        """Read what `to_json` wrote."""
        limits: dict[str, float] = said["class_limits"]
        values = [limits.get(name, said["limit"]) for name in classes]
        own = np.array([name in limits for name in classes])
        return cls(said["coverage"], np.array(values, np.float64), own, said["penalty"], said["free_ranks"], said["keeps_first"])


def rank_penalty(ranks: NDArray[np.integer[Any]], penalty: float, free: int) -> Floats:
    """Return what ranks, from 0, add to a score."""
    beyond: Floats = np.maximum(ranks + 1.0 - free, 0)
    return penalty * beyond


def content_draws(sha256: Sequence[str]) -> Floats:
    """Return (N,) numbers that are evenly spread over [0, 1), each from the sha256 of an image's file."""
    return np.array([int(hashlib.sha256(f"set {digest}".encode()).hexdigest()[:13], 16) / 16**13 for digest in sha256])
