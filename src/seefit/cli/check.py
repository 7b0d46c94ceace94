"""``seefit check``: what is in a set of images, what is wrong with it, and whether training could start."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seefit.cli.show import stdout_console
from seefit.console import QUIET, Console, printable
from seefit.data.dataset import SPLITS, Dataset, counts
from seefit.data.image import MAX_PIXELS
from seefit.data.scan import Scan, check_usable, scan
from seefit.data.sources import read_dataset
from seefit.drawing import check_free
from seefit.errors import SeefitError
from seefit.files import resource_error, to_json, write_text

if TYPE_CHECKING:
    from rich.table import Table

    from seefit.report.words import Words

SHOWN_CLASSES = 40
SHOWN_ITEMS = 5


def check(
    source: str,
    *,
    labels: str = "folder",
    root: Path | None = None,
    group_by: str | None = None,
    follow_links: bool = False,
    sha256: str | None = None,
    max_skipped: float = 0.01,
    max_pixels: int = MAX_PIXELS,
    allow_leak: bool = False,
    out: Path | None = None,
    html: Path | None = None,
    lang: str = "en",
    seed: int = 0,
    json_output: bool = False,
    console: Console = QUIET,
) -> int:
    """Decode every image of a source and print what was found. Nothing of the user's is changed.

    Args:
        source: A folder, a CSV, an archive, a URL of one, or ``demo:NAME``.
        labels: ``folder``, ``csv`` or a regular expression, as in `seefit.data.sources.read_dataset`.
        root: Likewise.
        group_by: Likewise.
        follow_links: Likewise.
        sha256: Likewise.
        max_skipped: The largest share of images that may be unusable, 0 to 1.
        max_pixels: Images with more pixels cannot be used.
        allow_leak: Accept the same bytes on several sides of a given split.
        out: A folder to write the findings to.
        html: A page about the data to write, which must not be there yet. Without it and ``out`` nothing is written.
        lang: Of the page, ``en`` or ``zh``.
        seed: Of the pictures that the page shows.
        json_output: Print one JSON object on stdout and nothing else there.
        console: Where progress is shown.

    Returns:
        The exit code: 0 when training could start, 3 when it could not.

    Raises:
        SeefitError: The source itself cannot be read, or ``out`` or ``html`` cannot be written to.
    """
    words = _page_words(html, lang)
    reading: dict[str, Any] = {"labels": labels, "root": root, "group_by": group_by, "follow_links": follow_links, "sha256": sha256}
    dataset = read_dataset(source, **reading, console=console)
    found = scan(dataset, max_pixels=max_pixels, console=console)
    stop = _judge(found, dataset, max_skipped, allow_leak)
    record = {**to_record(found, dataset), **(stop.to_json() if stop else {})}
    if out is not None:
        _write(out, record, found)
    if html is not None and words is not None:
        from seefit.report.survey import build_survey

        write_text(html, build_survey(found, dataset, stop, words, max_pixels=max_pixels, seed=seed))
        console.say(f"page     {html}")
    if json_output:
        print(to_json(record))
    else:
        _show(dataset, found)
        if stop:
            print(f"error: {printable(stop.message)}\n{printable(stop.hint)}", file=sys.stderr)
    return stop.exit_code if stop else 0


def _page_words(html: Path | None, lang: str) -> Words | None:
    """Refuse a page that cannot be written before any image is read; return its language."""
    from seefit.report.words import Words

    words = Words(lang)
    if html is None:
        return None
    check_free(html, ".html", ".htm", what="page")
    return words


def to_record(found: Scan, dataset: Dataset) -> dict[str, Any]:
    """Return the object that ``--json`` prints: usable images, what is skipped, and what belongs together."""
    per_class = counts(found.samples)
    return {
        "images": len(found.samples),
        "classes": {label: per_class.get(label, 0) for label in dataset.classes},
        "skipped": [{"path": skip.name, "reason": skip.reason, "bytes": skip.bytes} for skip in [*found.skips, *found.unreadable]],
        "duplicates": found.duplicates,
        "near_duplicates": found.near_duplicates,
        "label_conflicts": found.label_conflicts,
        "leaks": found.leaks,
        "warnings": found.warnings,
    }


def _judge(found: Scan, dataset: Dataset, max_skipped: float, allow_leak: bool) -> SeefitError | None:
    try:
        check_usable(found, dataset, parts=_parts(dataset), max_skipped=max_skipped, allow_leak=allow_leak)
    except SeefitError as error:
        return error
    return None


def _parts(dataset: Dataset) -> int:
    """Return how many parts plain ``seefit train`` would cut: three, or the validation part that a given split lacks."""
    given = {sample.split for sample in dataset.samples}
    if not dataset.given_split:
        return len(SPLITS)
    return 1 if "val" in given else 2


def _show(dataset: Dataset, found: Scan) -> None:
    terminal = stdout_console()
    if dataset.classes:
        terminal.print(_class_table(dataset, found))
    for line in _sentences(found):
        terminal.print(line, markup=False, soft_wrap=True)


def _class_table(dataset: Dataset, found: Scan) -> Table:
    """Return the class balance: images per class, per given part, and how many are skipped."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    before, after = counts(dataset.samples), counts(found.samples)
    parts = [part for part in SPLITS if dataset.given_split and any(sample.split == part for sample in dataset.samples)]
    per_part = {part: counts(sample for sample in found.samples if sample.split == part) for part in parts}
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("class", overflow="fold")
    for heading in ["images", "share", *parts, "skipped"]:
        table.add_column(heading, justify="right")
    total = max(len(found.samples), 1)
    for label in dataset.classes[:SHOWN_CLASSES]:
        number = after.get(label, 0)
        numbers = [f"{per_part[part].get(label, 0):,}" for part in parts]
        table.add_row(Text(_clean(label)), f"{number:,}", f"{100 * number / total:.1f} %", *numbers, f"{before.get(label, 0) - number:,}")
    if len(dataset.classes) > SHOWN_CLASSES:
        table.add_row(f"… and {len(dataset.classes) - SHOWN_CLASSES:,} more")
    return table


def _sentences(found: Scan) -> list[str]:
    """Return the findings as lines: what it is, what it means, and the first few examples."""
    images = "1 image" if len(found.samples) == 1 else f"{len(found.samples):,} images"
    lines = [f"{images} can be used{_sizes(found)}, checked in {found.seconds:.1f} s."]
    lines += _listed("Skipped, for they cannot be used", [f"{_clean(skip.name)}: {_clean(skip.reason)}" for skip in found.skips])
    lines += _listed("Refused by the system", [f"{_clean(skip.name)}: {_clean(skip.reason)}" for skip in found.unreadable])
    lines += _listed("The same bytes under several labels, all left out, for one label must be wrong", _joined(found.label_conflicts))
    lines += _listed("The same bytes on several sides of the given split, which makes scores too good", _joined(found.leaks))
    lines += _listed("Exact duplicates, which an automatic split keeps on one side", _joined(found.duplicates))
    lines += _listed("Near-duplicates, which an automatic split keeps on one side", _joined(found.near_duplicates))
    return [*lines, *(f"note: {_clean(warning)}" for warning in found.warnings)]


def _sizes(found: Scan) -> str:
    if not len(found.sizes):
        return ""
    order = np.argsort(found.sizes.prod(axis=1), kind="stable")
    smallest, middle, largest = (f"{w}x{h}" for w, h in found.sizes[order[[0, len(order) // 2, -1]]])
    shapes = f"all {smallest} pixels" if smallest == largest else f"from {smallest} to {largest} pixels, middle {middle}"
    return f" ({', '.join(found.formats)}; {shapes})"


def _listed(meaning: str, items: Sequence[str]) -> list[str]:
    if not items:
        return []
    more = [f"    … and {len(items) - SHOWN_ITEMS:,} more"] if len(items) > SHOWN_ITEMS else []
    return [f"{meaning}: {len(items):,}", *(f"    {item}" for item in items[:SHOWN_ITEMS]), *more]


def _joined(groups: Iterable[Sequence[str]]) -> list[str]:
    return [" = ".join(_clean(name) for name in group[:SHOWN_ITEMS]) + (" = …" if len(group) > SHOWN_ITEMS else "") for group in groups]


def _clean(text: str) -> str:
    """Return text that stays on its line and cannot drive the terminal."""
    return printable(text).replace("\n", "\\n")


def _write(out: Path, record: dict[str, Any], found: Scan) -> None:
    """Write ``findings.json``, ``skipped.csv`` and ``duplicates.csv`` to a folder."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise resource_error(error, out) from error
    write_text(out / "findings.json", to_json(record) + "\n")
    skipped = [[skip.name, skip.reason, skip.bytes] for skip in [*found.skips, *found.unreadable]]
    write_text(out / "skipped.csv", _csv(["path", "reason", "bytes"], skipped))
    kinds = ("duplicates", "near_duplicates", "label_conflicts", "leaks", "near_leaks")
    rows = [[kind, number, name] for kind in kinds for number, group in enumerate(getattr(found, kind), 1) for name in group]
    write_text(out / "duplicates.csv", _csv(["kind", "group", "path"], rows))


def _csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([header, *rows])
    return text.getvalue()
