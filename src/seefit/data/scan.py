"""The scan: every image decoded once, in parallel, before anything is learned from it.

What one file is comes from `seefit.data.findings` and is cached by content. What the files are together
(duplicates, conflicts, leaks) is worked out each time: it depends on the labels, which are never cached.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from seefit.console import QUIET, Console
from seefit.data.dataset import Dataset, Sample, Skip, colliding_classes, counts
from seefit.data.duplicates import star_clusters
from seefit.data.findings import Finding, find
from seefit.data.image import MAX_PIXELS
from seefit.data.listing import is_image
from seefit.data.looks import Look, brightness
from seefit.data.oddities import oddities
from seefit.errors import DataError, raise_all

CLASS_SHARE = 0.2  # of one class may be skipped
T = TypeVar("T")


@dataclass
class Scan:
    """What the files of a dataset are, one by one and together.

    The first four are aligned: one entry per usable image, in the order of the dataset.

    Attributes:
        samples: The usable images.
        sha256: Of their content, in hexadecimal.
        sizes: (N, 2) int64: width and height in pixels, upright, before any shrinking.
        clusters: The same number for exact duplicates and for near-duplicates.
        skips: What is left out, with reasons; begins with what the listing left out.
        unreadable: Files that the system does not let us read.
        duplicates: Names with the same bytes (and the same label).
        near_duplicates: Names of near-duplicates of different content.
        label_conflicts: Names with the same bytes under several labels; all of them are left out.
        leaks: Names with the same bytes on several sides of a given split.
        near_leaks: Names of near-duplicates on several sides of a given split.
        formats: Number of usable images per file format.
        modes: Number of usable images per colour model.
        looks: How the picture of each content looks.
        recalled: Names of images whose file is gone or changed, and that are known from the cache.
        warnings: Sentences about what is odd and accepted.
        seconds: What the scan took.
    """

    samples: list[Sample]
    sha256: list[str]
    sizes: NDArray[np.int64]
    clusters: list[int]
    skips: list[Skip] = field(default_factory=list)
    unreadable: list[Skip] = field(default_factory=list)
    duplicates: list[list[str]] = field(default_factory=list)
    near_duplicates: list[list[str]] = field(default_factory=list)
    label_conflicts: list[list[str]] = field(default_factory=list)
    leaks: list[list[str]] = field(default_factory=list)
    near_leaks: list[list[str]] = field(default_factory=list)
    formats: dict[str, int] = field(default_factory=dict)
    modes: dict[str, int] = field(default_factory=dict)
    looks: dict[str, Look] = field(default_factory=dict)
    recalled: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    seconds: float = 0.0


def scan(dataset: Dataset, *, max_pixels: int = MAX_PIXELS, known: Mapping[Sample, str] | None = None, console: Console = QUIET) -> Scan:
    """Decode every image of a dataset and compare them all.

    Args:
        dataset: With or without labels.
        max_pixels: Images with more pixels are skipped.
        known: What some files are known to hold, as in `seefit.data.findings.find`.
        console: Where the bar is shown.

    Returns:
        The findings. Nothing is raised for bad images: `check_usable` judges.

    Raises:
        ResourceError: The cache folder cannot be written to.
    """
    started = time.monotonic()
    findings, damaged = find(dataset.samples, max_pixels=max_pixels, known=known, console=console)
    result = _compare(dataset, findings)
    good = set(result.sha256)
    usable = [found for found in findings if found.sha256 in good]
    result.warnings = [*dataset.notes, *oddities(result.samples, usable), *_doubts(result)]
    if damaged:
        result.warnings.append(f"{damaged:,} damaged entries of the cache were found and worked out again.")
    result.seconds = time.monotonic() - started
    return result


def subset(scan: Scan, index: Sequence[int], samples: Sequence[Sample]) -> Scan:
    """Return the scan of some of its usable images, with what belongs together worked out again.

    Args:
        scan: The scan of all.
        index: Positions of the images to keep.
        samples: What they are called and said to be now; their content is the same.
    """
    chosen = replace(
        scan,
        samples=list(samples),
        sha256=[scan.sha256[i] for i in index],
        sizes=scan.sizes[list(index)],
        clusters=[scan.clusters[i] for i in index],
        duplicates=[],
        near_duplicates=[],
        leaks=[],
        near_leaks=[],
    )
    _name_groups(chosen)
    return chosen


def _compare(dataset: Dataset, findings: Sequence[Finding]) -> Scan:
    """Sort the samples into usable and not, and find what belongs together."""
    by_content = _groups(findings, lambda found: found.sha256 if found.reason is None else None)
    conflicts = {findings[members[0]].sha256: members for members in by_content if len({dataset.samples[i].label for i in members}) > 1}
    skips, unreadable, usable = list(dataset.skips), list[Skip](), list[int]()
    for i, (sample, found) in enumerate(zip(dataset.samples, findings, strict=True)):
        if found.reason is not None:
            (unreadable if found.unreadable else skips).append(Skip(sample.name, found.reason, found.size_bytes))
        elif found.sha256 in conflicts:
            skips.append(Skip(sample.name, _conflict(sample, [dataset.samples[j] for j in conflicts[found.sha256]]), found.size_bytes))
        else:
            usable.append(i)
    chosen = [findings[i] for i in usable]
    result = Scan(
        samples=[dataset.samples[i] for i in usable],
        sha256=[found.sha256 for found in chosen],
        sizes=np.array([(found.width, found.height) for found in chosen], np.int64).reshape(-1, 2),
        clusters=_clusters(chosen),
        skips=skips,
        unreadable=unreadable,
        label_conflicts=[[dataset.samples[i].name for i in members] for members in conflicts.values()],
        formats=dict(Counter(found.format for found in chosen).most_common()),
        modes=dict(Counter(found.mode for found in chosen).most_common()),
        looks={found.sha256: Look(found.format, brightness(found.fingerprint)) for found in chosen},
        recalled=[dataset.samples[i].name for i in usable if findings[i].recalled],
    )
    _name_groups(result)
    return result


def _groups(items: Iterable[T], key: Callable[[T], Hashable | None]) -> list[list[int]]:
    """Return the positions of items with equal keys, for keys that occur more than once; None is no key."""
    members: dict[Hashable, list[int]] = defaultdict(list)
    for i, item in enumerate(items):
        name = key(item)
        if name is not None:
            members[name].append(i)
    return [group for group in members.values() if len(group) > 1]


def _conflict(sample: Sample, same: Sequence[Sample]) -> str:
    other = next(other for other in same if other.label != sample.label)
    return f"same bytes as {other.name}, which is labelled {other.label!r}"


def _clusters(findings: Sequence[Finding]) -> list[int]:
    """Return the same number for equal content and for near-duplicates, whatever the order of the files."""
    marks = {found.sha256: found.fingerprint for found in findings}
    contents = sorted(marks)
    stands_for = star_clusters([marks[content] for content in contents])
    number = dict(zip(contents, stands_for.tolist(), strict=True))
    return [number[found.sha256] for found in findings]


def _name_groups(result: Scan) -> None:
    """Fill in the names of duplicates and near-duplicates, and which of them stand across a given split."""
    names = [sample.name for sample in result.samples]
    for group in _groups(result.sha256, lambda content: content):
        result.duplicates.append([names[i] for i in group])
        if _crosses(result.samples, group):
            result.leaks.append([names[i] for i in group])
    for group in _groups(result.clusters, lambda cluster: cluster):
        if len({result.sha256[i] for i in group}) > 1:
            result.near_duplicates.append([names[i] for i in group])
            if _crosses(result.samples, group):
                result.near_leaks.append([names[i] for i in group])


def _doubts(result: Scan) -> list[str]:
    """Say what near-duplicates make doubtful: labels that differ, and scores on a given split."""
    label_of = {sample.name: sample.label for sample in result.samples}
    torn = [group for group in result.near_duplicates if len({label_of[name] for name in group}) > 1]
    said = []
    if torn:
        said.append(f"{_groups_of(torn)} carry different labels, first {' and '.join(torn[0][:2])}: a label may be wrong.")
    if result.near_leaks:
        shown = " and ".join(result.near_leaks[0][:2])
        said.append(f"{_groups_of(result.near_leaks)} stand across the given split, first {shown}: scores may be too good.")
    return said


def _groups_of(near: list[list[str]]) -> str:
    return "The images of 1 group of near-duplicates" if len(near) == 1 else f"The images of {len(near):,} groups of near-duplicates"


def _crosses(samples: Sequence[Sample], group: Sequence[int]) -> bool:
    return len({samples[i].split for i in group} - {None}) > 1


def check_usable(
    scan: Scan,
    dataset: Dataset,
    *,
    parts: int,
    max_skipped: float = 0.01,
    allow_leak: bool = False,
) -> None:
    """Stop when training could not or should not start from these images.

    Args:
        scan: The scan of ``dataset``.
        dataset: The images and labels; without classes only reading and skipping are judged.
        parts: How many parts (training, validation, test) each class must be able to fill. With a given
            split: how many parts are to be cut from its training part, 1 for none.
        max_skipped: The largest share of all images that may be skipped, 0 to 1; of a single class 20 % may
            be, or this share where it is larger.
        allow_leak: Accept the same bytes on several sides of a given split.

    Raises:
        DataError: All the reasons together.
    """
    problems = [*_unreadable(scan, dataset), *_over_budget(scan, dataset, max_skipped)]
    if dataset.classes:
        problems += _bad_classes(scan, dataset, parts)
    if scan.leaks and not allow_leak:
        got = f"{len(scan.leaks):,} on several sides, first {' = '.join(scan.leaks[0])}"
        hint = "Remove the copies from one side, or accept them with --allow-leak"
        problems.append(
            DataError("Leak across the given split", where=dataset.source, expected="each image in one part only", got=got, hint=hint)
        )
    raise_all(problems)


def _unreadable(scan: Scan, dataset: Dataset) -> list[DataError]:
    if not scan.unreadable:
        return []
    first = scan.unreadable[0]
    return [
        DataError(
            "Cannot read some files",
            where=dataset.source,
            expected="files that you may read",
            got=f"{len(scan.unreadable):,} that the system refuses, first {first.name} ({first.reason})",
            hint="Change the permissions of these files, or move them out of the data",
        )
    ]


def _over_budget(scan: Scan, dataset: Dataset, max_skipped: float) -> list[DataError]:
    """Judge the share of skipped images, over all and per class; what is no image by its name does not count."""
    label_of = {sample.name: sample.label for sample in dataset.samples}
    lost = [skip for skip in scan.skips if skip.name in label_of or is_image(skip.name)]
    total = len(label_of) + sum(is_image(skip.name) for skip in dataset.skips)
    hint = "Repair or remove them (`seefit check` lists them all), or raise --max-skipped"
    problems = []
    if len(lost) > max_skipped * total:
        reasons = ", ".join(f"{count:,} x {reason}" for reason, count in Counter(_kind(skip.reason) for skip in lost).most_common(3))
        got, expected = f"{len(lost):,} of {total:,} ({reasons})", f"at most {_percent(max_skipped)} skipped"
        problems.append(DataError("Too many images cannot be used", where=dataset.source, expected=expected, got=got, hint=hint))
    share = max(max_skipped, CLASS_SHARE)
    per_class, gone = counts(dataset.samples), Counter(label_of.get(skip.name) for skip in lost)
    for label in dataset.classes:
        if gone[label] > share * per_class.get(label, 0):
            got, expected = f"{gone[label]:,} of {per_class[label]:,}", f"at most {_percent(share)} skipped"
            problems.append(
                DataError("Too many images of one class cannot be used", where=repr(label), expected=expected, got=got, hint=hint)
            )
    return problems


def _kind(reason: str) -> str:
    return "same bytes under another label" if reason.startswith("same bytes") else reason.partition(",")[0]


def _percent(share: float) -> str:
    return f"{100 * share:.4g} %"


def _bad_classes(scan: Scan, dataset: Dataset, parts: int) -> list[DataError]:
    """Name every class that is empty, alone, too small, or hard to tell from another by its name."""
    source = dataset.source
    learned = [i for i, sample in enumerate(scan.samples) if sample.split in {None, "train"}]
    units: dict[str, set[Hashable]] = {label: set() for label in dataset.classes}
    for i in learned:
        sample = scan.samples[i]
        units.setdefault(sample.label or "", set()).add(scan.clusters[i] if sample.group is None else sample.group)
    empty = [label for label, members in units.items() if not members]
    small = [label for label, members in units.items() if 0 < len(members) < parts]
    problems = []
    for first, second in colliding_classes(dataset.classes):
        hint = "Rename or merge the two classes"
        problems.append(
            DataError(
                "Class names collide",
                where=source,
                expected="names that differ by more than case",
                got=f"{first!r} and {second!r}",
                hint=hint,
            )
        )
    if unwritable := [name for name in dataset.classes if any("\ud800" <= letter <= "\udfff" for letter in name)]:
        hint = "Rename these classes: neither ONNX nor JSON can hold their names"
        got = ", ".join(map(ascii, unwritable))
        problems.append(DataError("Class names are no text", where=source, expected="names in UTF-8", got=got, hint=hint))
    if empty:
        place = "in the training part" if dataset.given_split else "that can be used"
        hint = "Add images to these classes or remove their folders"
        problems.append(DataError("Empty classes", where=source, expected=f"images {place} in every class", got=_quoted(empty), hint=hint))
    if len(units) - len(empty) < 2:
        hint = "Put the images of each class into a folder of its own, or see --labels"
        got = _quoted([label for label in units if label not in empty]) or "none"
        problems.append(DataError("Nothing to tell apart", where=source, expected="at least two classes with images", got=got, hint=hint))
    if small:
        kind = "groups" if dataset.has_groups else "different images"
        hint = "Add images to these classes, remove them, or ask for fewer parts with --val 0 or --test 0"
        got = ", ".join(f"{label!r} with {len(units[label])}" for label in small)
        problems.append(
            DataError("Classes too small", where=source, expected=f"at least {parts} {kind} in every class", got=got, hint=hint)
        )
    return problems


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names)
