"""``seefit runs``: what was trained, how good it is, and deleting what is no longer wanted."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from seefit.console import one_line
from seefit.files import to_json
from seefit.runs import Listed, delete_runs, list_runs

PIPE_COLUMNS = 160  # wide enough for a run on one line when stdout is no terminal


def runs(folder: Path, *, delete: Sequence[Path], json_output: bool) -> int:
    """List the runs below a folder, newest first, or delete some.

    Args:
        folder: Where the run folders are.
        delete: Run folders to delete; then nothing is listed.
        json_output: Print one JSON object on stdout.
    """
    if delete:
        delete_runs(delete)
        print(to_json({"deleted": [str(run) for run in delete]}) if json_output else "\n".join(f"deleted {run}" for run in delete))
        return 0
    found = list_runs(folder)
    if json_output:
        print(to_json({"runs": [_record(run) for run in found]}))
    elif not found:
        print(f"No runs in {folder}. Start one with: seefit train DATA")
    else:
        _print_table(found)
    return 0


def _record(run: Listed) -> dict[str, object]:
    figures = {"balanced_accuracy": run.balanced_accuracy, "accuracy": run.accuracy}
    return {"run": str(run.run), "state": run.state, "data": run.data, "backbone": run.backbone, "part": run.headline, **figures}


def _print_table(found: Sequence[Listed]) -> None:
    from rich.console import Console as RichConsole
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in ("run", "state", "made", "data", "backbone", "balanced accuracy"):
        table.add_column(column, overflow="fold", no_wrap=column not in {"run", "data"})  # a path that is cut short is no path
    for run in found:
        made = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.created))
        cells = [str(run.run), run.state, made, run.data, run.backbone, _figure(run)]
        table.add_row(*(one_line(cell).replace("[", r"\[") for cell in cells))
    RichConsole(highlight=False, width=None if sys.stdout.isatty() else PIPE_COLUMNS).print(table)


def _figure(run: Listed) -> str:
    if run.balanced_accuracy is None:
        return "–"
    value, low, high = (
        "–" if run.balanced_accuracy[key] is None else f"{run.balanced_accuracy[key]:.1%}" for key in ("value", "low", "high")
    )
    return f"{value} [{low}, {high}]" + ("" if run.headline == "test" else f" on {run.headline}")
