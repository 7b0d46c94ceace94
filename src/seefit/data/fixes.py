"""``fixes.csv``: what a run proposes to correct in its data; and the table that confirmed proposals make of its images.

A proposal changes nothing by itself. A person looks at the pictures, writes ``yes`` into the column ``confirm`` where it is right, and may
write another class as ``suggested`` or another ``action``. Images are never touched: `apply_fixes` gives rows for a new CSV.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from seefit.data.splitfile import SplitRow
from seefit.data.tables import TARGET_PREFIX, Table, load_table, write_table
from seefit.errors import DataError, SeefitError, UsageError, raise_all, unknown_name

NAME = "fixes.csv"
COLUMNS = ("path", "label", "action", "suggested", "reason", "score", "confirm", "sha256")
ACTIONS = ("relabel", "remove", "look")
YES = frozenset({"yes", "y", "true", "1", "x", "是"})
NO = frozenset({"", "no", "n", "false", "0", "否"})


@dataclass(frozen=True, slots=True)
class Fix:
    """One proposal.

    Attributes:
        path: Of the image, as in ``split.csv``.
        label: What it is said to be.
        action: ``relabel``, ``remove`` or ``look``, which changes nothing.
        suggested: The label to give it instead; empty unless it is to be relabelled.
        reason: Why, in plain words.
        score: The higher, the likelier, within one kind of reason.
        sha256: Of the content that the proposal is about.
        confirmed: Whether a person said yes.
    """

    path: str
    label: str
    action: str
    suggested: str
    reason: str
    score: float
    sha256: str
    confirmed: bool = False


def write_fixes(path: Path, fixes: Sequence[Fix]) -> None:
    """Write proposals, one row per image with the first that there is of it; a file that a person began to fill in is left as it is.

    Args:
        path: The file.
        fixes: The most important first.

    Raises:
        ResourceError: The file cannot be written.
    """
    if path.is_file() and _begun(path):
        return
    first = {fix.path: fix for fix in reversed(fixes)}
    rows = [first.pop(fix.path) for fix in fixes if fix.path in first]
    cells = ([f.path, f.label, f.action, f.suggested, f.reason, f"{f.score:.4f}", "", f.sha256] for f in rows)
    write_table(path, COLUMNS, cells)


def read_fixes(path: Path, rows: Sequence[SplitRow], classes: Collection[str]) -> list[Fix]:
    """Read proposals that a person went through, and hold them against the images of the run.

    Args:
        path: The CSV, also as a spreadsheet saves it.
        rows: The images of the run.
        classes: The labels that a relabelled image may have.

    Returns:
        All rows.

    Raises:
        DataError: The file cannot be read; or rows are wrong: an unknown path or class, an answer that is neither yes nor no, an image
            confirmed twice, or proposals that are about other images. All such rows are named together.
    """
    table = load_table(path)
    at = _columns(table)
    known, problems = {row.path: row for row in rows}, list[SeefitError]()
    fixes = [_fix(f"{path}, line {line}", cells, at, known, classes, problems) for line, cells in table.rows if any(cells)]
    twice = Counter(fix.path for fix in fixes if fix.confirmed)
    problems += [_wrong(path, "each image confirmed once", f"{name!r} {count} times") for name, count in twice.items() if count > 1]
    raise_all(problems[:20])
    return fixes


def effective(path: Path, fixes: Sequence[Fix]) -> list[Fix]:
    """Return the confirmed fixes that change something: what is to be removed, or to get another label.

    Args:
        path: The file that they were read from.
        fixes: From `read_fixes`.

    Raises:
        UsageError: There is none.
    """
    confirmed = [fix for fix in fixes if fix.confirmed]
    found = [fix for fix in confirmed if fix.action == "remove" or (fix.action == "relabel" and fix.suggested != fix.label)]
    if not found:
        got = f"{len(fixes):,} proposals, none confirmed" if not confirmed else f"{len(confirmed):,} confirmed that change nothing"
        hint = "Look at the pictures, then write yes into the column confirm where relabel or remove is right"
        raise UsageError("Nothing to apply", where=path, expected="confirmed fixes", got=got, hint=hint)
    return found


def apply_fixes(rows: Sequence[SplitRow], fixes: Sequence[Fix]) -> list[SplitRow]:
    """Return the images of a run with fixes applied: fewer rows, other labels, nothing else.

    Args:
        rows: The images of the run.
        fixes: From `effective`.
    """
    removed = {fix.path for fix in fixes if fix.action == "remove"}
    labels = {fix.path: fix.suggested for fix in fixes if fix.action == "relabel"}
    return [replace(row, label=labels.get(row.path, row.label), target=_target(row, labels)) for row in rows if row.path not in removed]


def write_labels(path: Path, rows: Sequence[SplitRow]) -> None:
    """Write images as a CSV that ``seefit train`` reads: path, label, split, weight and, where there are any, group and soft targets.

    Raises:
        ResourceError: The file cannot be written.
    """
    grouped = any(row.group for row in rows)
    soft = list(dict.fromkeys(name for row in rows for name in row.target or {}))
    header = ["path", "label", "split", "weight", *(["group"] if grouped else []), *(TARGET_PREFIX + name for name in soft)]
    cells = (
        [row.path, row.label, row.split, repr(row.weight), *([row.group] if grouped else []), *_target_cells(row, soft)] for row in rows
    )
    write_table(path, header, cells)


def _begun(path: Path) -> bool:
    """Return whether a person wrote into the file; what cannot be read is a person's too."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as handle:
            return any(row.get("confirm") or None in row for row in csv.DictReader(handle))
    except (OSError, csv.Error):
        return True


def _columns(table: Table) -> Mapping[str, int]:
    at = {name.strip().lower(): number for number, name in enumerate(table.header)}
    missing = [name for name in COLUMNS if name not in at and name not in {"reason", "score"}]
    if missing:
        raise _wrong(table.path, "the columns " + ", ".join(COLUMNS), "no " + ", ".join(missing))
    return at


def _fix(
    where: str,
    cells: Sequence[str],
    at: Mapping[str, int],
    known: Mapping[str, SplitRow],
    classes: Collection[str],
    problems: list[SeefitError],
) -> Fix:
    def cell(name: str) -> str:
        return cells[at[name]] if name in at else ""

    answer, action = cell("confirm").strip().lower(), cell("action").strip().lower()
    fix = Fix(cell("path"), cell("label"), action, cell("suggested"), cell("reason"), 0.0, cell("sha256").strip(), answer in YES)
    if answer not in YES | NO:
        problems.append(_wrong(where, "yes, no or nothing as confirm", repr(cell("confirm"))))
    elif fix.confirmed:
        problems += _problems(where, fix, known.get(fix.path), classes)
    return fix


def _problems(where: str, fix: Fix, row: SplitRow | None, classes: Collection[str]) -> list[SeefitError]:
    """Return what forbids to apply a confirmed fix."""
    if row is None:
        return [_wrong(where, "the path of an image of the run", repr(fix.path))]
    if fix.sha256 != row.sha256:
        hint = "Take the fixes.csv of this very run"
        return [_wrong(where, f"a proposal about the {row.path} of this run", "one about another picture of that name", hint)]
    if fix.action not in ACTIONS:
        return [_wrong(where, "relabel, remove or look as action", repr(fix.action))]
    if fix.label != row.label:
        hint = "Leave the column label as it was and write the new label into suggested"
        return [_wrong(where, f"the label {row.label!r} as the run has it", repr(fix.label), hint)]
    if fix.action == "relabel" and fix.suggested not in classes:
        try:
            unknown_name("class", fix.suggested, classes, error=DataError)
        except DataError as error:
            hint = f"{error.hint.rstrip('.')}; to make a new class, change the labels in the CSV that is written"
            return [_wrong(where, "a class of the run as suggested", repr(fix.suggested), hint)]
    return []


def _wrong(where: object, expected: str, got: str, hint: str = "Correct the CSV and run the same command again") -> DataError:
    return DataError("Cannot apply the fixes", where=where, expected=expected, got=got, hint=hint)


def _target(row: SplitRow, labels: Mapping[str, str]) -> Mapping[str, float] | None:
    """Return the soft target; of a relabelled image the new label alone, since a person was sure."""
    return {labels[row.path]: 1.0} if row.target is not None and row.path in labels else row.target


def _target_cells(row: SplitRow, soft: Sequence[str]) -> list[str]:
    return [""] * len(soft) if row.target is None else [repr(row.target.get(name, 0.0)) for name in soft]
