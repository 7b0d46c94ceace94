"""The split of a data set that grows: every older image stays in its part, and the new ones are divided.

New images that belong with older ones (look-alikes, the same group) go to their side. The others are cut by the rule of
`seefit.data.split.make_split`, as if they were a data set of their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from seefit.data.dataset import natural_order
from seefit.data.listing import first_five
from seefit.data.scan import Scan, subset
from seefit.data.split import Split, make_split

SIDES = ("test", "val", "train")  # the side of what belongs with older images of several parts: the first of them


def grow_split(
    seen: Scan,
    older: Collection[str],
    *,
    val: float,
    test: float,
    test_from_val: float | None = None,
    seed: int = 0,
) -> tuple[Scan, Split]:
    """Leave every older image in its part and divide the new ones.

    Of the new images that belong with no older one a given split wins; else they are cut, but where an older class has too few
    of them to be in every part they all go to train.

    Args:
        seen: The scan of old and new images; the older ones carry their part as split.
        older: The names of the older images.
        val: Validation part as a share of the new images.
        test: Test part as a share of the new images.
        test_from_val: As in `make_split`.
        seed: Another seed draws another split of the new images.

    Returns:
        The scan again, with what stands on several sides now; and the split of all.

    Raises:
        DataError: A new class has too few images to be in every part.
    """
    samples, older = seen.samples, frozenset(older)
    units = make_split(samples, seen.sha256, seen.clusters, val=0, test=0).units
    parts = [sample.split if sample.name in older else None for sample in samples]
    sides = _sides(parts, units)
    linked = [i for i, part in enumerate(parts) if part is None and units[i] in sides]
    for i in linked:
        parts[i] = sides[units[i]]
    free = [i for i, part in enumerate(parts) if part is None]
    notes = [f"{len(linked):,} new images belong with earlier ones and keep to their side."] if linked else []
    if any(samples[i].split for i in free):
        given = [samples[i].split or "train" for i in free]
    else:
        classes = {sample.label or "" for sample in samples if sample.name in older}
        given, more = _cut(seen, free, units, classes, {"val": val, "test": test, "test_from_val": test_from_val, "seed": seed})
        notes += more
    for i, part in zip(free, given, strict=True):
        parts[i] = part
    placed = subset(seen, range(len(samples)), [replace(sample, split=part) for sample, part in zip(samples, parts, strict=True)])
    whole = make_split(placed.samples, seen.sha256, seen.clusters, val=0, test=0, seed=seed)
    return placed, Split(whole.parts, whole.units, seed, notes)


def _sides(parts: Sequence[str | None], units: Sequence[int]) -> dict[int, str]:
    """Return the side of each unit that holds older images."""
    sides: dict[int, str] = {}
    for part, unit in zip(parts, units, strict=True):
        if part is not None:
            sides[unit] = min(part, sides.get(unit, part), key=SIDES.index)
    return sides


def _cut(
    seen: Scan, free: Sequence[int], units: Sequence[int], classes: Collection[str], how: Mapping[str, Any]
) -> tuple[list[str], list[str]]:
    """Return the parts of new images that belong with no older one, and notes; ``classes`` are the older ones."""
    wanted = 1 + (how["val"] > 0) + (how["test"] > 0 or how["test_from_val"] is not None)
    labels = {i: seen.samples[i].label or "" for i in free}
    few = _too_few({(labels[i], units[i]) for i in free}, classes, wanted)
    rest = [i for i in free if units[i] not in few]
    part: dict[int, str] = {}
    notes: list[str] = []
    if rest:
        cut = make_split([seen.samples[i] for i in rest], [seen.sha256[i] for i in rest], [seen.clusters[i] for i in rest], **how)
        part = dict(zip(rest, cut.parts, strict=True))
        notes += cut.notes
    if len(rest) < len(free):
        names = natural_order({labels[i] for i in free if units[i] in few})
        notes.append(
            f"{len(free) - len(rest):,} new images, too few of their class to be in every part, go to train ({first_five(names)})."
        )
    return [part.get(i, "train") for i in free], notes


def _too_few(pairs: Collection[tuple[str, int]], classes: Collection[str], wanted: int) -> set[int]:
    """Return the units of some classes that have fewer of them than there are parts; ``pairs`` are a class and a unit that holds it."""
    few: set[int] = set()
    while True:
        left = [(label, unit) for label, unit in pairs if unit not in few]
        counts = Counter(label for label, _ in left)
        more = {unit for label, unit in left if label in classes and counts[label] < wanted}
        if not more:
            return few
        few |= more
