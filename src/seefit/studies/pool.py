"""The images of a study: training and validation part together. The test part stays where it is until the winner is scored."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seefit.data.fixes import apply_fixes, effective, read_fixes
from seefit.data.splitfile import SplitRow, soft_target
from seefit.evaluation.evaluate import group_numbers
from seefit.gathering import Gathered
from seefit.parts import Part


@dataclass(frozen=True)
class Pool:
    """What the folds divide.

    Attributes:
        part: The images of training and validation part, in the order of their content, so that folds do not depend on names.
        classes: Names, in the order of the outputs.
        labels: (N,) class numbers.
        groups: (N,) numbers of the user's groups; None without groups.
        sizes: (N, 2) width and height in pixels.
    """

    part: Part
    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    groups: NDArray[np.int64] | None
    sizes: NDArray[np.int64]

    @property
    def digest(self) -> str:
        """What names these images with their labels."""
        lines = sorted(f"{digest} {sample.label}" for sample, digest in zip(self.part.samples, self.part.sha256, strict=True))
        return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def make_pool(gathered: Gathered) -> Pool:
    """Put training and validation part together.

    Args:
        gathered: What is known of the data.
    """
    index = np.concatenate([gathered.split.index("train"), gathered.split.index("val")])
    index = index[np.argsort([gathered.seen.sha256[i] for i in index], kind="stable")]
    samples = [gathered.seen.samples[i] for i in index]
    part = Part(samples, [gathered.seen.sha256[i] for i in index], np.asarray(gathered.split.units, np.int64)[index])
    groups = group_numbers([sample.group for sample in samples])
    return Pool(part, gathered.dataset.classes, part.labels(gathered.dataset.classes), groups, gathered.seen.sizes[index])


def rows_of(gathered: Gathered) -> list[SplitRow]:
    """Return all images of a run, as its ``split.csv`` would have them.

    Args:
        gathered: What is known of the data.
    """
    found = zip(gathered.seen.samples, gathered.split.parts, gathered.seen.sha256, strict=True)
    return [
        SplitRow(one.name, one.label or "", part, one.group, one.weight, digest, soft_target(one, gathered.dataset.classes))
        for one, part, digest in found
    ]


def fixed_rows(gathered: Gathered, fixes: Path) -> list[SplitRow]:
    """Return all images of a run, those of training and validation part with confirmed fixes applied; the test part stays as it is.

    Args:
        gathered: What is known of the data.
        fixes: A ``fixes.csv`` that a person went through.

    Raises:
        DataError: Rows of it are wrong, or about other images.
        UsageError: Nothing in it is confirmed.
    """
    rows = rows_of(gathered)
    confirmed = effective(fixes, read_fixes(fixes, rows, set(gathered.dataset.classes)))
    fixed = {row.path: row for row in apply_fixes(rows, confirmed)}
    return [fixed.get(row.path, row) if row.split != "test" else row for row in rows if row.split == "test" or row.path in fixed]


def learnt_labels(gathered: Gathered, pool: Pool, fixes: Path | None) -> NDArray[np.int64]:
    """Return the (N,) class numbers that an arm learns from, -1 for images that it is to leave out.

    Args:
        gathered: What is known of the data.
        pool: The images of the study.
        fixes: Confirmed corrections; None for the labels as they are.
    """
    if fixes is None:
        return pool.labels
    number = {name: code for code, name in enumerate(pool.classes)}
    labels = {row.path: number[row.label] for row in fixed_rows(gathered, fixes)}
    return np.array([labels.get(sample.name, -1) for sample in pool.part.samples], np.int64)
