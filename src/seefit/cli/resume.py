"""``seefit resume``: goes on with a run that was interrupted, and shows its figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from seefit.cli.train import print_run
from seefit.console import Console
from seefit.pipeline import resume as resume_run


def resume(run: Path, given: dict[str, Any], *, json_output: bool, console: Console) -> int:
    """Go on with a run and show its figures; those of a finished run are shown as they are.

    Args:
        run: The run folder.
        given: Settings given by hand: ``epochs`` may grow, all others must be those the run began with.
        json_output: Print ``{"run", "metrics"}`` on stdout.
        console: Where progress is shown.
    """
    print_run(resume_run(run, given, console=console), json_output=json_output)
    return 0
