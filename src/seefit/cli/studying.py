"""The commands that compare and search: `compare`, `study`, `tune`. A part of the one command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seefit.cli import options as o
from seefit.console import Console

studying = typer.Typer()


@studying.command()
def tune(
    data: o.OptionalData = None,
    space: Annotated[
        str | None, typer.Option(help="What may be tried: probe, finetune, or a YAML file of your own.", show_default="probe")
    ] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="How many settings are tried in all.", show_default="30")] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0, help="What the search may take, without the winner's training.", show_default="as long as it takes")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The tune folder: a new one, or one to go on with.", show_default="tunes/<data>-<method>-<n>"),
    ] = None,
    lang: Annotated[str, typer.Option(help="Of the page: en or zh.")] = "en",
    val: o.Val = None,
    test: o.Test = None,
    test_from_val: o.TestFromVal = None,
    labels: o.Labels = None,
    root: o.Root = None,
    group_by: o.GroupBy = None,
    follow_links: o.FollowLinks = None,
    sha256: o.Sha256 = None,
    max_skipped: o.MaxSkipped = None,
    max_pixels: o.MaxPixels = None,
    allow_leak: o.AllowLeak = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
    seed: o.Seed = None,
    device: o.Device = None,
    debug: o.Debug = False,
) -> int:
    """Search for settings inside the training part, train the winner, and score it once on the untouched test part."""
    own = {"space", "trials", "minutes", "out", "lang", "json", "quiet", "debug"}
    given = {name: value for name, value in locals().items() if value is not None and name not in {*own, "own"}}
    from seefit.cli.tune import tune as command

    options = {"space": space, "trials": trials, "minutes": minutes, "out": out, "lang": lang}
    return command(given, **options, json_output=json, console=Console(quiet=quiet))
