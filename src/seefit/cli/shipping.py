"""The commands that ship a model: `export`, `serve`. A part of the one command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seefit.cli import options as o
from seefit.console import Console

shipping = typer.Typer()


@shipping.command()
def export(
    run: o.RunPath,
    format: Annotated[
        str,
        typer.Option(
            help="onnx (one file, runs anywhere), openvino, int8 (smaller, faster, less exact), or hub (for timm and the Hugging Face hub)."
        ),
    ] = "onnx",
    out: Annotated[Path | None, typer.Option(help="The folder to write, new or empty.", show_default="RUN/export/<format>")] = None,
    push: Annotated[
        str | None, typer.Option(help="With hub: upload to this repository, as OWNER/NAME; takes a network.", show_default="no upload")
    ] = None,
    max_drop: Annotated[
        float | None, typer.Option(help="With int8: by how many points accuracy on the validation part may fall.", show_default="1")
    ] = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
    seed: o.Seed = None,
    device: o.Device = None,
    debug: o.Debug = False,
) -> int:
    """Export a finished run, and prove that the export answers as the trained model does."""
    from seefit.cli.export import export as command

    limit = {} if max_drop is None else {"max_drop": max_drop}
    return command(run, format, out=out, push=push, **limit, json_output=json, console=Console(quiet=quiet))
