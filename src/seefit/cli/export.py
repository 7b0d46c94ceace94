"""``seefit export``: a finished run as an ONNX file, OpenVINO's files, an int8 model, or a folder for the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

from seefit.console import Console
from seefit.deploy.export import Exported
from seefit.deploy.export import export as export_run
from seefit.deploy.int8 import MAX_DROP
from seefit.files import to_json


def export(
    run: Path, kind: str, *, out: Path | None, push: str | None, max_drop: float = MAX_DROP, json_output: bool = False, console: Console
) -> int:
    """Export the model of a run, and say what was found about it.

    Args:
        run: A finished run.
        kind: The format.
        out: The folder to write; None for one in the run.
        push: A repository of the hub to upload to.
        max_drop: By how many points accuracy may fall with int8.
        json_output: Print ``{"export", "format", "bytes", "repository"}`` with ``proof`` or ``change`` on stdout.
        console: Where to say what happens.

    Raises:
        SeefitError: As `seefit.deploy.export.export`.
    """
    done = export_run(run, kind, out=out, push=push, max_drop=max_drop, console=console)
    if json_output:
        told = {"export": str(done.path), "format": done.format, "bytes": done.size_bytes, "repository": done.repository, **done.facts}
        print(to_json(told))
    else:
        _print(done)
    return 0


def _print(done: Exported) -> None:
    for sentence in done.sentences:
        print(sentence)
    print(f"{done.format}: {done.path} ({done.size_bytes / 1e6:,.1f} MB); README.md in it says how to use it")
    if done.repository:
        print(f"Uploaded to {done.repository}")
    elif done.format != "hub":
        print(f"Try it: seefit predict {done.path} IMAGE")
