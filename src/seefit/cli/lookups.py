"""The commands that leave no run: explanations, a rate, labels put right, networks, runs, the cache. A part of the one command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seefit.cli import options as o
from seefit.console import Console

lookups = typer.Typer()


@lookups.command()
def explain(
    run: Annotated[Path, typer.Argument(help="A run or a bundle.", show_default=False)],
    image: Annotated[Path, typer.Argument(help="The picture.", show_default=False)],
    label: Annotated[str | None, typer.Option("--class", help="The class to explain.", show_default="the predicted one")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Draw it into this .png or .svg file that is not there yet.", show_default="no picture")
    ] = None,
    lang: Annotated[str, typer.Option(help="Of the drawing: en or zh.")] = "en",
    max_pixels: o.MaxPixels = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
    seed: o.Seed = None,
    device: o.Device = None,
    debug: o.Debug = False,
) -> int:
    """Show what in a picture made the model say what it said, and the most similar training images."""
    from seefit.cli.explain import explain as command

    limit = {} if max_pixels is None else {"max_pixels": max_pixels}
    return command(run, image, label=label, out=out, lang=lang, **limit, json_output=json, console=Console(quiet=quiet))


@lookups.command()
def lr_find(
    data: o.Data,
    out: Annotated[
        Path | None, typer.Option(help="Draw the curve into this .png or .svg file that is not there yet.", show_default="no picture")
    ] = None,
    method: Annotated[str | None, typer.Option(help="finetune or scratch.", show_default="finetune")] = None,
    backbone: o.Backbone = None,
    features: o.Features = None,
    image_size: o.ImageSize = None,
    fit: o.Fit = None,
    class_weights: o.ClassWeights = None,
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
    batch: o.Batch = None,
    accumulate: o.Accumulate = None,
    optimiser: o.Optimiser = None,
    momentum: o.Momentum = None,
    weight_decay: o.WeightDecay = None,
    lr_spacing: o.LrSpacing = None,
    loss: o.Loss = None,
    label_smoothing: o.LabelSmoothing = None,
    focal_gamma: o.FocalGamma = None,
    mixup: o.Mixup = None,
    cutmix: o.Cutmix = None,
    noise: o.Noise = None,
    dropout: o.Dropout = None,
    clip: o.Clip = None,
    norms: o.Norms = None,
    zero_gamma: o.ZeroGamma = None,
    precision: o.Precision = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
    seed: o.Seed = None,
    device: o.Device = None,
    debug: o.Debug = False,
) -> int:
    """Look for a learning rate: let it rise over training batches and watch the loss."""
    given = {name: value for name, value in locals().items() if value is not None and name not in {"out", "json", "quiet", "debug"}}
    from seefit.cli.lr_find import lr_find as command

    return command(given, out=out, json_output=json, console=Console(quiet=quiet))


@lookups.command()
def apply_fixes(
    run: o.RunPath,
    out: Annotated[Path, typer.Option(help="The CSV of labels to write: a .csv that is not there yet.", show_default=False)],
    fixes: Annotated[Path | None, typer.Option(help="The proposals, with yes under confirm.", show_default="fixes.csv of the run")] = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
    seed: o.Seed = None,
    device: o.Device = None,
    debug: o.Debug = False,
) -> int:
    """Write a new CSV of labels with the fixes of a run that you confirmed; pictures and older labels stay as they are."""
    from seefit.cli.apply_fixes import apply_confirmed

    return apply_confirmed(run, fixes=fixes, out=out, json_output=json)


@lookups.command()
def models(
    filter: Annotated[str | None, typer.Argument(help="Show only these, such as 'resnet*'.", show_default="all")] = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
    seed: o.Seed = None,
    device: o.Device = None,
    debug: o.Debug = False,
) -> int:
    """List backbones with size, cost, published accuracy and whether their weights are here."""
    from seefit.cli.models import models as command

    return command(filter=filter, json_output=json)


@lookups.command()
def summary(
    model: Annotated[
        str, typer.Argument(help="A backbone's name, your own network as file.py:function, or a run folder.", show_default=False)
    ],
    image_size: o.ImageSize = None,
    classes: Annotated[int | None, typer.Option(help="Number of classes.", min=1, show_default="what the network was made for")] = None,
    depth: Annotated[
        int | None, typer.Option(help="Parts of a layer's name that a row is for: 1 for stages.", min=1, show_default="as fits on a page")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Draw the network into this .svg file.", show_default="no drawing")] = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
    seed: o.Seed = None,
    device: o.Device = None,
    debug: o.Debug = False,
) -> int:
    """Show the layers of a network with shapes, parameters, sizes and multiply-adds, or draw it."""
    from seefit.cli.summary import summary as command

    return command(model, image_size=image_size, classes=classes, depth=depth, out=out, json_output=json)


@lookups.command()
def runs(
    folder: Annotated[
        Path | None, typer.Argument(help="Where the run folders are.", show_default="runs, and the winners in studies and tunes")
    ] = None,
    data: Annotated[str | None, typer.Option(help="Only runs on data with this in its name.", show_default="all")] = None,
    backbone: Annotated[str | None, typer.Option(help="Only runs of backbones with this in their name.", show_default="all")] = None,
    state: Annotated[str | None, typer.Option(help="Only finished, running or unfinished ones.", show_default="all")] = None,
    sort: Annotated[
        str, typer.Option(help="made (newest first), run, seconds, or the best first by balanced_accuracy, accuracy or auc.")
    ] = "made",
    delete: Annotated[list[Path] | None, typer.Option(help="Delete this run folder (repeatable).", show_default=False)] = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
    seed: o.Seed = None,
    device: o.Device = None,
    debug: o.Debug = False,
) -> int:
    """List runs with their figures and what they came from, or delete some."""
    from seefit.cli.runs import runs as command

    return command(folder, data=data, backbone=backbone, state=state, sort=sort, delete=delete or [], json_output=json)


@lookups.command()
def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Empty it.")] = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
    seed: o.Seed = None,
    device: o.Device = None,
    debug: o.Debug = False,
) -> int:
    """Show what the cache folder holds, or empty it."""
    from seefit.cli.cache import cache as command

    return command(clear=clear, json_output=json)
