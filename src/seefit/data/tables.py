"""CSV files: one writer and one reader that keep every name, and labels read from a user's own table."""

# ruff: noqa: PTH116, PTH118 (paths are joined as strings: there may be a million of them)

from __future__ import annotations

import csv
import io
import math
import os
import re
import stat
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seefit.data.dataset import SPLIT_NAMES, Dataset, Sample, Skip, natural_order
from seefit.data.listing import first_five, leaves
from seefit.errors import DataError, SeefitError, raise_all
from seefit.files import atomic_path

TARGET_PREFIX = "p:"
_Report = Callable[[int, str, str], None]  # line, what was expected, what is there
_ROLES = {
    "path": ("path", "image", "file_name", "filename"),
    "label": ("label", "class"),
    "split": ("split",),
    "group": ("group",),
    "weight": ("weight",),
}
_MARKS = re.compile(r"[,;\"\r\n\t]|^[ \ufeff]| $")  # what makes a cell need quotes
_SUM_TOLERANCE = 0.0101  # soft targets are often written with two decimals; within it they are scaled to sum to 1


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    r"""Write a CSV atomically, so that `read_table` gives back every cell, whatever is in it.

    Args:
        path: The file to write.
        header: The column names.
        rows: One sequence of cells per row, as wide as the header; taken one by one, None is written as "".

    Raises:
        ResourceError: The disk is full or the place cannot be written to.
    """
    with (
        atomic_path(path) as temporary,
        open(temporary, "w", encoding="utf-8", errors="surrogateescape", newline="") as handle,
    ):
        handle.write(_line(header))
        handle.writelines(map(_line, rows))


def _line(cells: Sequence[object]) -> str:
    # Python's writer leaves a lone "\r" unquoted (before 3.13), which its reader then takes for a line end.
    return (",".join(_cell("" if cell is None else str(cell)) for cell in cells) or '""') + "\n"


def _cell(text: str) -> str:
    if not _MARKS.search(text):
        return text
    return '"' + text.replace('"', '""') + '"'


def read_table(path: Path) -> list[dict[str, str]]:
    """Read a CSV that `write_table` wrote: one ``{column: cell}`` per row.

    Raises:
        DataError: The file cannot be read, or a row is not as wide as the header.
    """
    table = load_table(path, delimiters=",")
    return [dict(zip(table.header, cells, strict=True)) for _, cells in table.rows]


@dataclass(frozen=True)
class Table:
    """The cells of a CSV.

    Attributes:
        path: The file.
        header: The column names as written.
        rows: Line number (the first line is 1) and cells of every row that is not blank.
        notes: What was odd about the file.
    """

    path: Path
    header: list[str]
    rows: list[tuple[int, list[str]]]
    notes: list[str]


def load_table(path: Path, *, delimiters: str = ",;\t") -> Table:
    """Read a CSV file: UTF-8 or UTF-16, with or without byte-order mark, any line ends.

    Args:
        path: The file.
        delimiters: What may stand between cells; the one that cuts the header into most columns is taken.

    Raises:
        DataError: The file cannot be read, is empty, or has rows that are not as wide as its header.
    """
    text, notes = _decode(path)
    records = _records(path, text, delimiters)
    if not records:
        raise _bad_table(path, "a header line", "an empty file")
    header = records[0][1]
    rows = [(line, cells) for line, cells in records[1:] if len(cells) == len(header) or any(cells)]
    _raise_some(
        path,
        [
            _bad_table(f"{path}, line {line}", f"{len(header)} cells as in the header", str(len(cells)))
            for line, cells in rows
            if len(cells) != len(header)
        ],
    )
    return Table(path, header, rows, notes)


def _decode(path: Path) -> tuple[str, list[str]]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _bad_table(path, "a CSV file that you may read", error.strerror or str(error)) from error
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace"), []
    try:
        return data.decode("utf-8-sig"), []
    except UnicodeDecodeError:
        note = f"{path.name} is not valid UTF-8: save it as UTF-8 if names look wrong or files are missing."
        return data.decode("utf-8-sig", "surrogateescape"), [note]


def _records(path: Path, text: str, delimiters: str) -> list[tuple[int, list[str]]]:
    """Cut the text into cells; a record's line is the one it starts on, since a quoted name may hold line ends."""

    def reader(mark: str) -> Any:
        return csv.reader(io.StringIO(text, newline=""), delimiter=mark, skipinitialspace=True)

    try:
        best = max(delimiters, key=lambda mark: len(next(reader(mark), [])))
        lines, records, start = reader(best), [], 1
        for cells in lines:
            if cells:
                records.append((start, cells))
            start = lines.line_num + 1
        return records
    except csv.Error as error:
        raise _bad_table(path, "a CSV file", str(error)) from error


def _raise_some(path: Path, problems: list[SeefitError]) -> None:
    """Raise all problems together; of more than twenty the first twenty and the count of the others."""
    if len(problems) > 20:
        problems = [*problems[:20], _bad_table(path, "no further problem", f"{len(problems) - 20:,} more lines like these")]
    raise_all(problems)


def _bad_table(where: object, expected: str, got: str) -> DataError:
    return DataError(
        "Cannot read the table", where=where, expected=expected, got=got, hint="Correct the CSV and run the same command again"
    )


@dataclass(frozen=True)
class _Columns:
    """Where the meaning of a table stands: column numbers by role, and for soft targets by class in natural order."""

    roles: dict[str, int]
    targets: dict[str, int]


@dataclass
class _Row:
    """What one line says of one image; ``targets`` by class."""

    line: int
    name: str
    label: str
    split: str | None
    group: str | None
    weight: float
    targets: dict[str, float]

    def says(self) -> tuple[object, ...]:
        return self.label, self.split, self.group, self.weight, tuple(self.targets.items())


def read_labels(table: Table, *, source: str, root: Path, group_by: str | None = None, follow_links: bool = False) -> Dataset:
    """Read a user's table of images: a path and a label, and optionally split, group, weight and soft targets.

    Args:
        table: The cells. ``path`` may also be called image, file_name or filename; ``label`` also class.
            ``p:<class>`` columns hold soft targets that sum to 1; without a label the likeliest class is the label.
        source: What the user named.
        root: The folder that relative paths start from; absolute paths must be below it.
        group_by: The column that holds the group; ``group`` when None; ``none`` for no groups.
        follow_links: Also take files that links outside the root point to.

    Returns:
        The dataset. Files that are missing are among its skips.

    Raises:
        DataError: Columns are missing, or lines are wrong or disagree; all such lines are named together.
    """
    columns = _columns(table, group_by)
    problems: list[SeefitError] = []

    def report(line: int, expected: str, got: str) -> None:
        problems.append(_bad_table(f"{table.path}, line {line}", expected, got))

    name_of = _namer(root)
    rows = [row for line, cells in table.rows if any(cells) and (row := _read_row(line, cells, columns, name_of, report))]
    merged = _merge(table.path, rows, problems)
    _raise_some(table.path, problems)
    found, skips = _find_files(merged, root, follow_links)
    if not found:
        raise _nothing_found(table.path, root, len(merged))
    classes = tuple(natural_order({row.label for row in merged} | set(columns.targets)))
    samples = {row.name: _sample(row, root, classes) for row in found}
    notes = table.notes + _table_notes(rows, merged, skips)
    given = any(row.split for row in merged)
    return Dataset(source, root, [samples[name] for name in natural_order(samples)], classes, skips, notes, given)


def _columns(table: Table, group_by: str | None) -> _Columns:
    names = [name if name.lower().startswith(TARGET_PREFIX) else name.strip().lower() for name in table.header]
    at = {name: number for number, name in enumerate(names)}
    targets = {
        name[len(TARGET_PREFIX) :]: number for name, number in at.items() if name.startswith(TARGET_PREFIX) and name != TARGET_PREFIX
    }
    roles = {role: at[name] for role, aliases in _ROLES.items() for name in reversed(aliases) if name in at}
    if group_by is not None:
        roles.pop("group", None)
        if group_by in table.header:
            roles["group"] = table.header.index(group_by)
    found = f"the columns {', '.join(table.header)}"
    wrong = [] if "path" in roles else [("a column path, image, file_name or filename", found)]
    wrong += [] if "label" in roles or targets else [("a column label or class, or columns p:<class>", found)]
    meant = {name for aliases in _ROLES.values() for name in aliases} | {TARGET_PREFIX + name for name in targets}
    wrong += [("one column of each name", f"several called {name}") for name in sorted(meant) if names.count(name) > 1]
    raise_all([_bad_table(table.path, what, got) for what, got in wrong])
    return _Columns(roles, {name: targets[name] for name in natural_order(targets)})


def _read_row(line: int, cells: list[str], columns: _Columns, name_of: Callable[[str], str | None], report: _Report) -> _Row | None:
    """Read one line; report every problem of it and return None when there is one."""
    problems: list[tuple[str, str]] = []

    def cell(role: str) -> str:
        return cells[columns.roles[role]] if role in columns.roles else ""

    name, split, weight = name_of(cell("path")), cell("split").strip().lower(), _number(cell("weight") or "1")
    targets = _targets([cells[at] for at in columns.targets.values()], columns)
    label = cell("label") or max(targets or {}, key=lambda name: (targets or {})[name], default="")
    if name is None:
        problems.append(("a path that stays below the folder", repr(cell("path"))))
    if split and split not in SPLIT_NAMES:
        problems.append(("a split named train, val or test", repr(cell("split"))))
    if weight is None:
        problems.append(("a weight of at least 0", repr(cell("weight"))))
    if targets is None:
        texts = ", ".join(f"{TARGET_PREFIX}{name} = {cells[at]}" for name, at in columns.targets.items())
        problems.append(("soft targets of at least 0 that sum to 1", texts))
    elif not label:
        problems.append(("a label", "an empty cell"))
    for expected, got in problems:
        report(line, expected, got)
    if problems or name is None or weight is None or targets is None:
        return None
    return _Row(line, name, label, SPLIT_NAMES.get(split), cell("group") or None, weight, targets)


def _namer(root: Path) -> Callable[[str], str | None]:
    """Return a function from a path cell to the name relative to the root; None when it is empty or leaves the root."""
    written, real = os.path.normpath(root.absolute()), os.path.realpath(root)

    def name_of(cell: str) -> str | None:
        if not cell or "\0" in cell:
            return None
        if "\\" in cell and not os.path.lexists(os.path.join(written, cell)):  # written on Windows
            cell = cell.replace("\\", "/")
        full = os.path.normpath(os.path.join(written, cell))
        for top in (written, real):
            if full != top and not leaves(full, top):
                return full[len(top.rstrip(os.sep)) + 1 :].replace(os.sep, "/")
        return None

    return name_of


def _number(text: str) -> float | None:
    """Return a finite number of at least 0, or None."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def _targets(texts: list[str], columns: _Columns) -> dict[str, float] | None:
    """Return the soft targets of one line, scaled to sum to exactly 1; empty when no cell is filled, None when they are wrong."""
    if not any(texts):
        return {}
    values = [_number(text or "0") for text in texts]
    good = [value for value in values if value is not None]
    total = math.fsum(good)
    if len(good) < len(values) or abs(total - 1) > _SUM_TOLERANCE:
        return None
    return {name: value / total for name, value in zip(columns.targets, good, strict=True)}


def _merge(path: Path, rows: list[_Row], problems: list[SeefitError]) -> list[_Row]:
    """Merge lines about one image that agree; note those that do not, and splits that are given for some images only."""
    first: dict[str, _Row] = {}
    for row in rows:
        other = first.setdefault(row.name, row)
        if other.says() != row.says():
            what = f"{other.label!r} and {row.label!r}" if other.label != row.label else "another split, group, weight or soft target"
            problems.append(_bad_table(f"{path}, lines {other.line} and {row.line}", f"the same said twice of {row.name}", what))
    if any(row.split for row in rows):
        problems.extend(_bad_table(f"{path}, line {row.line}", "a split, as other lines have", "none") for row in rows if not row.split)
    return list(first.values())


def _find_files(rows: list[_Row], root: Path, follow_links: bool) -> tuple[list[_Row], list[Skip]]:
    """Look every file up without opening it; folders are resolved once."""
    real_root = os.path.realpath(root)
    real_folders: dict[str, str] = {}
    found, skips = [], []
    for row in rows:
        folder, _, base = row.name.rpartition("/")
        if folder not in real_folders:
            real_folders[folder] = os.path.realpath(os.path.join(real_root, folder))
        reason, size = _look_up(os.path.join(real_folders[folder], base), None if follow_links else real_root)
        if reason:
            skips.append(Skip(row.name, reason, size))
        else:
            found.append(row)
    return found, skips


def _look_up(path: str, real_root: str | None) -> tuple[str | None, int]:
    """Return why a file cannot be used, or None, and its size in bytes."""
    real = path
    try:
        about = os.lstat(path)
        if stat.S_ISLNK(about.st_mode):
            real = os.path.realpath(path)
            about = os.stat(real)
    except PermissionError as error:
        raise _bad_table(path, "a file in a folder that you may read", error.strerror or str(error)) from error
    except OSError:
        return "file is missing", 0
    if real_root is not None and leaves(real, real_root):
        return "link that leaves the folder", about.st_size
    return (None if stat.S_ISREG(about.st_mode) else "not a regular file"), about.st_size


def _nothing_found(path: Path, root: Path, count: int) -> DataError:
    return DataError(
        "Cannot find the images of the table",
        where=path,
        expected=f"files below {root}",
        got=f"none of its {count:,} paths" if count else "a table without rows",
        hint="Name the folder that the paths are relative to with --root",
    )


def _sample(row: _Row, root: Path, classes: tuple[str, ...]) -> Sample:
    target = tuple(row.targets.get(name, 0.0) for name in classes) if row.targets else None
    return Sample(root / row.name, row.name, row.label, row.split, row.group, row.weight, target)


def _table_notes(rows: list[_Row], merged: list[_Row], skips: list[Skip]) -> list[str]:
    notes = []
    if len(rows) > len(merged):
        notes.append(f"Merged {len(rows) - len(merged):,} rows that repeat another.")
    if missing := [skip.name for skip in skips if skip.reason == "file is missing"]:
        notes.append(f"{len(missing):,} files are missing: {first_five(missing)}.")
    if others := [skip.name for skip in skips if skip.reason != "file is missing"]:
        notes.append(f"Left out {len(others):,} links or special files ({first_five(others)}).")
    return notes
