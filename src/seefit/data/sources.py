"""From what the user names to a dataset: a folder, a CSV, an archive, a URL or a demo set."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from seefit.console import QUIET, Console
from seefit.data.archives import is_archive, is_url, unpack
from seefit.data.dataset import SPLIT_NAMES, Dataset, Sample, colliding_classes, natural_order
from seefit.data.demo import read_demo
from seefit.data.listing import Listing, first_five, is_ignored, list_folder, walk
from seefit.data.tables import load_table, read_labels
from seefit.errors import DataError, UsageError, raise_all

TABLE_SUFFIXES = frozenset({".csv", ".tsv"})


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
    named = str(source)
    if named.startswith("demo:"):
        _refuse(named, root=root, sha256=sha256)
        return _grouped(read_demo(named), group_by)
    place, notes = _place(named, sha256, console)
    if place.suffix.lower() in TABLE_SUFFIXES or labels == "csv":
        dataset = _read_csv(named, place, root, group_by, follow_links)
    else:
        _refuse(named, root=root)
        dataset = _grouped(_read_folder(named, place, labels, follow_links), group_by)
    dataset.notes[:0] = notes
    _check_collisions(dataset)
    return dataset


def _place(source: str, sha256: str | None, console: Console) -> tuple[Path, list[str]]:
    """Return the folder or CSV on this machine, and notes of the unpacking."""
    place = Path(source).expanduser()
    if is_url(source) or is_archive(place):
        return unpack(source, sha256=sha256, console=console)
    _check_place(source, place)
    _refuse(source, sha256=sha256)
    return place, []


def _check_place(source: str, place: Path) -> None:
    """Raise when there is nothing at a place, or something that holds no images with labels."""
    if place.is_dir() or (place.is_file() and place.suffix.lower() in TABLE_SUFFIXES):
        return
    raise UsageError(
        "Cannot read the data",
        where=source,
        expected="a folder, a CSV, a zip or tar archive, the URL of one, or demo:elpv",
        got="another kind of file" if place.exists() else "nothing at this place",
        hint="Check the spelling; a path is relative to the folder the command is run in",
    )


def _refuse(source: str, **options: object) -> None:
    """Raise for options that mean nothing for this source."""
    meant_for = {"root": "a CSV", "sha256": "an archive or its URL"}
    raise_all(
        [
            UsageError(
                "Option without effect",
                where=source,
                expected=f"{meant_for[name]} with --{name}",
                got=f"{name} = {value}",
                hint=f"Leave --{name} out",
            )
            for name, value in options.items()
            if value is not None
        ]
    )


def _read_csv(source: str, place: Path, root: Path | None, group_by: str | None, follow_links: bool) -> Dataset:
    path = _find_csv(place) if place.is_dir() else place
    table = load_table(path)
    by_column = group_by is None or group_by == "none" or group_by in table.header
    if not by_column:
        _searcher(group_by or "", "--group-by", f"or a column: {', '.join(table.header)}")
    dataset = read_labels(table, source=source, root=root or path.parent, group_by=group_by, follow_links=follow_links)
    return dataset if by_column else _grouped(dataset, group_by)


def _find_csv(folder: Path) -> Path:
    """Return ``metadata.csv`` of a folder, or its only CSV; a single wrapping folder is looked through."""
    tables = sorted(path for path in folder.iterdir() if path.suffix.lower() in TABLE_SUFFIXES and not is_ignored(path.name))
    named = [path for path in tables if path.name == "metadata.csv"]
    if named or len(tables) == 1:
        return (named or tables)[0]
    below = [path for path in folder.iterdir() if path.is_dir() and not is_ignored(path.name)]
    if not tables and len(below) == 1:
        return _find_csv(below[0])
    raise DataError(
        "Cannot find the labels",
        where=folder,
        expected="metadata.csv or a single CSV in the folder",
        got=first_five([path.name for path in tables]) or "no CSV",
        hint="Name the CSV itself as the data; --root says where its paths start",
    )


def _grouped(dataset: Dataset, group_by: str | None) -> Dataset:
    """Set or drop the groups of a dataset by a pattern on the names."""
    if group_by is None:
        return dataset
    search = (lambda name: None) if group_by == "none" else _searcher(group_by, "--group-by")
    dataset.samples = [replace(sample, group=search(sample.name) or None) for sample in dataset.samples]
    alone = [sample.name for sample in dataset.samples if sample.group is None]
    if alone and group_by != "none":
        dataset.notes.append(f"{len(alone):,} images do not match {group_by} and are in no group ({first_five(alone)}).")
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
        raise _no_images(folder, labels, listing, classes)
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


def _searcher(pattern: str, option: str, also: str = "") -> Callable[[str], str | None]:
    """Return a function from a name to the first group of ``pattern`` in ``"/" + name``, None without a match."""
    hint = f"Give {option} a regular expression with one group, for example '/([^/]+)_\\d+\\.jpg$'" + (also and f", {also}")
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


def _no_images(folder: Path, labels: str, listing: Listing, classes: set[str]) -> DataError:
    if labels != "folder":
        return DataError(
            "Cannot find labels",
            where=folder,
            expected=f"images whose name matches {labels}",
            got=f"{len(listing.images):,} images and no match ({first_five(listing.images)})" if listing.images else "no image",
            hint="The pattern is searched in '/' + the path relative to the data; its first group is the class",
        )
    empty = f"{len(classes):,} empty folders ({first_five(natural_order(classes))})" if classes else "no image"
    return DataError(
        "Cannot find labels",
        where=folder,
        expected="one folder per class with images inside",
        got=f"{len(listing.images):,} images outside of class folders ({first_five(listing.images)})" if listing.images else empty,
        hint="Put the images into one folder per class, or say where the labels are with --labels csv or --labels REGEX",
    )


def _check_collisions(dataset: Dataset) -> None:
    raise_all(
        [
            DataError(
                "Two class names look the same",
                where=dataset.source,
                expected="names that differ by more than case, outer spaces or Unicode form",
                got=f"{first!r} and {second!r}",
                hint="Rename one of the two classes, or merge them",
            )
            for first, second in colliding_classes(dataset.classes)
        ]
    )


def list_images(paths: Sequence[str | Path]) -> Iterator[Sample]:
    """List the images to predict, one by one; works on any number of files.

    A file that is named is taken whatever its extension; below a folder the rules of `read_dataset` hold: images by
    extension, hidden and system entries, links that leave the folder and special files left out.

    Args:
        paths: Files and folders.

    Returns:
        Samples without labels, in the order of ``paths``, below a folder in natural order. The name is the path as
        the user wrote it.

    Raises:
        UsageError: Some of the paths are not there, or are neither files nor folders; all are named. Raised at once,
            not when the first sample is taken.
        DataError: A folder cannot be read, while the samples are taken.
    """
    places = [Path(path).expanduser() for path in paths]
    bad = [place for place in places if not (place.is_dir() or place.is_file())]
    raise_all(
        [
            UsageError(
                "Cannot find the images",
                where=place,
                expected="a file or a folder",
                got="something else" if place.exists() else "nothing at this place",
                hint="Check the spelling; a path is relative to the folder the command is run in",
            )
            for place in bad
        ]
    )
    return (sample for place in places for sample in _images_at(place))


def _images_at(place: Path) -> Iterator[Sample]:
    if not place.is_dir():
        yield Sample(place, place.as_posix(), None)
        return
    for level in walk(place):
        for name in natural_order(level.images):
            path = place / name
            yield Sample(path, path.as_posix(), None)
