"""``seefit study``: ways to train held against each other on the same folds, and the winner scored once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seefit.cli.show import stdout_console
from seefit.console import Console, one_line
from seefit.errors import UsageError
from seefit.files import to_json, write_text
from seefit.report.study import build_study, differ_in_cost, ranked, tell_arm, tell_winner
from seefit.report.words import Words
from seefit.studies.folder import PAGE, is_study, read_question
from seefit.studies.study import FOLDS, Study, run_study

if TYPE_CHECKING:
    from rich.table import Table

HEAVY = frozenset({"map", "curve", "scores"})  # of an arm, only in study.json


def study(
    given: dict[str, Any],
    *,
    vary: str | None,
    folds: int | None,
    repeats: int | None,
    out: Path | None,
    lang: str,
    json_output: bool,
    console: Console,
) -> int:
    """Begin a study or go on with one, and show what it found.

    Args:
        given: Settings that are the same for all arms.
        vary: ``NAME=a,b,c``; None to go on with the study in ``out``.
        folds: Of a repeat; 3 when None.
        repeats: Of the cross-validation; None for what suits the method.
        out: The study folder.
        lang: Of the page, ``en`` or ``zh``.
        json_output: Print ``{"study", "page", "arms", "winner", …}`` on stdout, as ``study.json`` but for maps and curves.
        console: Where progress is shown.

    Raises:
        UsageError: No data, nothing to vary, or settings given to a study that has its own.
        SeefitError: As in `seefit.studies.study.run_study`.
    """
    words = Words(lang)
    finished = _go_on(out, given, console) if vary is None else _begin(given, vary, folds, repeats, out, console)
    show_study(finished, write_page(finished, words), costs=differ_in_cost(finished.found["arms"]), json_output=json_output)
    return 0


def write_page(finished: Study, words: Words, html: Path | None = None) -> Path:
    """Write the page of a study into its folder, and to another place if one is given; return where it is.

    Args:
        finished: The study.
        words: The language.
        html: The other place.
    """
    page, text = finished.path / PAGE, build_study(finished.found, words, name=finished.path.name)
    for path in (page, html):
        if path is not None:
            write_text(path, text)
    return html or page


def _begin(given: dict[str, Any], vary: str, folds: int | None, repeats: int | None, out: Path | None, console: Console) -> Study:
    if "data" not in given:
        hint = "Try `seefit study demo:elpv --vary augment=none,any-way-up`"
        raise UsageError("Nothing to study", where="seefit study", expected="DATA", got="none", hint=hint)
    return run_study(given, vary, folds=folds or FOLDS, repeats=repeats, out=out, console=console)


def _go_on(out: Path | None, given: dict[str, Any], console: Console) -> Study:
    if out is None or not is_study(out) or given:
        hint = "Try `seefit study demo:elpv --vary augment=none,any-way-up`; a study that was broken off goes on with --out FOLDER alone"
        raise UsageError("Nothing to vary", where="--vary", expected="NAME=a,b,c", got="none", hint=hint)
    asked = read_question(out)
    return run_study(asked.given, asked.vary, folds=asked.folds, repeats=asked.repeats, out=out, folder=asked.folder, console=console)


def show_study(finished: Study, page: Path, *, costs: bool = False, json_output: bool = False) -> None:
    """Print the arms with their figures, what is shown of each, and the winner.

    Args:
        finished: The study.
        page: Where its page is.
        costs: Also print what each arm costs and how steady it is.
        json_output: Print one JSON object instead.
    """
    found, words = finished.found, Words("en")
    if json_output:
        arms = [{key: value for key, value in arm.items() if key not in HEAVY} for arm in found["arms"]]
        print(to_json({"study": str(finished.path), "page": str(page), **found, "arms": arms}))
        return
    count, terminal = found["folds"] * found["repeats"], stdout_console()
    arms = ranked(found["arms"])
    print(f"\n{found['images']:,} images, {count} folds ({found['repeats']} times {found['folds']}): mean ± spread over folds, best first")
    terminal.print(_figures(arms))
    if costs:
        terminal.print(_costs(arms))
        print("gap: mean distance between learnt and held-out images of a fold; MB and images/s of the graph that ships, measured here\n")
    for arm in found["arms"][1:]:
        print(f"  {one_line(arm['name'])}: {tell_arm(arm, count, words)}")
    print(f"\n{tell_winner(found, words)}")
    print(f"\npage     {page}")
    if found["winner"].get("run"):
        print(f"predict  seefit predict {found['winner']['run']} IMAGES")


def _figures(arms: Sequence[dict[str, Any]]) -> Table:
    header = ["arm", "balanced accuracy", "accuracy", "macro F1", "AUC", "s per fit"]
    rows = []
    for arm in arms:
        figures = arm["figures"]
        shares = [_spread(figures[name], 100, 1, " %") for name in ("balanced_accuracy", "accuracy")]
        plain = [_spread(figures[name], 1, 3) for name in ("macro_f1", "auc")]
        rows.append([one_line(arm["name"]), *shares, *plain, f"{arm['seconds']:.2g}"])
    return _table(header, rows)


def _costs(arms: Sequence[dict[str, Any]]) -> Table:
    header = ["arm", "gap in loss", "gap in accuracy", "s per fit", "best accuracy", "AUC", "parameters", "MB", "images/s"]
    rows = [
        [
            one_line(arm["name"]),
            f"{arm['stability_loss']:.3f}",
            f"{100 * arm['stability_accuracy']:.1f} %",
            f"{arm['seconds']:.2g}",
            f"{100 * (arm['figures']['accuracy']['most'] or 0):.1f} %",
            _spread(arm["figures"]["auc"], 1, 3),
            f"{arm['parameters']:,}",
            f"{arm['size_mb']:.1f}",
            f"{arm['images_per_second']:,.0f}",
        ]
        for arm in arms
    ]
    return _table(header, rows)


def _spread(figure: dict[str, float | None], factor: float, digits: int, unit: str = "") -> str:
    if figure["mean"] is None:
        return "–"
    spread = "" if figure["spread"] is None else f" ± {factor * figure['spread']:.{digits}f}"
    return f"{factor * figure['mean']:.{digits}f}{spread}{unit}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(header[0], overflow="fold")
    for heading in header[1:]:
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(Text(row[0]), *row[1:])
    return table
