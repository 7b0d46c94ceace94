"""Out of memory: told from other errors, and met by working on half as many images at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

from seefit.console import QUIET, Console
from seefit.errors import ResourceError

R = TypeVar("R")

# torch on a GPU; torch on a processor (two texts); cuBLAS and cuDNN; OpenVINO and whatever else is C++
_SAYINGS = ("out of memory", "not enough memory", "can't allocate memory", "alloc_failed", "bad_alloc", "failed to allocate")


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out; numpy and Python have a kind for it, torch and OpenVINO only words."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _SAYINGS))


class Memory:
    """How many images are worked on at once: all that come together until they do not fit, then half as many, and so on.

    Args:
        what: What is done with the images, for the messages.
        effect: What working on fewer at once does to the result, for the note.
        console: Where a halving is told.

    Attributes:
        images: The most at once, at least 1; None as long as everything fitted.
    """

    def __init__(self, what: str = "training", effect: str = "the result is the same", console: Console = QUIET) -> None:
        self.images: int | None = None
        self._what, self._effect, self._console = what, effect, console

    def each(self, count: int, work: Callable[[slice], R], undo: Callable[[], None] = lambda: None) -> list[R]:
        """Do some work on images, in as few pieces of about equal size as fit into memory.

        Args:
            count: How many images there are, at least 1.
            work: Called with the place of each piece among them.
            undo: Called after a piece did not fit, before all of it is done again in smaller ones.

        Returns:
            What the work gave for each piece.

        Raises:
            ResourceError: A single image does not fit.
        """
        while True:
            try:
                return [work(piece) for piece in self._pieces(count)]
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                self.halve(count, error)
            undo()

    def halve(self, count: int, error: Exception) -> int:
        """Take half of what was worked on at once, and say so.

        Args:
            count: How many images came together.
            error: What was raised.

        Returns:
            The most images at once from now on.

        Raises:
            ResourceError: It was one already.
        """
        largest = max(piece.stop - piece.start for piece in self._pieces(count))
        if largest == 1:
            raise ResourceError(
                "Out of memory",
                where=self._what,
                expected="room for one image at a time",
                got=next(iter(str(error).splitlines()), type(error).__name__)[:200].rstrip("."),
                hint="Close other programs, or use a smaller --image-size or --backbone",
            ) from error
        self.images = (largest + 1) // 2
        self._console.warn(
            f"Out of memory: {self._what} goes on with {self.images:,} instead of {largest:,} images at once; {self._effect}"
        )
        return self.images

    def _pieces(self, count: int) -> list[slice]:
        pieces = math.ceil(count / (self.images or count))
        return [slice(count * i // pieces, count * (i + 1) // pieces) for i in range(pieces)]
