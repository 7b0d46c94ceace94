"""``seefit report``: builds the page of a run again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from seefit.console import Console
from seefit.files import to_json
from seefit.report.decide import EQUAL, find_choice, read_costs
from seefit.report.record import read_run
from seefit.report.report import build_report


def report(run: Path, *, lang: str, cost_fp: float | None, cost_fn: float | None, json_output: bool, console: Console) -> int:
    """Build ``report.html`` from the files of a run and print where it is.

    Args:
        run: The run folder.
        lang: ``en`` or ``zh``.
        cost_fp: What a false alarm costs; None for 1.
        cost_fn: What a miss costs; None for 1.
        json_output: Print ``{"report", "line"}`` on stdout: where a line between two classes belongs by these costs, None for other runs.
        console: Where progress is shown.
    """
    costs = read_costs(cost_fp, cost_fn)
    page = build_report(run, lang=lang, costs=costs, console=console)
    if json_output:
        choice = find_choice(replace(read_run(run, rows=False), costs=costs or EQUAL))
        print(to_json({"report": str(page), "line": None if choice is None else choice.to_json()}))
    else:
        print(page)
    return 0
