"""How every figure is drawn: one way into matplotlib, one palette, one form of SVG.

Figures are made with matplotlib's objects alone (no pyplot, no lasting change of its settings), so drawing
in a notebook, a server or a test never disturbs the drawings of the user.
"""

from __future__ import annotations

import contextlib
import errno
import html
import io
import os
import re
import unicodedata
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seefit.console import printable
from seefit.environment import cache_folder
from seefit.errors import UsageError
from seefit.files import atomic_path, resource_error, write_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Name of a colour → on a light page, on a dark page. SVG text carries both, so that one file suits either.
PALETTE = {
    "ink": ("#22262b", "#e9e6e0"),
    "muted": ("#646b73", "#a3abb3"),
    "line": ("#dcd8cf", "#3b4147"),
    "accent": ("#1f5f8b", "#74b4e4"),
    "middle": ("#86aecb", "#3f7ba6"),
    "faint": ("#c6d9e6", "#2c5068"),
    "bad": ("#b3452c", "#f09377"),
    # of up to eight classes beside each other; their names stand on the figure too, so that nothing hangs on telling them apart
    "class-1": ("#2a6db0", "#7db6f0"),
    "class-2": ("#b85c00", "#f2a65a"),
    "class-3": ("#2e7d32", "#7ccf83"),
    "class-4": ("#7b3fa0", "#c79be8"),
    "class-5": ("#c2185b", "#f48fb1"),
    "class-6": ("#795548", "#c8a99a"),
    "class-7": ("#00838f", "#5fd0dc"),
    "class-8": ("#7a7400", "#d6cf5a"),
}
DPI = 144  # of a PNG: two pixels per point
FONTS = ["system-ui", "Segoe UI", "Helvetica Neue", "Arial", "Noto Sans", "sans-serif"]
STYLE: dict[str, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 11.0,
    "text.usetex": False,
    "text.parse_math": False,  # a class may be called "$5"
    "axes.edgecolor": PALETTE["line"][0],
    "axes.labelcolor": PALETTE["muted"][0],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "axes.unicode_minus": False,
    "grid.color": PALETTE["line"][0],
    "grid.linewidth": 0.7,
    "text.color": PALETTE["ink"][0],
    "xtick.color": PALETTE["muted"][0],
    "ytick.color": PALETTE["muted"][0],
    "xtick.major.size": 0.0,
    "ytick.major.size": 0.0,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "svg.fonttype": "none",
    "svg.hashsalt": "seefit",
}


def matplotlib() -> Any:
    """Return the matplotlib module, its own cache kept inside seefit's cache folder.

    Every import of matplotlib in seefit goes through here: on import it writes a list of fonts, and nothing
    is written outside the run folder, the cache folder and the paths that the user names.
    """
    os.environ.setdefault("MPLCONFIGDIR", str(cache_folder("matplotlib")))
    import matplotlib as module

    return module


def colour(name: str) -> str:
    """Return a colour of the palette as ``#rrggbb``, as it is on a light page."""
    return PALETTE[name][0]


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Hold seefit's settings of matplotlib for the length of a block."""
    with matplotlib().rc_context(STYLE), warnings.catch_warnings():
        # Text stays text in the SVG, where the reader's own fonts draw Chinese; matplotlib need not have the glyphs.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from")
        yield


def blank(width: float, height: float) -> Figure:
    """Return an empty figure of the given size in points."""
    matplotlib()
    from matplotlib.figure import Figure

    return Figure(figsize=(width / 72, height / 72), dpi=72)


def place(figure: Figure, *, left: float, bottom: float, right: float, top: float) -> Axes:
    """Add axes whose distance from each edge of the figure is given in points."""
    width, height = figure.get_size_inches() * 72
    return figure.add_axes((left / width, bottom / height, (width - left - right) / width, (height - bottom - top) / height))


def shown(name: str, longest: int | None = None) -> str:
    """Return a class or file name on one line, control characters escaped, cut at ``longest`` characters."""
    whole = name if longest is None else name[: longest + 1]  # escaping never shortens
    text = printable(whole).replace("\n", "\\n")
    return text if longest is None or len(text) <= longest else text[: longest - 1] + "…"


def text_width(text: str, size: float = 11.0) -> float:
    """Return about how wide ``text`` is in points, whatever fonts the reader has."""
    return sum(size * (1.0 if unicodedata.east_asian_width(c) in "WF" else 0.58) for c in text)


def svg(figure: Figure, name: str, alt: str = "") -> str:
    """Return a figure as one SVG element, the same text for the same figure.

    Args:
        figure: A figure whose colours come from the palette.
        name: Short name, ``[a-z-]+``; ids inside begin with it, so that several figures fit in one page.
        alt: What the figure shows, for those who cannot see it.

    Returns:
        ``<svg …>…</svg>`` without prolog, metadata or date. Colours of the palette are written as
        ``var(--sf-<name>, #rrggbb)``: a page that sets these variables decides them.
    """
    buffer = io.StringIO()
    with style():
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :].strip()
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r"<style[^>]*>.*?</style>", "", text, flags=re.DOTALL)
    opening = f'<svg role="img" aria-label="{html.escape(shown(alt))}" font-family="{", ".join(FONTS)}" '
    text = re.sub(r'<g id="[^"]*"\s*/>\s*', "", text)
    text = re.sub(r"<[^>]+>", lambda tag: _tidy_tag(tag.group(), name), text)  # tags only: never the user's own words
    return re.sub(r"\s*\n\s*", "\n", text.replace("<svg ", opening, 1))


def _tidy_tag(tag: str, name: str) -> str:
    """Return a tag of matplotlib's with local ids, no repeated font and the palette's colours as variables."""
    tag = re.sub(r'<g id="[^"]*">', "<g>", tag)
    tag = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", tag)
    tag = re.sub(r"font-family: [^;\"]*; |\s?transform=\"rotate\(-0 [^\"]*\"", "", tag)
    for key, (light, _) in PALETTE.items():
        tag = tag.replace(light, f"var(--sf-{key}, {light})")
    return tag


def svg_file(element: str) -> str:
    """Return an SVG element as a file of its own that follows the reader's light or dark setting."""
    used = {key: colours for key, colours in PALETTE.items() if f"var(--sf-{key}," in element}
    light, dark = ("".join(f"--sf-{key}:{colours[i]};" for key, colours in used.items()) for i in (0, 1))
    css = f"<style>:root{{{light}background:#fff}}@media (prefers-color-scheme:dark){{:root{{{dark}background:#16181b}}}}</style>"
    opening, rest = element.split(">", 1)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{opening}>{css}{rest}\n'


def check_free(out: Path, *suffixes: str, what: str = "picture") -> None:
    """Refuse to write a file of another type, or in the place of something.

    Args:
        out: Where the file is to be.
        suffixes: Of the types that can be written, with their dots.
        what: What is written.

    Raises:
        UsageError: Another suffix, or there is something of that name.
        ResourceError: Its folder is not there.
    """
    if out.suffix.lower() not in suffixes:
        kinds = " or ".join(suffixes)
        raise UsageError("Unknown file type", where=out, expected=kinds, got=repr(out.suffix), hint=f"Name a file that ends in {kinds}")
    if not out.parent.is_dir():  # said now, and not when the picture is done
        raise resource_error(FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)), out)
    if out.exists():
        raise UsageError(
            f"The {what} would take the place of something",
            where=out,
            expected="a name that is free",
            got="a folder" if out.is_dir() else f"a file of {out.stat().st_size:,} bytes",
            hint="Name another file with --out",
        )


def save_figure(figure: Figure, out: Path, name: str, alt: str = "") -> None:
    """Write a figure to an ``.svg`` file, or on white to a ``.png`` file.

    Args:
        figure: What was drawn.
        out: The file.
        name: As for `svg`.
        alt: Likewise.

    Raises:
        ResourceError: The file cannot be written.
    """
    if out.suffix.lower() == ".svg":
        write_text(out, svg_file(svg(figure, name, alt)))
        return
    with atomic_path(out) as temporary, style():
        figure.savefig(temporary, format="png", dpi=DPI, facecolor="white")
