"""``seefit report``: builds the page of a run again."""

from __future__ import annotations

from pathlib import Path

from seefit.console import Console
from seefit.files import to_json
from seefit.report.report import build_report


def report(run: Path, *, lang: str, json_output: bool, console: Console) -> int:
    """Build ``report.html`` from the files of a run and print where it is.

    Args:
        run: The run folder.
        lang: ``en`` or ``zh``.
        json_output: Print ``{"report"}`` on stdout.
        console: Where progress is shown.
    """
    page = build_report(run, lang=lang, console=console)
    print(to_json({"report": str(page)}) if json_output else str(page))
    return 0
