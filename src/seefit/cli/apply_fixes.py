"""``seefit apply-fixes``: a new CSV of labels from the proposals of a run that a person confirmed."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seefit.console import one_line
from seefit.data.fixes import NAME, Fix, apply_fixes, effective, read_fixes, write_labels
from seefit.data.splitfile import read_split
from seefit.drawing import check_free
from seefit.errors import RunError
from seefit.files import to_json
from seefit.runs import read_config
from seefit.settings import make_settings, read_resolved, read_settings

SHOWN = 20
# How images and labels are read: the new CSV says all of it.
OF_DATA = frozenset({"data", "labels", "root", "group_by", "follow_links", "sha256", "extend", "val", "test", "test_from_val"})


def apply_confirmed(run: Path, *, fixes: Path | None, out: Path, json_output: bool) -> int:
    """Write the labels of a run with its confirmed fixes applied, and say what was done and how to train with them.

    Args:
        run: The run folder.
        fixes: The proposals; None for ``fixes.csv`` of the run.
        out: The CSV to write, which must not be there yet.
        json_output: Print one JSON object on stdout.

    Raises:
        UsageError: Nothing is confirmed, or ``out`` is there or no CSV.
        DataError: Rows of the proposals are wrong.
        RunError: The folder is no run, or it has no proposals.
    """
    check_free(out, ".csv", what="table")
    read_config(run)
    rows, source = read_split(run / "split.csv"), fixes or run / NAME
    if fixes is None and not source.is_file():
        hint = "Train again with `seefit train --config RUN/config.yaml`, or name a file with --fixes"
        raise RunError("The run has no proposals", where=run, expected=NAME, got="none", hint=hint)
    read = read_fixes(source, rows, {row.label for row in rows})
    applied = effective(source, read)
    fixed = apply_fixes(rows, applied)
    write_labels(out, fixed)
    command = train_command(run, out)
    record = {
        "csv": str(out),
        "images": len(fixed),
        "relabelled": sum(fix.action == "relabel" for fix in applied),
        "removed": sum(fix.action == "remove" for fix in applied),
        "unchanged": sum(fix.confirmed for fix in read) - len(applied),
        "command": command,
    }
    print(to_json(record) if json_output else "\n".join(_told(record, applied)))
    return 0


def train_command(run: Path, csv: Path) -> str:
    """Return what to type to train on a table of the run's images as the run was trained.

    Args:
        run: The run folder.
        csv: The table, whose paths are relative to the root of the run's images.
    """
    settings, resolved = read_settings(run / "config.yaml", {}), read_resolved(run / "config.yaml")
    chosen, usual = settings.model_dump(exclude=set(OF_DATA)), make_settings({"data": ""}).model_dump()
    options = [word for name, value in chosen.items() if value != usual[name] for word in _option(name, value)]
    root = ["--root", str(resolved["root"])] if resolved.get("root") else []
    return shlex.join(["seefit", "train", str(csv), *root, *options])


def _option(name: str, value: Any) -> list[str]:
    option = f"--{name.replace('_', '-')}"
    if isinstance(value, dict):
        value = ",".join(f"{key}={item}" for key, item in value.items())
    return [option] if value is True else [option, str(value)]


def _told(record: dict[str, Any], applied: Sequence[Fix]) -> list[str]:
    lines = [
        f"  {one_line(fix.path)}: removed"
        if fix.action == "remove"
        else f"  {one_line(fix.path)}: {one_line(fix.label)} → {one_line(fix.suggested)}"
        for fix in applied[:SHOWN]
    ]
    more = [f"  … and {len(applied) - SHOWN:,} more"] if len(applied) > SHOWN else []
    idle = [f"Confirmed, but changing nothing (look, or the label that it has): {record['unchanged']:,}."]
    return [
        f"Relabelled: {record['relabelled']:,}, removed: {record['removed']:,}. No picture was touched.",
        *lines,
        *more,
        *(idle if record["unchanged"] else []),
        f"labels   {record['csv']}  ({record['images']:,} images, in the same parts as before)",
        f"train    {record['command']}",
    ]
