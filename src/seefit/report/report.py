"""report.html: one page built from the files of a run folder alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from seefit.console import QUIET, Console
from seefit.drawing import shown, svg_file
from seefit.files import resource_error, write_text
from seefit.report.page import Section, render
from seefit.report.record import Record, read_run
from seefit.report.wording import reword
from seefit.report.words import Words


def build_report(run: Path, *, lang: str = "en", costs: tuple[float, float] | None = None, console: Console = QUIET) -> Path:
    """Build a run's report and its figures from the files of its folder.

    Args:
        run: The folder of a finished run.
        lang: ``en`` or ``zh``.
        costs: Of a false alarm and of a miss, for a run of two classes; None for equal ones.
        console: Where to say what is done.

    Returns:
        The path of ``report.html``: one file without scripts that asks for nothing from a network. The same
        files give the same page.

    Raises:
        RunError: Files of the run are missing or damaged.
        UsageError: The language is unknown, or there is nothing that the costs could decide.
        ResourceError: The run folder cannot be written to.

    Example:
        >>> build_report(Path("runs/demo"), lang="zh")  # doctest: +SKIP
        PosixPath('runs/demo/report.html')
    """
    words = Words(lang)
    record = read_run(run)
    if costs is not None:
        from seefit.report.decide import check_choice

        record = replace(record, costs=costs)
        check_choice(record)
    sections = _sections(record, words)
    page = run / "report.html"
    _write_figures(run / "figures", sections)
    write_text(page, _render(record, words, sections))
    return page


def _sections(record: Record, words: Words) -> list[Section]:
    from seefit.report.sections import SECTIONS

    made = (build(record, words) for build in SECTIONS.values())
    return [section for section in made if section is not None]


def _write_figures(folder: Path, sections: list[Section]) -> None:
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise resource_error(error, folder) from error
    for section in sections:
        for picture in section.pictures:
            write_text(folder / f"{picture.name}.svg", svg_file(picture.svg))


def _render(record: Record, words: Words, sections: list[Section]) -> str:
    from seefit.report.verdict import find_verdict, leaks

    told = leaks(record)
    return render(
        words,
        run=shown(record.run.resolve().name, 80),
        data=shown(record.data, 120),
        verdict=find_verdict(record, words),
        notes=[shown(reword(words, "note", note)) for note in dict.fromkeys(record.metrics.get("notes") or []) if note not in told],
        sections=sections,
    )
