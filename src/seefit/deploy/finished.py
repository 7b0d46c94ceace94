"""What an export starts from: a finished run, its bundle, and the images that it was fitted and tuned on. Test labels are never read."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seefit.bundle.bundle import Bundle, load
from seefit.data.dataset import Sample
from seefit.data.splitfile import SplitRow, read_split
from seefit.evaluation.evaluate import group_numbers
from seefit.parts import Part
from seefit.resuming import located, read_start
from seefit.runs import CONFIG, is_finished, not_a_run
from seefit.settings import Settings, read_resolved


@dataclass(frozen=True)
class Finished:
    """A finished run.

    Attributes:
        run: Its folder.
        bundle: Its bundle, checked.
        settings: What it was trained with; paths in them can be opened from here.
        root: The folder that the names of its images are relative to.
        rows: Its training and validation images.
    """

    run: Path
    bundle: Bundle
    settings: Settings
    root: Path
    rows: list[SplitRow]

    def part(self, name: str) -> Part:
        """Return the images of ``train`` or ``val``."""
        rows = [row for row in self.rows if row.split == name]
        groups = group_numbers([row.group for row in rows])
        samples = [Sample(self.root / row.path, row.path, row.label, row.split, row.group, row.weight) for row in rows]
        return Part(samples, [row.sha256 for row in rows], _units(rows) if groups is None else groups)


def open_finished(run: Path) -> Finished:
    """Open a run to export its model.

    Args:
        run: Its folder.

    Raises:
        RunError: It is no finished run.
        ArtefactError: Its bundle is damaged.
    """
    if not is_finished(run):
        got = "a bundle" if (run / "bundle.json").is_file() else "an unfinished run or none"
        raise not_a_run(run, got)
    settings, folder = read_start(run)
    root = Path(str(read_resolved(run / CONFIG)["root"]))
    rows = [row for row in read_split(run / "split.csv") if row.split != "test"]
    return Finished(run, load(run), located(settings, folder), root, rows)


def _units(rows: list[SplitRow]) -> NDArray[np.int64]:
    """Number the images, equal ones alike: folds keep them together."""
    numbers = {digest: number for number, digest in enumerate(Counter(row.sha256 for row in rows))}
    return np.array([numbers[row.sha256] for row in rows], np.int64)
