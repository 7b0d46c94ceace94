"""Training, validation and test part: stratified, seeded, with what belongs together on one side.

Images that share a group, their exact bytes or a near-duplicate cluster form one *unit*, transitively, and a
unit is never torn. Everything is ordered by content hash, so the same data give the same split whatever the
order, the folder or the names under which the files are listed.

How units are shared out is stated in `seefit.data.stratify`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seefit.data.dataset import SPLITS, Sample
from seefit.data.stratify import Ints, distribute, units_per_class
from seefit.errors import DataError, SeefitError, UsageError, raise_all

_NOTABLE = 0.05  # a part this far from the share that was asked for is worth a sentence


@dataclass
class Split:
    """Which part each image belongs to.

    Attributes:
        parts: ``train``, ``val`` or ``test`` for each sample, in the order of the samples.
        units: The unit of each sample; samples with the same number belong together. Numbered by content,
            so that the numbers too are the same whatever the order of the samples.
        seed: What the split was drawn with.
        notes: Sentences for the user.
    """

    parts: list[str]
    units: list[int]
    seed: int
    notes: list[str] = field(default_factory=list)

    def index(self, part: str) -> Ints:
        """Return the positions of the samples of one part, rising."""
        return np.flatnonzero(np.array([own == part for own in self.parts], dtype=bool))


def make_split(
    samples: Sequence[Sample],
    sha256: Sequence[str],
    clusters: Sequence[int],
    *,
    val: float = 0.15,
    test: float = 0.15,
    test_from_val: float | None = None,
    seed: int = 0,
) -> Split:
    """Divide labelled samples into a training, a validation and a test part by the rule of `seefit.data.stratify`.

    A split that the samples carry wins; only what it leaves open is cut: with train and test alone the validation
    part comes out of train, with train and val alone there is no test part unless ``test_from_val`` asks for one, and
    with train alone both are cut. Samples without a split beside others that have one go to train, with a note.

    Args:
        samples: The images with their labels.
        sha256: The hash of each file's content.
        clusters: The near-duplicate cluster of each image: any number, the same for look-alikes. A negative
            number means that the image has none.
        val: Validation part as a share of all images, in [0, 1); 0 for none.
        test: Test part as a share of all images, in [0, 1); 0 for none.
        test_from_val: The share of the validation part, in (0, 1), that becomes the test part; takes the place of ``test``.
        seed: Another seed draws another split.

    Returns:
        The part and the unit of each sample.

    Raises:
        UsageError: Shares that cannot be met.
        DataError: A class has fewer units than there are parts to cut, or is missing from a given training part.
    """
    raise_all(_bad_shares(val, test, test_from_val))
    units, keys = _units(samples, sha256, clusters)
    given, notes = _given_parts(samples)
    source, shares = _plan(given, val, test, test_from_val, notes)
    parts = np.array(given if source else ["train"] * len(samples), dtype=object)
    if len(shares) > 1:
        pool = np.flatnonzero(parts == source) if source else np.arange(len(samples))
        parts[pool] = _cut([samples[i].label or "" for i in pool.tolist()], units[pool], keys, shares, seed)
        notes += _share_notes(parts[pool], shares)
    if source:
        notes += _check_given(samples, parts)
    return Split(parts.tolist(), units.tolist(), seed, notes)


def k_folds(labels: ArrayLike, units: ArrayLike, *, k: int, seed: int, shuffled: bool = False) -> list[tuple[Ints, Ints]]:
    """Divide images into folds of equal size, stratified, units whole, by the rule of `seefit.data.stratify`.

    Args:
        labels: (N,) int, the class of each image.
        units: (N,) int, images with the same number stay in one fold. With the numbers of a `Split` the folds do
            not depend on the order of the images.
        k: How many folds, at least 2; lowered to the number of units of the smallest class, since every fold needs one.
        seed: Another seed draws other folds.
        shuffled: Place units by chance first, not by size: where all sizes differ, other seeds would give the same folds.

    Returns:
        ``(training positions, held-out positions)`` per fold, both rising; every image is held out once.

    Raises:
        ValueError: No class can be both learnt and held out: a class has all its images in one unit.
    """
    labels, units = np.asarray(labels, dtype=np.intp), np.asarray(units, dtype=np.intp)
    codes = np.unique(labels, return_inverse=True)[1]
    names, members = np.unique(units, return_inverse=True)
    k = min(k, int(units_per_class(codes, members).min(initial=k)))
    if k < 2:
        raise ValueError("cross-validation needs at least two separate images or groups of every class")
    places, _ = distribute(codes, members, [str(name) for name in names], [1 / k] * k, seed, shuffled=shuffled)
    fold = places[members]
    pairs = np.unique(codes * k + fold)
    if np.bincount(pairs // k).min() < 2:
        raise ValueError("groups hold the classes in such a mixture that one class would be in a single fold")
    return [(np.flatnonzero(fold != held), np.flatnonzero(fold == held)) for held in range(k)]


# ---- units ----------------------------------------------------------------------------------------------------


def _units(samples: Sequence[Sample], sha256: Sequence[str], clusters: Sequence[int]) -> tuple[Ints, list[str]]:
    """Return the unit of each sample and the key of each unit, its lowest hash; both depend on content alone."""
    joined = _connect(
        [
            list(sha256),
            [sample.group for sample in samples],
            [cluster if cluster >= 0 else None for cluster in clusters],
        ]
    )
    numbers: dict[int, int] = {}
    keys = []
    for digest, component in sorted(zip(sha256, joined, strict=True)):
        if component not in numbers:
            numbers[component] = len(numbers)
            keys.append(digest)
    return np.array([numbers[component] for component in joined], dtype=np.intp), keys


def _connect(columns: Sequence[Sequence[Hashable | None]]) -> list[int]:
    """Return a component number per row; rows that share a value in any column are connected, None connects nothing."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n = len(columns[0])
    nodes: dict[tuple[int, Hashable], int] = {}
    rows, targets = [], []
    for kind, column in enumerate(columns):
        for row, value in enumerate(column):
            if value is not None:
                rows.append(row)
                targets.append(n + nodes.setdefault((kind, value), len(nodes)))
    size = n + len(nodes)
    graph = coo_array((np.ones(len(rows), dtype=bool), (rows, targets)), shape=(size, size))
    components: list[int] = connected_components(graph, directed=False)[1][:n].tolist()
    return components


# ---- what is given and what is to be cut ----------------------------------------------------------------------


def _bad_shares(val: float, test: float, test_from_val: float | None) -> list[SeefitError]:
    named = {"--val": val} | ({"--test": test} if test_from_val is None else {})
    problems: list[SeefitError] = [
        _bad_share(option, "a share of all images of at least 0 and below 1", share)
        for option, share in named.items()
        if not 0 <= share < 1
    ]
    if not problems and sum(named.values()) >= 1:
        problems.append(_bad_share("--val and --test", "shares that leave images to train on", sum(named.values()), " in all"))
    if test_from_val is not None and not 0 < test_from_val < 1:
        problems.append(_bad_share("--test-from-val", "a share of the validation part between 0 and 1", test_from_val))
    return problems


def _bad_share(where: str, expected: str, share: float, suffix: str = "") -> UsageError:
    hint = "Give shares such as --val 0.15 --test 0.15"
    return UsageError("Cannot split the images", where=where, expected=expected, got=f"{share:g}{suffix}", hint=hint)


def _given_parts(samples: Sequence[Sample]) -> tuple[list[str], list[str]]:
    """Return the given part of each sample, train where there is none, and a note when that fills gaps."""
    bare = sum(sample.split is None for sample in samples)
    notes = []
    if bare and any(sample.split not in {None, "train"} for sample in samples):
        notes.append(f"{bare:,} of {len(samples):,} images have no split while others do: they go to train.")
    return [sample.split or "train" for sample in samples], notes


def _plan(given: Sequence[str], val: float, test: float, from_val: float | None, notes: list[str]) -> tuple[str, dict[str, float]]:
    """Return the given part that is cut ("" for all images) and the shares it is cut into; no shares where nothing is cut."""
    counts = Counter(given)
    if "test" in counts and from_val is not None:
        hint = "Leave --test-from-val out, or give the data without a test part"
        raise UsageError("Cannot cut a test part", where="--test-from-val", expected="data without one", got="a given test part", hint=hint)
    if counts.keys() <= {"train"}:
        return "", _shares(val * (1 - (from_val or 0)), test if from_val is None else val * from_val, from_val)
    if "test" not in counts:
        if from_val is not None:
            return "val", {"val": 1 - from_val, "test": from_val}
        notes.append("The data come with a training and a validation part only, so there is no test part; --test-from-val 0.2 makes one.")
    if "val" not in counts and val > 0 and counts["train"]:
        share = val * len(given) / counts["train"]
        if share >= 1:
            raise _bad_share("--val", f"less than the {counts['train'] / len(given):.1%} of the images that the given train holds", val)
        return "train", {"train": 1 - share, "val": share}
    return "train", {}


def _shares(val: float, test: float, from_val: float | None) -> dict[str, float]:
    if from_val is not None and val == 0:
        raise _bad_share("--test-from-val", "a validation part to cut the test part from (--val above 0)", val)
    wanted = {"train": 1 - val - test, "val": val, "test": test}
    return {part: share for part, share in wanted.items() if share > 0}


def _check_given(samples: Sequence[Sample], parts: NDArray[np.object_]) -> list[str]:
    """Return notes on classes missing from a given val or test part.

    Raises:
        DataError: Classes are missing from the training part, each named.
    """
    classes: dict[str, set[str]] = {part: set() for part in SPLITS}
    for sample, part in zip(samples, parts, strict=True):
        classes[part].add(sample.label or "")
    every = set().union(*classes.values())
    raise_all([_untrained(label, [part for part in SPLITS if label in classes[part]]) for label in sorted(every - classes["train"])])
    return [
        f"The given {part} part has no image of {len(gone)} of {len(every)} classes: {', '.join(sorted(gone)[:5])}{' …' * (len(gone) > 5)}."
        for part in ("val", "test")
        if classes[part] and (gone := every - classes[part])
    ]


def _untrained(label: str, parts: Sequence[str]) -> DataError:
    hint = "Put images of every class into the training part, or give the data without a split"
    return DataError(
        "Class missing from train",
        where=label,
        expected="images in the given train",
        got=f"images in {' and '.join(parts)} only",
        hint=hint,
    )


def _share_notes(parts: NDArray[np.object_], shares: Mapping[str, float]) -> list[str]:
    got = {part: float(np.mean(parts == part)) for part in shares}
    if all(abs(got[part] - share) <= _NOTABLE for part, share in shares.items()):
        return []
    told = ", ".join(f"{part} {got[part]:.0%} instead of {share:.0%}" for part, share in shares.items())
    return [f"Shares of the images: {told}; groups and duplicates stay together and every class needs an image in every part."]


# ---- the cut --------------------------------------------------------------------------------------------------


def _cut(labels: Sequence[str], units: Ints, keys: Sequence[str], shares: Mapping[str, float], seed: int) -> list[str]:
    """Return a part per image.

    Raises:
        DataError: Classes that cannot be in every part, each named.
    """
    names = sorted(set(labels))
    number = {name: code for code, name in enumerate(names)}
    codes = np.array([number[label] for label in labels], dtype=np.intp)
    images, enough = np.bincount(codes), units_per_class(codes, units)
    present, members = np.unique(units, return_inverse=True)
    raise_all([_too_small(names[c], int(enough[c]), int(images[c]), list(shares)) for c in np.flatnonzero(enough < len(shares))])
    places, missing = distribute(codes, members, [keys[unit] for unit in present], list(shares.values()), seed)
    parts = list(shares)
    raise_all([_torn(names[c], [parts[p] for p in sorted(gone)]) for c, gone in enumerate(missing) if gone])
    return [parts[place] for place in places[members]]


def _too_small(label: str, units: int, images: int, parts: Sequence[str]) -> DataError:
    together = f" ({images} images, some of which belong together)" if images > units else ""
    return DataError(
        "Class too small to split",
        where=label,
        expected=f"at least {len(parts)} images or groups, one each for {', '.join(parts)}",
        got=f"{units}{together}",
        hint="Add images of the class, leave it out, or ask for fewer parts with --test 0 or --val 0",
    )


def _torn(label: str, parts: Sequence[str]) -> DataError:
    hint = "Use finer groups with --group-by, or ask for fewer parts with --test 0 or --val 0"
    return DataError("Cannot split by group", where=label, expected="images in every part", got=f"none in {' and '.join(parts)}", hint=hint)
