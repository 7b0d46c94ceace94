"""The first arrows of training: files → dataset → scan → split, the same for a new run, a resumed one and one that extends another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from seefit.bundle.bundle import Bundle
from seefit.console import QUIET, Console
from seefit.data.dataset import Dataset
from seefit.data.growth import grow_split
from seefit.data.scan import Scan, check_usable, scan
from seefit.data.sources import read_dataset
from seefit.data.split import Split, make_split
from seefit.data.splitfile import SplitRow
from seefit.errors import DataError, RunError, UsageError
from seefit.extending import Older, join, settle
from seefit.parts import Part
from seefit.resuming import check_same_split, check_unchanged, split_before
from seefit.settings import Settings
from seefit.teaching import open_teacher, teacher_leaks


@dataclass(frozen=True)
class Gathered:
    """Everything that is known before anything is computed.

    Attributes:
        dataset: What the user named; of an extended run with the older images.
        seen: What its files are.
        split: The part of each usable image.
        older: What is taken over from the run that is extended; None otherwise.
        teacher: The bundle that teaches; None without one.
        leaks: Sentences about what the teacher knows of the images that the run is judged on.
    """

    dataset: Dataset
    seen: Scan
    split: Split
    older: Older | None
    teacher: Bundle | None = None
    leaks: list[str] = field(default_factory=list)

    @property
    def judged(self) -> int:
        """How many images the model is judged on: those of the test part, or without one of the validation part."""
        return self.split.parts.count("test") or self.split.parts.count("val")

    def part(self, name: str) -> Part:
        """Return one part of the images, ``train``, ``val`` or ``test``, as far as training may see it."""
        index = self.split.index(name)
        units = np.asarray(self.split.units, np.int64)[index]
        return Part([self.seen.samples[i] for i in index], [self.seen.sha256[i] for i in index], units)


def gather(settings: Settings, run: Path | None, *, console: Console = QUIET) -> Gathered:
    """Read, scan and split the images of a run.

    Args:
        settings: What the user chose; paths in them can be opened from here.
        run: The run folder; where it holds the split of an earlier start, the data must still be the same. None to keep nothing.
        console: Where to say what was found.

    Raises:
        UsageError: A source or option that makes no sense, or a teacher that knows other classes.
        DataError: Images or labels that cannot be used.
        RunError: The data changed since the run began, or the run to extend cannot be.
        ArtefactError: The teacher is no bundle, or a damaged one.
    """
    then = split_before(run) if run is not None else None
    dataset = _read(settings, run, then, console)
    older = None
    if settings.extend is not None:
        dataset, older = join(dataset, settings.extend)
    teacher = open_teacher(settings, dataset.classes)
    seen = scan(dataset, max_pixels=settings.max_pixels, known=older.known if older else None, console=console)
    if older is not None:
        seen, older = settle(seen, older)
    if run is not None and then is not None:
        check_unchanged(run, then, seen, dataset.classes)
    parts = 1 if older else _parts_to_cut(settings, dataset)
    check_usable(seen, dataset, parts=parts, max_skipped=settings.max_skipped, allow_leak=settings.allow_leak)
    _say(dataset, seen, older, run, console)
    seen, split = _split(settings, seen, older)
    if run is not None and then is not None:
        check_same_split(run, then, seen.samples, split)
    leaks = teacher_leaks(teacher, seen, split) if teacher is not None else []
    for sentence in leaks:
        console.warn(sentence)
    return Gathered(dataset, seen, split, older, teacher, leaks)


def _read(settings: Settings, run: Path | None, then: Sequence[SplitRow] | None, console: Console) -> Dataset:
    reading = settings.model_dump(include={"labels", "root", "group_by", "follow_links", "sha256"})
    try:
        return read_dataset(settings.data, **reading, console=console)
    except (UsageError, DataError) as error:
        if then is None:
            raise
        raise RunError(
            "The data changed since the run began",
            where=run,
            expected=f"the {len(then):,} images and labels of its split.csv",
            got=f"data that cannot be read ({error.message.rstrip('.')})",
            hint=error.hint,
        ) from error


def _split(settings: Settings, seen: Scan, older: Older | None) -> tuple[Scan, Split]:
    how = settings.model_dump(include={"val", "test", "test_from_val", "seed"})
    if older is not None:
        seen, split = grow_split(seen, older.names, **how)
        return seen, replace(split, notes=[*older.notes, *split.notes])
    return seen, make_split(seen.samples, seen.sha256, seen.clusters, **how)


def _say(dataset: Dataset, seen: Scan, older: Older | None, run: Path | None, console: Console) -> None:
    if older is None:
        console.say(f"{len(seen.samples):,} images in {len(dataset.classes):,} classes from {dataset.source}")
    else:
        console.say(
            f"{older.added:,} new images from {dataset.source} beside {len(older.names):,} of {older.run}: "
            f"{len(dataset.classes):,} classes, {len(dataset.classes) - len(older.classes):,} of them new"
        )
    for sentence in seen.warnings:
        console.say(f"  note: {sentence}")
    if seen.skips:
        where = "see skipped.csv in the run folder" if run is not None else "`seefit check` says why"
        console.warn(f"{len(seen.skips):,} files are left out: {where}")


def _parts_to_cut(settings: Settings, dataset: Dataset) -> int:
    """Return how many parts each class must be able to fill, beyond those that are given."""
    given = {sample.split for sample in dataset.samples} - {None} if dataset.given_split else set()
    wanted = {"train"} | ({"val"} if settings.val or settings.test_from_val else set())
    wanted |= {"test"} if settings.test_from_val or (settings.test and not given) else set()
    return len(wanted - given) + (1 if "train" in given else 0)
