"""What is odd about usable images and classes, and accepted all the same: one sentence each."""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from posixpath import splitext

from seefit.data.dataset import Sample, counts
from seefit.data.findings import Finding
from seefit.data.image import SHRINK_ABOVE

MIN_SIDE = 8
MAX_RATIO = 20
IMBALANCE = 10
_USUAL_MODES = frozenset({"RGB", "L"})
_SUFFIXES = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".png": "PNG",
    ".webp": "WebP",
    ".gif": "GIF",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}


def oddities(samples: Sequence[Sample], findings: Sequence[Finding]) -> list[str]:
    """Return one sentence per kind of oddity.

    Args:
        samples: The usable images.
        findings: What each of them is, aligned.
    """
    return [
        *_sizes(samples, findings),
        *_modes(findings),
        *_wrong_suffixes(samples, findings),
        *_same_names(samples),
        *_balance(samples),
        *_parts(samples),
    ]


def _sizes(samples: Sequence[Sample], findings: Sequence[Finding]) -> list[str]:
    pairs = list(zip(samples, findings, strict=True))
    odd = [(s, f) for s, f in pairs if min(f.width, f.height) < MIN_SIDE or max(f.width, f.height) > MAX_RATIO * min(f.width, f.height)]
    large = sum(found.width * found.height > SHRINK_ABOVE for found in findings)
    said = []
    if odd:
        sample, found = odd[0]
        said.append(f"{_images(len(odd))} very small or very long, first {sample.name} ({found.width}x{found.height} pixels).")
    if large:
        said.append(f"{_images(large)} over 16 megapixels: averaged down after decoding.")
    return said


def _modes(findings: Sequence[Finding]) -> list[str]:
    odd = Counter(found.mode for found in findings if found.mode not in _USUAL_MODES)
    if not odd:
        return []
    shown = ", ".join(f"{count:,} x {mode}" for mode, count in odd.most_common())
    return [f"{_images(odd.total())} neither plain colour nor grey ({shown}): converted to colour, transparency on white."]


def _wrong_suffixes(samples: Sequence[Sample], findings: Sequence[Finding]) -> list[str]:
    suffixes = [splitext(sample.name)[1].lower() for sample in samples]
    wrong = Counter(
        f"{f.format} named {suffix}" for f, suffix in zip(findings, suffixes, strict=True) if _SUFFIXES.get(suffix, f.format) != f.format
    )
    if not wrong:
        return []
    shown = ", ".join(f"{count:,} x {what}" for what, count in wrong.most_common())
    return [f"{_images(wrong.total())} of another format than the name says ({shown}): accepted."]


def _same_names(samples: Sequence[Sample]) -> list[str]:
    names: dict[str, list[str]] = defaultdict(list)
    for sample in samples:
        names[unicodedata.normalize("NFC", unicodedata.normalize("NFC", sample.name).casefold())].append(sample.name)
    same = [group for group in names.values() if len(group) > 1]
    if not same:
        return []
    differ = _many(len(same), "pair of names differs", "sets of names differ")
    return [f"{differ} only by case or accents, first {' and '.join(same[0])}: one file on some systems."]


def _balance(samples: Sequence[Sample]) -> list[str]:
    numbers = sorted((number, label) for label, number in counts(samples).items())
    if len(numbers) < 2 or numbers[-1][0] < IMBALANCE * numbers[0][0]:
        return []
    (least, rare), (most, common) = numbers[0], numbers[-1]
    return [f"The classes are unequal: {most:,} images of {common!r}, {least:,} of {rare!r}. Read balanced accuracy, not accuracy."]


def _parts(samples: Sequence[Sample]) -> list[str]:
    """Say which classes a given validation or test part lacks, and which groups stand on two sides."""
    labels, groups = defaultdict[str, set[str]](set), defaultdict[str, set[str]](set)
    for sample in samples:
        if sample.split and sample.label is not None:
            labels[sample.split].add(sample.label)
        if sample.split and sample.group is not None:
            groups[sample.group].add(sample.split)
    known = set().union(*labels.values())
    said = []
    for part in ("val", "test"):
        missing = sorted(known - labels[part]) if labels.get(part) else []
        if missing:
            shown = ", ".join(repr(label) for label in missing[:5]) + (" …" if len(missing) > 5 else "")
            said.append(f"The given {part} part has no image of {_many(len(missing), 'class', 'classes')} ({shown}).")
    torn = sorted(group for group, parts in groups.items() if len(parts) > 1)
    if torn:
        said.append(f"{_many(len(torn), 'group stands', 'groups stand')} on several sides of the given split, first {torn[0]!r}.")
    return said


def _images(number: int) -> str:
    return _many(number, "image is", "images are")


def _many(number: int, one: str, more: str) -> str:
    return f"{number:,} {one if number == 1 else more}"
