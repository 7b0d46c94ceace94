"""Values of views: what is computed of an image and its augmented views, kept in the store of features.

The key is the image's content and the number of the view. A value that is missing or damaged is computed again, and so is
one that was dropped since for want of room.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from seefit.bundle.runtime import Reference, in_batches, ordered_map
from seefit.console import QUIET, Console
from seefit.data.dataset import Sample
from seefit.environment import threads
from seefit.training.cache import Recipe, open_store
from seefit.training.engine import read_image

CHUNK = 64  # values per transaction: what a crash can cost

View = Callable[[NDArray[np.uint8], str, int], NDArray[np.uint8]]  # (pixels, sha256 of the image, number of the view)
Row = tuple[int, int]  # position of an image, number of its view


class KeptViews:
    """Kept values of the views of a set of images.

    Args:
        recipe: What a value depends on besides the image and the number of its view.
        sha256: Of each image's content.
        size: Bytes of a value.
        compute: Gives the value of each row, in their order.
        title: What the values are, for the bar and for warnings.
        console: Where to show progress and say what was damaged.
    """

    def __init__(
        self,
        recipe: Recipe,
        sha256: Sequence[str],
        size: int,
        compute: Callable[[Sequence[Row]], Iterator[bytes]],
        *,
        title: str,
        console: Console = QUIET,
    ) -> None:
        self.recipe, self.size = recipe, size
        self._sha256, self._compute, self._title, self._console = sha256, compute, title, console
        self._store = open_store()

    def close(self) -> None:
        """Close the store."""
        self._store.__exit__(None, None, None)

    def key(self, row: Row) -> bytes:
        """Return what a value is kept under."""
        return bytes.fromhex(self._sha256[row[0]]) + row[1].to_bytes(2, "big")

    def missing(self, rows: Sequence[Row]) -> list[Row]:
        """Return those rows that are not kept, or damaged."""
        return [row for chunk in in_batches(rows, CHUNK) for row, value in zip(chunk, self._get(chunk), strict=True) if value is None]

    def fill(self, rows: Sequence[Row]) -> int:
        """Compute and keep what is missing of these rows; return how many that were."""
        before = self._store.damaged
        missing = self.missing(rows)
        if self._store.damaged > before:
            self._console.warn(f"{self._store.damaged - before} kept {self._title} were damaged and are computed again")
        self._store.describe(self.recipe.shelf, asdict(self.recipe))
        with self._console.bar(self._title.capitalize(), len(missing), "views") as advance:
            values = zip(missing, self._compute(missing), strict=True)
            for chunk in in_batches(values, CHUNK):
                self._store.put(self.recipe.shelf, [(self.key(row), value) for row, value in chunk])
                advance(len(chunk))
        return len(missing)

    def fill_and_tell(self, rows: Sequence[Row], what: str) -> None:
        """Keep what is missing of these rows; say what is done and how long it will take, as the first few take."""
        missing = self.missing(rows)
        if not missing:
            return
        started, first = time.monotonic(), missing[:CHUNK]
        self.fill(first)
        left = (time.monotonic() - started) / len(first) * (len(missing) - len(first))
        self._console.say(f"{what}, about {math.ceil(left):,} s")
        self.fill(missing[CHUNK:])

    def read(self, rows: Sequence[Row]) -> list[bytes]:
        """Return the value of each row; one that is not kept any more is computed again."""
        values = self._get(rows)
        lost = [row for row, value in zip(rows, values, strict=True) if value is None]
        if lost:  # damaged since they were written, or dropped by another process that needed the room
            self.fill(lost)
            again = dict(zip(lost, self._get(lost), strict=True))
            values = [again[row] if value is None else value for row, value in zip(rows, values, strict=True)]
        return [value or b"" for value in values]

    def _get(self, rows: Sequence[Row]) -> list[bytes | None]:
        """Return what is kept of each row, None where it is nothing or of another size."""
        values = self._store.get(self.recipe.shelf, [self.key(row) for row in rows])
        return [value if value is not None and len(value) == self.size else None for value in values]


def view_pixels(
    rows: Sequence[Row], samples: Sequence[Sample], sha256: Sequence[str], reference: Reference, view: View, *, max_pixels: int
) -> Iterator[NDArray[np.float32]]:
    """Yield the preprocessed pixels (3, S, S) of each row; an image is decoded once for all its views that come together.

    Args:
        rows: Images by position, and numbers of their views.
        samples: The images.
        sha256: Of each image's content.
        reference: Gives ``preprocess``.
        view: Makes a view of an image.
        max_pixels: As in `seefit.data.image.decode`.

    Raises:
        RunError: A file changed since it was scanned.
    """
    images = [(position, [number for _, number in group]) for position, group in itertools.groupby(rows, key=lambda row: row[0])]

    def pixels(image: tuple[int, list[int]]) -> list[NDArray[np.float32]]:
        position, numbers = image
        decoded = read_image(samples[position], sha256[position], max_pixels)
        return [reference.pixels(view(decoded, sha256[position], number)) for number in numbers]

    yield from itertools.chain.from_iterable(ordered_map(pixels, images, workers=threads(), ahead=2))
