"""``seefit demo``: the whole way on real photographs, then what to do next."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from seefit.cli.train import print_run
from seefit.console import Console
from seefit.pipeline import train
from seefit.settings import make_settings


def demo(*, out: Path | None, overrides: dict[str, Any], json_output: bool, console: Console) -> int:
    """Train ``demo:elpv`` and say what to do next.

    Args:
        out: The run folder.
        overrides: Seed and device, when given.
        json_output: Print ``{"run", "metrics"}`` on stdout.
        console: Where progress is shown.
    """
    console.say("Photographs of solar cells, functional or defective (ELPV: Deitsch et al. 2019, CC BY-NC-SA 4.0)")
    finished = train(make_settings({"data": "demo:elpv", **overrides}), out=out, console=console)
    print_run(finished, json_output=json_output)
    if not json_output:
        print("\nNow with your own pictures, one folder per class:")
        print("  seefit check FOLDER     what is broken, doubled or mislabelled")
        print("  seefit train FOLDER     a classifier with a report like this one")
    return 0
