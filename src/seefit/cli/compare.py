"""``seefit compare``: several runs side by side, and which differences between them are more than chance."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seefit.cli.show import stdout_console
from seefit.console import QUIET, Console, one_line
from seefit.drawing import check_free
from seefit.files import to_json, write_text
from seefit.report.difference import short_names, tell_pair
from seefit.report.words import Words

if TYPE_CHECKING:
    from rich.table import Table

PIPE_COLUMNS = 160  # wide enough for a run on one line when stdout is no terminal
MOST_PAIRS = 6  # all of so many are told; of more only those of the first run


def compare(
    runs: Sequence[str], *, html: Path | None = None, lang: str = "en", seed: int = 0, json_output: bool = False, console: Console = QUIET
) -> int:
    """Compare finished runs that were judged on the same test images.

    Args:
        runs: Their folders, two at least.
        html: A page to write, which must not be there yet.
        lang: Of the page, ``en`` or ``zh``.
        seed: Of the bootstrap.
        json_output: Print one JSON object on stdout and nothing else there.
        console: Where to say what happens.

    Returns:
        The exit code, 0.

    Raises:
        UsageError: Fewer than two runs, other test images, or a page that is there already.
        RunError: A folder is no finished run with a test part.
        ArtefactError: A bundle is damaged.
    """
    from seefit.studies.compare import compare_runs

    words = Words(lang)
    if html is not None:
        check_free(html, ".html", ".htm", what="page")
    found = compare_runs([Path(run) for run in runs], seed=seed, console=console)
    if html is not None:
        from seefit.report.comparison import build_comparison

        write_text(html, build_comparison(found, words))
        console.say(f"page     {html}")
    if json_output:
        print(to_json(found))
    else:
        _show(found)
    return 0


def _show(found: dict[str, Any]) -> None:
    groups = f" in {found['groups']:,} groups" if found["groups"] else ""
    print(f"Test part of all runs: {found['images']:,} images{groups}" + " " * 6 + "[95 % interval]\n")
    stdout_console(columns=PIPE_COLUMNS).print(_leaderboard(found["runs"]))
    print()
    words, pairs, names = Words("en"), found["pairs"], short_names([row["run"] for row in found["runs"]])
    shown = pairs if len(pairs) <= MOST_PAIRS else pairs[: len(found["runs"]) - 1]
    for pair in shown:
        print(one_line(tell_pair(pair, found["images"], words, names)))
    if len(shown) < len(pairs):
        print(f"… and {len(pairs) - len(shown)} more pairs: see --json or --html")
    print("\n".join(_fine_print(found)))


def _leaderboard(rows: Sequence[dict[str, Any]]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("run", overflow="fold")
    for column in ("balanced accuracy", "accuracy", "AUC", "loss gap", "accuracy gap", "trained in", "MB", "images/s"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        figures, gap = row["figures"], row["stability"]
        shares = [_figure(figures[name], 100, "{:.1f}") for name in ("balanced_accuracy", "accuracy")]
        gaps = ["–", "–"] if gap is None else [f"{gap['loss']:.2f}", f"{100 * gap['accuracy']:.1f}"]
        costs = [_duration(row["seconds"]), f"{row['bytes'] / 1e6:,.0f}", f"{row['images_per_second']:,.0f}"]
        table.add_row(one_line(row["run"]).replace("[", r"\["), *shares, _figure(figures["auc"], 1, "{:.3f}"), *gaps, *costs)
    return table


def _figure(figure: dict[str, float | None], scale: float, form: str) -> str:
    value, low, high = ("–" if figure[key] is None else form.format(scale * (figure[key] or 0)) for key in ("value", "low", "high"))
    return rf"{value} \[{low}, {high}]"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def _fine_print(found: dict[str, Any]) -> list[str]:
    """Return what the columns mean, as far as they are filled."""
    over = {row["stability"]["over"] for row in found["runs"] if row["stability"]}
    meant = {"epochs": "of a trained network over its epochs", "folds": "of a probe over the folds of its cross-validation"}
    lines = []
    if over:
        where = ", ".join(meant[name] for name in sorted(over))
        lines.append(
            f"gaps: mean distance between training and validation in loss (nats) and accuracy (points), {where}; never on test images."
        )
    test = "the larger p of McNemar's exact test and of a t test over the groups" if found["groups"] else "McNemar's exact test"
    several = ", by Holm since several pairs were looked at" if len(found["pairs"]) > 1 else ""
    return ["", f"p: {test}{several}; the difference is of accuracy, image by image.", *lines]
