"""What a page is made of: plain pieces, and the templates that lay them out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from seefit.drawing import PALETTE
from seefit.report.words import Words


@dataclass(frozen=True)
class Table:
    """Numbers in rows; the first column names the row.

    Attributes:
        header: One name per column.
        rows: One cell per column.
        prose: Whether the cells are words (aligned left) rather than numbers.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    prose: bool = False


@dataclass(frozen=True)
class Spot:
    """A place on a figure that opens a `Peek`.

    Attributes:
        left: In percent of the figure's width.
        top: In percent of its height.
        key: Of the peek.
        title: What lies there, in words.
    """

    left: float
    top: float
    key: str
    title: str


@dataclass(frozen=True)
class Peek:
    """A small picture that a `Spot` opens, with the ways to the one before and the one after.

    Attributes:
        key: Anchor.
        address: Of the picture; empty where there is none.
        missing: Why there is none.
        title: Name of the file.
        lines: What is known of it.
        wrong: Whether the model was wrong.
        before: Key of the peek before.
        after: Key of the next peek.
    """

    key: str
    address: str
    missing: str
    title: str
    lines: Sequence[str]
    wrong: bool
    before: str
    after: str


@dataclass(frozen=True)
class Picture:
    """One figure with everything that it must come with.

    Attributes:
        name: Name of its file in ``figures/``, without ending.
        svg: The SVG element, with its text alternative inside.
        says: A plain sentence that tells what to see.
        table: The numbers it was drawn from; None where the section shows them openly below it.
        wide: Whether a phone should let it scroll rather than shrink it.
        spots: Places on it that open a picture.
    """

    name: str
    svg: str
    says: str
    table: Table | None
    wide: bool = False
    spots: Sequence[Spot] = ()


@dataclass(frozen=True)
class Card:
    """One prediction with its picture.

    Attributes:
        address: Of the picture; empty where it cannot be shown.
        missing: Why it cannot.
        title: Its name.
        actual: What it really is.
        predicted: What the model said.
        lines: What else there is to say.
        right: Whether the model was right.
        heat: Address of the picture with the heat map over it; empty without one.
        heat_says: What the heat map shows, for those who cannot see it.
        alike: Addresses of the nearest training images, each with what it is.
    """

    address: str
    missing: str
    title: str
    actual: str
    predicted: str
    lines: Sequence[str]
    right: bool = False
    heat: str = ""
    heat_says: str = ""
    alike: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Section:
    """One chapter of the report.

    Attributes:
        key: Anchor and file-safe name.
        title: Heading.
        lead: Paragraphs below the heading.
        pictures: Figures.
        tables: Tables, each with its caption; ``open_`` ones are shown, others fold.
        cards: Predictions with their pictures.
        command: A command that goes with the paragraphs.
        peeks: Pictures that spots of the figures open.
        pairs: Pictures to compare, two side by side, under what they have in common.
    """

    key: str
    title: str
    lead: Sequence[str] = ()
    pictures: Sequence[Picture] = ()
    tables: Sequence[tuple[str, Table]] = ()
    folded: Sequence[tuple[str, Table]] = ()
    cards: Sequence[Card] = ()
    command: str = ""
    peeks: Sequence[Peek] = ()
    pairs: Sequence[tuple[str, Sequence[Sequence[Card]]]] = ()


@dataclass(frozen=True)
class Problem:
    """Something the reader should know, with how grave it is: ``serious`` or ``note``."""

    grade: str
    title: str
    text: str


@dataclass(frozen=True)
class Step:
    """Something to do next, with the command that does it where there is one."""

    text: str
    command: str = ""


@dataclass(frozen=True)
class Tile:
    """One headline figure: its name, value, interval in words, and places on a line from 0 to 100."""

    name: str
    value: str
    interval: str
    about: str
    at: float
    ends: tuple[float, float] | None
    reference: float | None = None


@dataclass(frozen=True)
class Verdict:
    """The first screen.

    Attributes:
        grade: As in `seefit.report.verdict.grade_of`.
        title: How good, in one line.
        lines: What it rests on and what it is compared with.
        fine: What is said where there are no problems; of a report when empty.
    """

    grade: str
    title: str
    lines: Sequence[str]
    tiles: Sequence[Tile] = field(default_factory=list)
    problems: Sequence[Problem] = field(default_factory=list)
    steps: Sequence[Step] = field(default_factory=list)
    fine: str = ""


def render(
    words: Words,
    *,
    run: str,
    data: str,
    verdict: Verdict,
    notes: Sequence[str],
    sections: Sequence[Section],
    title: str = "",
    footer: str = "",
) -> str:
    """Lay out a page: one HTML document without scripts in which everything but our own SVG is escaped.

    Args:
        words: The language.
        run: Name of the run.
        data: Name of the data, or nothing.
        verdict: The first screen.
        notes: Sentences that the run wrote down.
        sections: The chapters, in order.
        title: What kind of page it is; a report when empty.
        footer: Its last line; that of a report when empty.

    Returns:
        HTML that can be written as UTF-8.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("seefit.report", "templates")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page = environment.get_template("page.html")
    names = {"title": title or words("page.title"), "footer": footer or words("page.footer")}
    text = page.render(t=words, palette=PALETTE, run=run, data=data, verdict=verdict, notes=notes, sections=sections, **names)
    return text.encode("utf-8", "replace").decode("utf-8")
