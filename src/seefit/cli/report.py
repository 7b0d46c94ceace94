"""``seefit report``: builds the page of a run again."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from seefit.console import Console
from seefit.files import to_json
from seefit.report.card import PARTS
from seefit.report.decide import EQUAL, find_choice, read_costs
from seefit.report.record import Record, read_run
from seefit.report.report import build_report
from seefit.report.verdict import find_verdict
from seefit.report.words import Words

TOLD = ("diagnosis", "curves", "decide", "forecast", "doctor", "trust")  # what the chapters rest on, without places and heat maps


def report(run: Path, *, lang: str, cost_fp: float | None, cost_fn: float | None, json_output: bool, console: Console) -> int:
    """Build ``report.html`` from the files of a run and print where it is.

    Args:
        run: The run folder.
        lang: ``en`` or ``zh``.
        cost_fp: What a false alarm costs; None for 1.
        cost_fn: What a miss costs; None for 1.
        json_output: Print ``{"report", "line", "verdict", "metrics", "insights"}`` on stdout: where a line between two classes belongs by
            these costs, None for other runs; the first screen, with its problems and steps; and what the chapters rest on, but for
            places on the map and heat maps.
        console: Where progress is shown.
    """
    costs = read_costs(cost_fp, cost_fn)
    page = build_report(run, lang=lang, costs=costs, console=console)
    if json_output:
        print(to_json({"report": str(page), **_told(replace(read_run(run), costs=costs or EQUAL), Words(lang))}))
    else:
        print(page)
    return 0


def _told(record: Record, words: Words) -> dict[str, Any]:
    """Return what the page says, for machines."""
    choice, verdict = find_choice(record), find_verdict(record, words)
    insights = {name: record.insight(name) for name in TOLD}
    return {
        "line": None if choice is None else choice.to_json(),
        "verdict": {
            "grade": verdict.grade,
            "title": verdict.title,
            "lines": list(verdict.lines),
            "problems": [asdict(problem) for problem in verdict.problems],
            "steps": [asdict(step) for step in verdict.steps],
        },
        "metrics": {part: record.metrics[part] for part in PARTS if record.metrics.get(part)},
        "insights": {name: found for name, found in insights.items() if found is not None},
    }
