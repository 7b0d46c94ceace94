"""``seefit compare DATA --backbones a,b,c``: networks side by side on the same folds, with what each costs and how steady it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seefit.cli.study import show_study, write_page
from seefit.console import Console
from seefit.drawing import check_free
from seefit.errors import UsageError
from seefit.report.words import Words
from seefit.studies.study import FOLDS, run_study


def compare_recipes(
    data: Sequence[str],
    backbones: str,
    asked: Mapping[str, Any],
    *,
    html: Path | None,
    lang: str,
    json_output: bool,
    console: Console,
) -> int:
    """Study networks on one data set, and show the columns by which they are chosen.

    Args:
        data: One source of images.
        backbones: Names with commas between them; the first is the one to beat.
        asked: ``repeats``, ``folds``, ``out`` and settings that are the same for all, as given by hand.
        html: A page to write besides that in the study folder, which must not be there yet.
        lang: Of the page, ``en`` or ``zh``.
        json_output: Print one JSON object on stdout and nothing else there.
        console: Where progress is shown.

    Raises:
        UsageError: Several sources, or fewer than two networks.
        SeefitError: As in `seefit.studies.study.run_study`.
    """
    words = Words(lang)
    if len(data) != 1:
        hint = "Name one source of images; runs are compared without --backbones"
        raise UsageError("Cannot compare", where="--backbones", expected="DATA, one source of images", got=f"{len(data)} names", hint=hint)
    if html is not None:
        check_free(html, ".html", ".htm", what="page")
    given = {**asked, "data": data[0]}
    how = {"folds": given.pop("folds", FOLDS), "repeats": given.pop("repeats", None), "out": given.pop("out", None)}
    finished = run_study(given, f"backbone={backbones}", **how, console=console)
    page = write_page(finished, words, html)
    show_study(finished, page, costs=True, json_output=json_output)
    return 0


def refuse_options(options: Mapping[str, object]) -> None:
    """Refuse options that only a comparison of networks on data looks at.

    Args:
        options: By name; None for those that were not given.

    Raises:
        UsageError: One was given.
    """
    given = [f"--{name.replace('_', '-')}" for name, value in options.items() if value is not None]
    if given:
        hint = "Add --backbones lite0,lite1 and name DATA, or leave these options out"
        raise UsageError("Runs are finished", where=", ".join(given), expected="only with --backbones", got="runs to compare", hint=hint)
