"""Walking folders: which files are images, what is ignored, and links that must not be followed.

Names and paths are plain strings here: on 50,000 files `Path` objects would cost more than reading the folders.
"""

# ruff: noqa: PTH110, PTH112, PTH113, PTH118, PTH202

from __future__ import annotations

import os
import posixpath
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from seefit.data.dataset import Skip, natural_order
from seefit.errors import DataError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"})
_SYSTEM_NAMES = frozenset({"__macosx", "thumbs.db", "desktop.ini", "@eadir"})


@dataclass
class Level:
    """One folder: its own name (relative to the root, ``""`` for the root) and the full names of what is in it."""

    name: str
    images: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    skips: list[Skip] = field(default_factory=list)


@dataclass
class Listing:
    """Everything below one root. Names are relative to it, with forward slashes.

    Attributes:
        root: The folder that was walked.
        images: Image files in natural order.
        folders: All folders, also those without images.
        others: Files that are not images by their extension.
        ignored: Hidden and system entries; a folder counts once.
        skips: Links and special files that are left out.
    """

    root: Path
    images: list[str]
    folders: list[str]
    others: list[str]
    ignored: list[str]
    skips: list[Skip]

    def notes(self) -> list[str]:
        """Return one sentence for each kind of entry that was passed over."""
        found = []
        if self.ignored:
            found.append(f"Ignored {len(self.ignored):,} hidden or system entries ({first_five(self.ignored)}).")
        if self.others:
            kinds = Counter(posixpath.splitext(name)[1].lower() or "no extension" for name in self.others)
            shown = ", ".join(f"{count:,} x {kind}" for kind, count in kinds.most_common(5))
            found.append(f"Passed over {len(self.others):,} files that are not images ({shown}).")
        if self.skips:
            found.append(f"Left out {len(self.skips):,} links or special files ({first_five([skip.name for skip in self.skips])}).")
        return found


def first_five(names: list[str]) -> str:
    """Return the first five names and, when there are more, how many there are in all."""
    return ", ".join(names[:5]) + (f", … {len(names):,} in all" if len(names) > 5 else "")


def is_image(name: str) -> bool:
    """Return whether a file name has the extension of an image that seefit decodes, in any case."""
    return posixpath.splitext(name)[1].lower() in IMAGE_SUFFIXES


def is_ignored(name: str) -> bool:
    """Return whether an entry is hidden or left behind by a system: ``.ipynb_checkpoints``, ``__MACOSX``, ``Thumbs.db``."""
    return name.startswith(".") or name.lower() in _SYSTEM_NAMES


def leaves(real_path: str, real_root: str) -> bool:
    """Return whether a path lies outside a root; both must be free of links (``os.path.realpath``)."""
    return real_path != real_root and not real_path.startswith(real_root.rstrip(os.sep) + os.sep)


def list_folder(root: Path, *, follow_links: bool = False) -> Listing:
    """List everything below a folder.

    Args:
        root: The folder.
        follow_links: Also take files and folders that links outside the root point to.

    Returns:
        The listing. Each real folder is read once, so a loop of links ends.

    Raises:
        DataError: A folder cannot be read.
    """
    listing = Listing(root, [], [], [], [], [])
    for level in walk(root, follow_links=follow_links):
        for part in ("images", "folders", "others", "ignored", "skips"):
            getattr(listing, part).extend(getattr(level, part))
    listing.images = natural_order(listing.images)
    return listing


def walk(root: Path, *, follow_links: bool = False) -> Iterator[Level]:
    """Yield every folder below ``root``, each real folder once, those reached through links last; files in no order.

    A link to a folder that is listed anyway adds nothing and is skipped, so a loop of links ends.

    Raises:
        DataError: A folder cannot be read.
    """
    real_root = os.path.realpath(root)
    pending, links, seen = [("", real_root)], deque[tuple[str, str]](), {real_root}
    while pending or links:
        if not pending:
            name, real = links.popleft()
            if real in seen:
                yield Level(name, skips=[Skip(name, "link to a folder that is listed already", 0)])
                continue
            seen.add(real)
            pending.append((name, real))
            yield Level(posixpath.dirname(name), folders=[name])
        name, real = pending.pop()
        level, linked = _read_level(name, real)
        for link in linked:
            _sort_link(link, os.path.join(real, posixpath.basename(link)), level, links, None if follow_links else real_root)
        level.folders = natural_order(level.folders)
        below = [(folder, os.path.join(real, posixpath.basename(folder))) for folder in level.folders]
        seen.update(path for _, path in below)
        pending.extend(reversed(below))
        yield level


def _read_level(name: str, real: str) -> tuple[Level, list[str]]:
    """Read one folder without opening or following anything; return it and the names of its links."""
    level, links = Level(name), []
    prefix = name + "/" if name else ""
    try:
        with os.scandir(real) as entries:
            for entry in entries:
                full = prefix + entry.name
                if is_ignored(entry.name):
                    level.ignored.append(full)
                elif entry.is_symlink():
                    links.append(full)
                elif entry.is_dir(follow_symlinks=False):
                    level.folders.append(full)
                elif entry.is_file(follow_symlinks=False):
                    (level.images if is_image(full) else level.others).append(full)
                else:
                    level.skips.append(Skip(full, "not a regular file", 0))
    except OSError as error:
        raise _unreadable(real, error) from error
    return level, sorted(links)


def _sort_link(name: str, path: str, level: Level, folders: deque[tuple[str, str]], real_root: str | None) -> None:
    """Put one link where it belongs: an image, another file, a folder to walk later, or left out."""
    real = os.path.realpath(path)
    if not os.path.exists(real):
        level.skips.append(Skip(name, "link to nothing", 0))
    elif real_root is not None and leaves(real, real_root):
        level.skips.append(Skip(name, "link that leaves the folder", os.path.getsize(real)))
    elif os.path.isdir(real):
        folders.append((name, real))
    elif os.path.isfile(real):
        (level.images if is_image(name) else level.others).append(name)
    else:
        level.skips.append(Skip(name, "not a regular file", 0))


def _unreadable(folder: str, error: OSError) -> DataError:
    return DataError(
        "Cannot read a folder",
        where=folder,
        expected="a folder that you may read",
        got=error.strerror or str(error),
        hint="Change the permissions of the folder, or move it out of the data",
    )
