"""What a long step says while it works. Everything goes to stderr; bars only on a terminal."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Protocol

BAR_WIDTH = 40  # columns at most; less where the terminal is narrow


class Advance(Protocol):
    """What a bar gives to the step that it shows."""

    def __call__(self, n: int, note: str = "") -> None:
        """Tell that ``n`` more things are done; a note stands in the place of the rate."""
        ...


def silent(n: int, note: str = "") -> None:
    """Show nothing: `Advance` where there is no bar."""


class Console:
    """Sentences and progress bars for a person; silent when ``quiet``.

    Args:
        quiet: Say nothing but warnings.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self._told: set[str] = set()

    def say(self, text: str) -> None:
        """Print one line."""
        if not self.quiet:
            print(printable(text), file=sys.stderr, flush=True)

    def say_once(self, text: str, about: str) -> None:
        """Print one line unless something was said about the same before."""
        if about not in self._told:
            self._told.add(about)
            self.say(text)

    def warn(self, text: str) -> None:
        """Print one line that also ``quiet`` lets through."""
        print(f"warning: {printable(text)}", file=sys.stderr, flush=True)

    @contextlib.contextmanager
    def bar(self, label: str, total: int, unit: str = "images") -> Iterator[Advance]:
        """Yield ``advance(n)`` for a step over ``total`` things; show a bar with rate and time left on a terminal."""
        if self.quiet or not sys.stderr.isatty():
            yield silent
            return
        from rich.console import Console as RichConsole
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
        from rich.table import Column

        started, done = time.monotonic(), 0
        columns = (
            TextColumn("{task.description}"),
            BarColumn(None, table_column=Column(max_width=BAR_WIDTH)),
            TextColumn("{task.completed:,}/{task.total:,}"),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=RichConsole(stderr=True), transient=True) as progress:
            task = progress.add_task(label, total=total, note="")

            def advance(n: int, note: str = "") -> None:
                nonlocal done
                done += n
                rate = done / max(time.monotonic() - started, 1e-9)
                progress.update(task, advance=n, note=note or f"{rate:,.0f} {unit}/s")

            yield advance


QUIET = Console(quiet=True)


def printable(text: str) -> str:
    """Return ``text`` with control characters escaped, so that a file name can never drive the terminal."""
    clean = text.encode("utf-8", "replace").decode("utf-8")
    return "".join(c if c == "\n" or (c.isprintable() or c == " ") else c.encode("unicode_escape").decode() for c in clean)


def one_line(text: str) -> str:
    """Return a name as `printable` does, with line ends escaped too: for lists and tables."""
    return printable(text).replace("\n", "\\n")
