"""``seefit train``: settings in, a run folder out, the figures on the console."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from seefit.cli.show import show_figures
from seefit.console import Console
from seefit.errors import UsageError
from seefit.files import to_json
from seefit.pipeline import Run
from seefit.pipeline import train as train_run
from seefit.resuming import repeat
from seefit.settings import make_settings


def train(given: dict[str, Any], *, config: Path | None, out: Path | None, json_output: bool, console: Console) -> int:
    """Train and show the figures.

    Args:
        given: Settings given by hand.
        config: A ``config.yaml`` to take the others from.
        out: The run folder.
        json_output: Print ``{"run", "metrics"}`` on stdout.
        console: Where progress is shown.
    """
    if config is None and "data" not in given:
        raise UsageError(
            "Nothing to train on", where="seefit train", expected="DATA or --config", got="neither", hint="Try `seefit train demo:elpv`"
        )
    settings = repeat(config, given) if config is not None else make_settings(given)
    finished = train_run(settings, out=out, console=console)
    print_run(finished, json_output=json_output)
    return 0


def print_run(finished: Run, *, json_output: bool) -> None:
    """Print the figures of a run and where its parts are."""
    if json_output:
        print(to_json({"run": str(finished.path), "metrics": finished.metrics}))
        return
    show_figures(finished.metrics)
    print(f"\nreport   {finished.path / 'report.html'}")
    print(f"predict  seefit predict {finished.path} IMAGES")
