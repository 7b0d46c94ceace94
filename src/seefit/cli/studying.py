"""The commands that compare and search: `compare`, `study`, `tune`. A part of the one command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seefit.cli import options as o
from seefit.console import Console

studying = typer.Typer()

Page = Annotated[Path | None, typer.Option(help="Write a page about it: an .html that is not there yet.", show_default="no page")]
Lang = Annotated[str, typer.Option(help="Of the page: en or zh.")]


@studying.command()
def compare(
    runs_or_data: Annotated[list[str], typer.Argument(help="Two run folders or more.", show_default=False)],
    html: Page = None,
    lang: Lang = "en",
    json: o.Json = False,
    quiet: o.Quiet = False,
    seed: o.Seed = None,
    device: o.Device = None,
    debug: o.Debug = False,
) -> int:
    """Compare runs on the test images that all were judged on: which differences are more than chance."""
    from seefit.cli.compare import compare as command

    return command(runs_or_data, html=html, lang=lang, seed=seed or 0, json_output=json, console=Console(quiet=quiet))
