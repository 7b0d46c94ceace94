"""Sharing units of images out over parts or folds so that every class is in each in the right proportion.

The rule. Each class gets a whole number of images per part: its ideal share rounded so that it is less than one image
off and so that the totals over all classes stay near their shares too, but at least one image per part. Then units are
placed one by one, the largest first and equal ones in the order of their seeded hash, each into the part where it
lowers the chi-square distance between what the classes have and what they should have most:
``sum over its classes of m * (m - 2 * deficit) / target``. A unit goes to a part that lacks its class as soon
as the class has no unit to spare. Without groups and duplicates the whole numbers are met exactly.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.intp]

_ORDERINGS = 10  # how many orders are tried where units of several classes get into each other's way


def units_per_class(codes: Ints, units: Ints) -> Ints:
    """Return the number of units that hold each class."""
    if not len(codes):
        return np.zeros(0, dtype=np.intp)
    return np.bincount(np.unique(units * (int(codes.max()) + 1) + codes) % (int(codes.max()) + 1))


def distribute(
    codes: Ints, units: Ints, keys: Sequence[str], shares: Sequence[float], seed: int, *, shuffled: bool = False
) -> tuple[Ints, list[set[int]]]:
    """Return a part number per unit and, per class, the parts that it is missing from.

    Args:
        codes: (N,) the class of each image, 0 to C - 1, each present.
        units: (N,) the unit of each image, 0 to U - 1, each present.
        keys: (U,) what names each unit, whatever the order of the images.
        shares: (P,) the share of each part, summing to 1.
        seed: Mixed into the order of equal units.
        shuffled: Begin with the second ordering, in which sizes do not decide.
    """
    spare = units_per_class(codes, units)
    targets = _targets(np.bincount(codes), spare, shares)
    contents = _contents(codes, units, len(keys))
    for ordering in range(int(shuffled), _ORDERINGS):
        order = _order(contents, keys, spare, seed, ordering)
        places, missing = _place(contents, order, targets, spare)
        if not any(missing) or all(len(content) == 1 for content in contents):
            break
    return np.array(places, dtype=np.intp), missing


def _targets(images: Ints, units: Ints, shares: Sequence[float]) -> list[list[int]]:
    """Return the whole number of images that each class should have in each part (C, P)."""
    carried = np.zeros(len(shares))  # what the classes so far have left open in each part
    targets = []
    for total, spare in zip(images.tolist(), units.tolist(), strict=True):
        ideal = total * np.asarray(shares)
        whole = np.floor(ideal + 1e-9)
        part = np.where(ideal - whole > 1e-9, ideal - whole + carried, -np.inf)
        whole[np.argsort(-part, kind="stable")[: int(total - whole.sum())]] += 1
        while spare >= len(shares) and whole.min() < 1:
            whole[whole.argmin()] += 1
            whole[whole.argmax()] -= 1
        carried += ideal - whole
        targets.append([int(number) for number in whole])
    return targets


def _contents(codes: Ints, units: Ints, n_units: int) -> list[list[tuple[int, int]]]:
    """Return per unit its classes, rising, each with its number of images."""
    width = int(codes.max(initial=0)) + 1
    pairs, sizes = np.unique(units * width + codes, return_counts=True)
    contents: list[list[tuple[int, int]]] = [[] for _ in range(n_units)]
    for pair, size in zip(pairs.tolist(), sizes.tolist(), strict=True):
        contents[pair // width].append((pair % width, size))
    return contents


def _order(contents: Sequence[list[tuple[int, int]]], keys: Sequence[str], spare: Ints, seed: int, ordering: int) -> list[int]:
    """Return the units, largest first; from the second ordering on roughly those of the scarcest classes first."""
    scarcity = (1 / np.maximum(spare, 1)).tolist()

    def rank(unit: int) -> tuple[float, bytes]:
        draw = hashlib.sha256(f"{seed}:{ordering}:{keys[unit]}".encode()).digest()
        if ordering == 0:
            return -float(sum(size for _, size in contents[unit])), draw
        return -sum(scarcity[code] for code, _ in contents[unit]) * (1 + draw[0] / 256), draw

    return sorted(range(len(contents)), key=rank)


def _place(
    contents: Sequence[list[tuple[int, int]]], order: Sequence[int], targets: Sequence[Sequence[int]], spare: Ints
) -> tuple[list[int], list[set[int]]]:
    """Place units in order; return a part per unit and, per class, the parts it is missing from."""
    parts = range(len(targets[0]) if targets else 0)
    deficits = [list(row) for row in targets]
    missing = [set(parts) for _ in targets]
    left = spare.tolist()
    places = [0] * len(contents)
    for unit in order:
        content = contents[unit]
        costs = [0.0] * len(parts)
        for code, m in content:
            costs = [cost + m * (m - 2 * lack) / (aim or 1) for cost, lack, aim in zip(costs, deficits[code], targets[code], strict=True)]
        if urgent := [missing[code] for code, _ in content if 0 < len(missing[code]) >= left[code]]:
            most = max(sum(p in gone for gone in urgent) for p in parts)
            costs = [cost if sum(p in gone for gone in urgent) == most else math.inf for p, cost in enumerate(costs)]
        place = costs.index(min(costs))
        places[unit] = place
        for code, size in content:
            deficits[code][place] -= size
            missing[code].discard(place)
            left[code] -= 1
    return places, missing
