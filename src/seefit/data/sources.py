"""From what the user names to a dataset: a folder, a CSV, an archive, a URL or a demo set."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from seefit.console import QUIET, Console
from seefit.data.dataset import Dataset, Sample, colliding_classes, natural_order
from seefit.data.listing import Listing, first_five, list_folder
from seefit.errors import DataError, UsageError, raise_all

SPLIT_NAMES = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


def read_dataset(
    source: str | Path,
    *,
    labels: str = "folder",
    root: Path | None = None,
    group_by: str | None = None,
    follow_links: bool = False,
    sha256: str | None = None,
    console: Console = QUIET,
) -> Dataset:
    r"""Read the names and labels of all images of a source; no image is opened.

    Args:
        source: A folder, a CSV, a zip or tar archive, the URL of an archive, or ``demo:NAME``.
        labels: ``folder`` (the first folder level is the class), ``csv`` (``metadata.csv`` or the only CSV of
            the folder), or a regular expression that is searched in ``"/"`` + the path relative to the source;
            its first group is the class: ``/([^/]+)_\d+\.jpg$``.
        root: The folder that the paths of a CSV are relative to; the CSV's own folder when None.
        group_by: What keeps images on one side of a split: a column of the CSV, a regular expression whose
            first group is the group, or ``none`` to drop the groups that the source gives.
        follow_links: Also take files that links outside the source point to.
        sha256: What the archive must have, in hexadecimal.
        console: Where progress is shown.

    Returns:
        The dataset, samples in natural order of their names. Its ``notes`` say what was passed over.

    Raises:
        UsageError: A source or an option that makes no sense.
        DataError: No images, colliding class names, a bad CSV or a bad archive.
        ResourceError: A URL that cannot be fetched, a full disk, or a demo set that is not installed.
    """
    folder = Path(source)
    dataset = _read_folder(str(source), folder, labels, follow_links)
    _check_collisions(dataset)
    return dataset


class Layout(NamedTuple):
    """How the folders below a root are meant.

    Attributes:
        depth: How many leading parts of a name say nothing: single wrapping folders.
        splits: The part of the data that each folder at that depth holds; empty without given splits.
    """

    depth: int
    splits: dict[str, str]


def _read_folder(source: str, folder: Path, labels: str, follow_links: bool) -> Dataset:
    listing = list_folder(folder, follow_links=follow_links)
    layout = _layout(listing)
    read = _label_by_folder if labels == "folder" else _label_by_pattern(labels)
    samples, classes, notes = read(listing, layout)
    if not samples:
        raise _no_images(folder, labels, listing)
    return Dataset(source, folder, samples, tuple(natural_order(classes)), listing.skips, listing.notes() + notes, bool(layout.splits))


def _layout(listing: Listing) -> Layout:
    """Look through single wrapping folders, then for folders named train, val and test."""
    below: dict[str, list[str]] = {}
    for name in listing.folders:
        below.setdefault(posixpath.dirname(name), []).append(name)
    with_images = {posixpath.dirname(name) for name in listing.images}
    top, depth = "", 0
    while top not in with_images and len(below.get(top, [])) == 1 and below[top][0] in below and below[top][0] not in with_images:
        top, depth = below[top][0], depth + 1
    names = [posixpath.basename(name) for name in below.get(top, [])]
    splits = {name: SPLIT_NAMES[name.lower()] for name in names if name.lower() in SPLIT_NAMES}
    given = len(splits) == len(names) and "train" in splits.values() and len(set(splits.values())) > 1
    return Layout(depth, splits if given else {})


Labelled = tuple[list[Sample], set[str], list[str]]


def _label_by_folder(listing: Listing, layout: Layout) -> Labelled:
    at = layout.depth + bool(layout.splits)  # the part of a name that is the class
    classes = {name.split("/")[at] for name in listing.folders if name.count("/") >= at}
    loose = [name for name in listing.images if name.count("/") <= at]
    samples = []
    for name in listing.images:
        parts = name.split("/")
        if len(parts) > at + 1:
            samples.append(Sample(listing.root / name, name, parts[at], layout.splits.get(parts[layout.depth])))
    notes = [f"Not used: {len(loose):,} loose images beside the class folders ({first_five(loose)})."] if loose else []
    return samples, classes, notes


def _label_by_pattern(pattern: str) -> Callable[[Listing, Layout], Labelled]:
    search = _searcher(pattern, "--labels")

    def read(listing: Listing, layout: Layout) -> Labelled:
        samples, unmatched = [], []
        for name in listing.images:
            label = search(name)
            if label:
                samples.append(Sample(listing.root / name, name, label, _split_of(name, layout)))
            else:
                unmatched.append(name)
        notes = [f"Not used: {len(unmatched):,} images whose name does not match {pattern} ({first_five(unmatched)})."] if unmatched else []
        return samples, {sample.label or "" for sample in samples}, notes

    return read


def _split_of(name: str, layout: Layout) -> str | None:
    parts = name.split("/")
    return layout.splits.get(parts[layout.depth]) if len(parts) > layout.depth + 1 else None


def _searcher(pattern: str, option: str) -> Callable[[str], str | None]:
    """Return a function from a name to the first group of ``pattern`` in ``"/" + name``, None without a match."""
    hint = f"Give {option} a regular expression with one group, for example '/([^/]+)_\\d+\\.jpg$'"
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UsageError(
            "Cannot read the pattern", where=option, expected="a regular expression", got=f"{pattern!r}: {error}", hint=hint
        ) from error
    if not compiled.groups:
        raise UsageError(
            "Cannot use the pattern", where=option, expected="a pattern with a group in brackets", got=repr(pattern), hint=hint
        )

    def search(name: str) -> str | None:
        match = compiled.search("/" + name)
        return match.group(1) if match else None

    return search


def _no_images(folder: Path, labels: str, listing: Listing) -> DataError:
    found = f"{len(listing.images):,} images outside of class folders" if listing.images else "no image"
    if labels == "folder":
        return DataError(
            "Cannot find labels",
            where=folder,
            expected="one folder per class with images inside",
            got=found,
            hint="Put the images into one folder per class, or say where the labels are with --labels csv or --labels REGEX",
        )
    return DataError(
        "Cannot find labels",
        where=folder,
        expected=f"images whose name matches {labels}",
        got=f"{len(listing.images):,} images and no match",
        hint="The pattern is searched in '/' + the path relative to the data; its first group is the class",
    )


def _check_collisions(dataset: Dataset) -> None:
    raise_all(
        [
            DataError(
                "Two class names look the same",
                where=dataset.source,
                expected="names that differ by more than case or Unicode form",
                got=f"{first!r} and {second!r}",
                hint="Rename one of the two classes, or merge them",
            )
            for first, second in colliding_classes(dataset.classes)
        ]
    )
