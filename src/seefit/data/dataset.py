"""What every source of images becomes: samples with names, labels and, where given, split, group and weight."""

from __future__ import annotations

import html
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SPLITS = ("train", "val", "test")
SPLIT_NAMES = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_DIGITS = re.compile(r"\d+")
_WIDEST_NUMBER = 20  # digits; longer numbers are compared letter by letter
HTML_ROWS = 30  # classes that a notebook shows


@dataclass(frozen=True, slots=True)
class Sample:
    """One image and what the user said of it.

    Attributes:
        path: The file to open.
        name: The path relative to the dataset's root with forward slashes, as shown to the user and written
            to ``split.csv``.
        label: The class, or None when the source has no labels (images to predict).
        split: ``train``, ``val`` or ``test`` when the source gives it.
        group: Images of one group never stand on two sides of a split.
        weight: How much the image counts in fitting and in weighted accuracy; at least 0.
        target: Soft target: one probability per class of the dataset, summing to 1.
    """

    path: Path
    name: str
    label: str | None
    split: str | None = None
    group: str | None = None
    weight: float = 1.0
    target: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class Skip:
    """One file that is left out, with the reason and its size in bytes."""

    name: str
    reason: str
    bytes: int


@dataclass(repr=False)
class Dataset:
    """The samples of one source.

    Attributes:
        source: What the user named: a folder, file, URL or ``demo:NAME``.
        root: The folder that sample names are relative to.
        samples: In natural order of their names.
        classes: In natural order ("2" before "10").
        skips: Files left out while listing (missing files, outside links), with reasons.
        notes: Sentences about what the listing saw: ignored files, loose images, merged rows.
        given_split: Whether the source itself says which part each image belongs to.
    """

    source: str
    root: Path
    samples: list[Sample]
    classes: tuple[str, ...]
    skips: list[Skip] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    given_split: bool = False

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def has_groups(self) -> bool:
        """Whether any sample has a group."""
        return any(sample.group is not None for sample in self.samples)

    @classmethod
    def read(cls, source: str | Path, **options: Any) -> Dataset:
        """Read a folder, CSV, archive, URL or ``demo:NAME``; options as in `seefit.data.sources.read_dataset`."""
        from seefit.data.sources import read_dataset

        return read_dataset(source, **options)

    def balance(self) -> dict[str, dict[str, int]]:
        """Return the number of images per part and class, empty classes too; one part ``all`` without given splits."""
        parts = [part for part in SPLITS if any(sample.split == part for sample in self.samples)] if self.given_split else ["all"]
        table = {part: dict.fromkeys(self.classes, 0) for part in parts}
        for sample in self.samples:
            table[sample.split if self.given_split and sample.split else "all"][sample.label or ""] += 1
        return table

    def show_batch(self, n: int = 9, *, seed: int = 0) -> Figure:
        """Draw a grid of training images with their labels, chosen at random.

        Args:
            n: How many images, at least 1; 9 gives a grid of 3x3.
            seed: Another seed gives other images.

        Returns:
            A matplotlib figure. Images that cannot be decoded are passed over; when the source gives no
            split, all images count as training images.

        Raises:
            UsageError: ``n`` is not positive.
            DataError: No image can be decoded.
        """
        from seefit.data.gallery import draw_gallery

        return draw_gallery(self, n, seed=seed)

    def __repr__(self) -> str:
        return f"<Dataset {self.source!r}: {self._summary()}>"

    def _summary(self) -> str:
        facts = [f"{len(self.samples):,} images", f"{len(self.classes):,} classes"]
        facts += ["given split"] if self.given_split else []
        facts += [f"{len({sample.group for sample in self.samples} - {None}):,} groups"] if self.has_groups else []
        facts += [f"{len(self.skips):,} left out"] if self.skips else []
        return ", ".join(facts)

    def _repr_html_(self) -> str:
        """Return the class balance as a small table for notebooks; everything the user named is escaped."""
        table = self.balance()
        rows = [[name, *(f"{counts[name]:,}" for counts in table.values())] for name in self.classes[:HTML_ROWS]]
        if len(self.classes) > HTML_ROWS:
            rows.append([f"… {len(self.classes) - HTML_ROWS:,} more classes", *("" for _ in table)])
        lines = [("th", ["class", *table]), *(("td", row) for row in rows)]
        body = "".join(f"<tr>{''.join(f'<{tag}>{html.escape(_clean(cell))}</{tag}>' for cell in row)}</tr>" for tag, row in lines)
        return f"<p><b>{html.escape(_clean(self.source))}</b>: {self._summary()}</p><table>{body}</table>"


def _clean(text: str) -> str:
    """Return text that any page can hold: bytes of odd file names become U+FFFD."""
    return text.encode("utf-8", "replace").decode("utf-8")


def natural_order(names: Iterable[str]) -> list[str]:
    """Return names in natural order: "2" before "10". The order of the input never matters."""
    return sorted(names, key=lambda name: (_DIGITS.sub(lambda digits: digits[0].zfill(_WIDEST_NUMBER), name), name))


def colliding_classes(classes: Iterable[str]) -> list[tuple[str, str]]:
    """Return pairs of class names that differ only by Unicode normalisation, case or outer spaces.

    Such names look alike to a reader, and are one folder on many file systems.
    """
    first: dict[str, str] = {}
    pairs = []
    for name in classes:
        folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", name.strip()).casefold())
        if first.setdefault(folded, name) != name:
            pairs.append((first[folded], name))
    return pairs


def counts(samples: Iterable[Sample]) -> dict[str, int]:
    """Return the number of samples per label."""
    return dict(Counter(sample.label or "" for sample in samples))
