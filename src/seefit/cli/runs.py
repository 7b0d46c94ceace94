"""``seefit runs``: what was trained, how good it is, where it came from, and deleting what is no longer wanted."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from seefit.cli.show import stdout_console
from seefit.console import one_line
from seefit.files import to_json
from seefit.runs import RUNS, Listed, delete_runs, list_runs, select_runs

FROM = {"extend": "extends", "study": "chosen by", "tune": "tuned by"}
PIPE_COLUMNS = 160  # wide enough for a run on one line when stdout is no terminal


def runs(
    folder: Path | None,
    *,
    data: str | None = None,
    backbone: str | None = None,
    state: str | None = None,
    sort: str = "made",
    delete: Sequence[Path] = (),
    json_output: bool = False,
) -> int:
    """List runs and the winners of studies and searches, or delete some.

    Args:
        folder: Where they are; `seefit.runs.KEPT_IN` when None.
        data: As in `seefit.runs.select_runs`.
        backbone: Likewise.
        state: Likewise.
        sort: Likewise.
        delete: Run folders to delete; then nothing is listed.
        json_output: Print one JSON object on stdout.

    Raises:
        UsageError: There is no such state or order.
        RunError: A folder that may not be deleted.
    """
    if delete:
        delete_runs(delete)
        print(to_json({"deleted": [str(run) for run in delete]}) if json_output else "\n".join(f"deleted {run}" for run in delete))
        return 0
    everything = list_runs(*([folder] if folder else []))
    found = select_runs(everything, data=data, backbone=backbone, state=state, sort=sort)
    if json_output:
        print(to_json({"runs": [_record(run) for run in found]}))
    elif not everything:
        print(f"No runs in {folder or RUNS}. Start one with: seefit train DATA")
    elif not found:
        print(f"None of the {len(everything)} runs{f' in {folder}' if folder else ''} is such a one.")
    else:
        _print_table(found)
    return 0


def _record(run: Listed) -> dict[str, object]:
    figures = {"balanced_accuracy": run.balanced_accuracy, "accuracy": run.accuracy, "auc": run.auc}
    known = {"run": str(run.run), "state": run.state, "made": _time(run), "data": run.data, "backbone": run.backbone, "part": run.headline}
    return {**known, **figures, "seconds": run.seconds, "from": [parent.to_json() for parent in run.parents]}


def _time(run: Listed, form: str = "%Y-%m-%dT%H:%M:%S%z") -> str:
    return time.strftime(form, time.localtime(run.created))


def _print_table(found: Sequence[Listed]) -> None:
    from rich.table import Table

    table, lineage = Table(box=None, pad_edge=False), any(run.parents for run in found)
    for column in ("run", "state", "made", "data", "backbone", "balanced accuracy", *(["from"] if lineage else [])):
        table.add_column(column, overflow="fold", no_wrap=column not in {"run", "data", "from"})  # a path that is cut short is no path
    for run in found:
        cells = [str(run.run), run.state, _time(run, "%Y-%m-%d %H:%M"), run.data, run.backbone, _figure(run)]
        parents = ", ".join(f"{FROM[parent.kind]} {parent.path.name}" for parent in run.parents)
        table.add_row(*(one_line(cell).replace("[", r"\[") for cell in [*cells, *([parents] if lineage else [])]))
    stdout_console(columns=PIPE_COLUMNS).print(table)


def _figure(run: Listed) -> str:
    if run.balanced_accuracy is None:
        return "–"
    value, low, high = (
        "–" if run.balanced_accuracy[key] is None else f"{run.balanced_accuracy[key]:.1%}" for key in ("value", "low", "high")
    )
    return f"{value} [{low}, {high}]" + ("" if run.headline == "test" else f" on {run.headline}")
