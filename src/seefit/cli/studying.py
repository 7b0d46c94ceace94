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
Backbones = Annotated[
    str | None,
    typer.Option(help="Compare these on DATA instead, on the same folds: NAME,NAME. The first is the one to beat.", show_default=False),
]
Vary = Annotated[
    str | None,
    typer.Option(
        help="NAME=a,b,c: a setting of train, or amount=1,0.5 or clean=no,fixes.csv. The first value is the one to beat.",
        show_default=False,
    ),
]
Folds = Annotated[int | None, typer.Option(min=2, help="Folds of a repeat.", show_default="3")]
Repeats = Annotated[
    int | None, typer.Option(min=1, help="How often the images are divided anew.", show_default="10; 2 where layers are trained")
]
StudyFolder = Annotated[
    Path | None,
    typer.Option(help="The study folder: a new one, or one to go on with.", show_default="studies/<data>-<name>-<n>"),
]


@studying.command()
def compare(
    runs_or_data: Annotated[list[str], typer.Argument(help="Two run folders or more; with --backbones, DATA.", show_default=False)],
    backbones: Backbones = None,
    repeats: Repeats = None,
    folds: Folds = None,
    out: StudyFolder = None,
    preset: o.Preset = None,
    method: o.Method = None,
    features: o.Features = None,
    image_size: o.ImageSize = None,
    labels: o.Labels = None,
    root: o.Root = None,
    group_by: o.GroupBy = None,
    max_skipped: o.MaxSkipped = None,
    allow_leak: o.AllowLeak = None,
    html: Page = None,
    lang: Lang = "en",
    json: o.Json = False,
    quiet: o.Quiet = False,
    seed: o.Seed = None,
    device: o.Device = None,
    debug: o.Debug = False,
) -> int:
    """Compare runs on the test images that all were judged on, or backbones on your images: which differences are more than chance."""
    console = Console(quiet=quiet)
    others = {"runs_or_data", "backbones", "html", "lang", "json", "quiet", "seed", "debug", "console"}
    of_data = {name: value for name, value in locals().items() if name not in {*others, "others"}}
    from seefit.cli.recipes import compare_recipes, refuse_options

    if backbones is None:
        from seefit.cli.compare import compare as command

        refuse_options(of_data)
        return command(runs_or_data, html=html, lang=lang, seed=seed or 0, json_output=json, console=console)
    asked = {name: value for name, value in {**of_data, "seed": seed}.items() if value is not None}
    return compare_recipes(runs_or_data, backbones, asked, html=html, lang=lang, json_output=json, console=console)


@studying.command()
def study(
    data: o.OptionalData = None,
    vary: Vary = None,
    repeats: Repeats = None,
    folds: Folds = None,
    out: StudyFolder = None,
    lang: Lang = "en",
    preset: o.Preset = None,
    method: o.Method = None,
    backbone: o.Backbone = None,
    features: o.Features = None,
    image_size: o.ImageSize = None,
    fit: o.Fit = None,
    class_weights: o.ClassWeights = None,
    probe_views: o.ProbeViews = None,
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
    head: o.Head = None,
    hidden: o.Hidden = None,
    freeze: o.Freeze = None,
    augment: o.Augment = None,
    views: o.Views = None,
    epochs: o.Epochs = None,
    batch: o.Batch = None,
    optimiser: o.Optimiser = None,
    weight_decay: o.WeightDecay = None,
    lr: o.Lr = None,
    schedule: o.Schedule = None,
    loss: o.Loss = None,
    label_smoothing: o.LabelSmoothing = None,
    mixup: o.Mixup = None,
    dropout: o.Dropout = None,
    patience: o.Patience = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
    seed: o.Seed = None,
    device: o.Device = None,
    debug: o.Debug = False,
) -> int:
    """Ask which of several ways to train is better on your images, and whether the difference is real."""
    own = {"vary", "repeats", "folds", "out", "lang", "json", "quiet", "debug"}
    given = {name: value for name, value in locals().items() if value is not None and name not in {*own, "own"}}
    from seefit.cli.study import study as command

    return command(given, vary=vary, folds=folds, repeats=repeats, out=out, lang=lang, json_output=json, console=Console(quiet=quiet))


@studying.command()
def tune(
    data: o.OptionalData = None,
    space: Annotated[
        str | None, typer.Option(help="What may be tried: probe, finetune, or a YAML file of your own.", show_default="probe")
    ] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="How many settings are tried in all.", show_default="30")] = None,
    minutes: Annotated[
        float | None,
        typer.Option(min=0.01, help="What the search may take, without the winner's training.", show_default="as long as it takes"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The tune folder: a new one, or one to go on with.", show_default="tunes/<data>-<method>-<n>"),
    ] = None,
    lang: Lang = "en",
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

    console = Console(quiet=quiet)
    return command(given, space=space, trials=trials, minutes=minutes, out=out, lang=lang, json_output=json, console=console)
