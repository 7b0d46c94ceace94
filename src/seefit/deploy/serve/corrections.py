"""Corrections that people make on the page, kept so that ``seefit train FOLDER --extend RUN`` can read them.

A picture is written as ``FOLDER/<class>/<sha256>.<ext>``, byte for byte as it came. Where a class of the model cannot be a folder's name,
all pictures go to ``FOLDER/images`` and ``FOLDER/labels.csv`` says what they show. Nothing is ever written over, and nothing beyond
`MOST_IMAGES` pictures or `MOST_BYTES` bytes is taken.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import threading
import time
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

from seefit.data.dataset import SPLIT_NAMES, colliding_classes
from seefit.data.image import MAX_PIXELS, decode_with_info
from seefit.data.listing import is_ignored
from seefit.data.tables import read_table, write_table
from seefit.errors import ResourceError, RunError, UsageError
from seefit.files import resource_error, write_bytes
from seefit.runs import locked

MOST_IMAGES = 1_000
MOST_BYTES = 500 * 2**20
MOST_LETTERS = 100  # of the name of a class; with 4 bytes each still below what file systems take
TABLE, IMAGES = "labels.csv", "images"
PLACE = "the folder for corrections"  # where it is concerns nobody but whoever started the server
PATIENCE_S = 5.0  # for another worker's turn
_SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "WebP": ".webp", "GIF": ".gif", "BMP": ".bmp", "TIFF": ".tif"}
_KEPT = re.compile(r"[0-9a-f]{64}\.(?:jpg|png|webp|gif|bmp|tif)")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f<>:\"/\\|?*\u2028\u2029\ud800-\udfff]|[. ]$")  # on some system or other
_DEVICES = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE)


class Corrections:
    """A folder of corrected pictures; several processes may write to it.

    Args:
        folder: Where they are kept; made when absent.
        classes: Those of the model.

    Raises:
        ResourceError: The folder cannot be made.
    """

    def __init__(self, folder: Path, classes: Sequence[str]) -> None:
        self.folder, self.classes = folder, tuple(classes)
        self.in_table = (folder / TABLE).is_file() or not all(map(can_be_folder, classes))
        self._turn = threading.Lock()
        try:
            (folder / IMAGES if self.in_table else folder).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise resource_error(error, folder) from error

    @property
    def data(self) -> Path:
        """What ``seefit train`` is to be given."""
        return self.folder / TABLE if self.in_table else self.folder

    def count(self) -> int:
        """Return how many pictures are kept."""
        return len(self._kept())

    def is_full(self) -> bool:
        """Whether no further picture is taken, however small."""
        kept = self._kept()
        return len(kept) >= MOST_IMAGES or _size(kept) >= MOST_BYTES

    def keep(self, data: bytes, label: str, *, max_pixels: int = MAX_PIXELS) -> int:
        """Keep a picture and what it shows.

        Args:
            data: The file as it came.
            label: A class of the model, or the name of a new one.
            max_pixels: As in `seefit.data.image.decode`.

        Returns:
            How many pictures are kept now.

        Raises:
            UsageError: The label cannot be the name of a class here.
            Undecodable: The file holds no image.
            RunError: The picture was kept before, under another label.
            ResourceError: The folder is full, or cannot be written to. None of these names a place on this machine.
        """
        name = self._settle(label)
        with self._turn:  # one at a time: a large picture takes hundreds of megabytes
            suffix = _SUFFIXES[decode_with_info(data, max_pixels=max_pixels).format]
        digest = hashlib.sha256(data).hexdigest()
        with self._alone():
            kept = self._kept()
            before = next((label for path, label in self._labels(kept) if path.stem == digest), None)
            if before is None:
                self._check_room(kept, len(data))
                self._write(kept, name, f"{digest}{suffix}", data)
            elif before != name:
                raise _kept_otherwise(before, name)
            return len(kept) + (before is None)

    def _settle(self, label: str) -> str:
        """Return the name of the class that a label means: an older one that looks the same, or a new one."""
        name = unicodedata.normalize("NFC", label.strip())
        known = [*self.classes, *dict.fromkeys(label for _, label in self._labels(self._kept()))]
        for older in known:
            if older in {label, name} or colliding_classes([older, name]):
                return older
        if can_be_folder(name):
            return name
        raise UsageError(
            "Cannot keep the correction",
            where="label",
            expected=f"a class of the model, or a new name of at most {MOST_LETTERS} letters that could be a folder's",
            got="another name" if name else "nothing",
            hint="Use letters, digits, spaces, dashes and underscores",
        )

    def _kept(self) -> list[Path]:
        folders = [self.folder / IMAGES] if self.in_table else [path for path in self.folder.iterdir() if path.is_dir()]
        return [path for folder in folders for path in folder.iterdir() if _KEPT.fullmatch(path.name)]

    def _labels(self, kept: Sequence[Path]) -> list[tuple[Path, str]]:
        if not self.in_table:
            return [(path, path.parent.name) for path in kept]
        rows = read_table(self.data) if self.data.is_file() else []
        return [(self.folder / row["path"], row["label"]) for row in rows]

    def _check_room(self, kept: Sequence[Path], size: int) -> None:
        taken = _size(kept)
        if len(kept) >= MOST_IMAGES or taken + size > MOST_BYTES:
            raise ResourceError(
                "The folder for corrections is full",
                where=PLACE,
                expected=f"at most {MOST_IMAGES:,} pictures and {MOST_BYTES:,} bytes",
                got=f"{len(kept) + 1:,} pictures and {taken + size:,} bytes",
                hint="Train with them, then serve with another folder for --corrections",
            )

    def _write(self, kept: Sequence[Path], label: str, file: str, data: bytes) -> None:
        place = self.folder / (IMAGES if self.in_table else label)
        try:
            place.mkdir(exist_ok=True)
            write_bytes(place / file, data)
            if self.in_table:  # last: what the table does not name is no correction yet
                rows = [(path.relative_to(self.folder).as_posix(), before) for path, before in self._labels(kept)]
                write_table(self.data, ["path", "label"], [*rows, (f"{IMAGES}/{file}", label)])
        except (OSError, ResourceError) as error:
            raise _unwritable() from error

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Wait for our turn among threads and processes."""
        end = time.monotonic() + PATIENCE_S
        with self._turn:
            while True:
                lock = locked(self.folder)
                try:
                    lock.__enter__()
                    break
                except (ResourceError, RunError) as error:
                    if isinstance(error, ResourceError) or time.monotonic() > end:
                        raise _unwritable() from error
                    time.sleep(0.02)
            with contextlib.ExitStack() as stack:
                stack.push(lock)
                yield


def can_be_folder(name: str) -> bool:
    """Return whether a class can be a folder's name on every system, and is read as that class by ``seefit train``."""
    plain = unicodedata.is_normalized("NFC", name) and name == name.strip()
    odd = is_ignored(name) or name.lower() in SPLIT_NAMES or _UNSAFE.search(name) or _DEVICES.fullmatch(name)
    return 0 < len(name) <= MOST_LETTERS and len(name.encode("utf-8", "replace")) <= 200 and plain and not odd


def _size(kept: Sequence[Path]) -> int:
    return sum(path.stat().st_size for path in kept)


def _kept_otherwise(before: str, now: str) -> RunError:
    return RunError(
        "The picture was corrected before",
        where=PLACE,
        expected=f"{before!r}, as it was kept",
        got=repr(now),
        hint="Remove it from the folder to correct it again",
    )


def _unwritable() -> ResourceError:
    return ResourceError(
        "Cannot keep the correction",
        where=PLACE,
        expected="a folder that can be written to",
        got="one that cannot, or a full disk",
        hint="Look after the folder on the server",
    )
