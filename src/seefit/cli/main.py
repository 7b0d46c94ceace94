"""The command line: parse, dispatch, and the one place where errors become exit codes."""

from __future__ import annotations

import contextlib
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from seefit.cli import options as o
from seefit.cli.lookups import lookups
from seefit.cli.shipping import shipping
from seefit.cli.studying import studying
from seefit.console import Console
from seefit.errors import UsageError

app = typer.Typer(
    name="seefit",
    help="From a folder of images to a classifier you can trust.\n\nStart with: seefit check DATA, then seefit train DATA.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


@app.callback(invoke_without_command=True)
def _seefit(context: typer.Context, version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        from seefit import __version__

        print(f"seefit {__version__}")
        raise typer.Exit(0)
    if context.invoked_subcommand is None:
        print(context.get_help(), end="")
        raise typer.Exit(UsageError.exit_code)


def _given(**options: Any) -> dict[str, Any]:
    """Return the options that were given by hand."""
    return {name: value for name, value in options.items() if value is not None}


def _check_free(run: Path | None) -> None:
    """Refuse a run that another process works in, at once: what training needs takes a while to load."""
    from seefit.runs import check_free

    if run is not None:
        check_free(run)


@app.command()
def demo(
    out: Annotated[Path | None, typer.Option(help="The run folder.", show_default="runs/elpv-lite0-<n>")] = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
    seed: o.Seed = None,
    device: o.Device = None,
    debug: o.Debug = False,
) -> int:
    """Train on 2,624 photographs of solar cells and say what to do next."""
    from seefit.cli.demo import demo as command

    return command(out=out, overrides=_given(seed=seed, device=device), json_output=json, console=Console(quiet=quiet))


@app.command()
def check(
    data: o.Data,
    labels: o.Labels = None,
    root: o.Root = None,
    group_by: o.GroupBy = None,
    follow_links: o.FollowLinks = None,
    sha256: o.Sha256 = None,
    max_skipped: o.MaxSkipped = None,
    max_pixels: o.MaxPixels = None,
    allow_leak: o.AllowLeak = None,
    out: Annotated[Path | None, typer.Option(help="Write the findings to this folder.", show_default="write nothing")] = None,
    html: Annotated[
        Path | None, typer.Option(help="Write a page about the data: an .html that is not there yet.", show_default="no page")
    ] = None,
    lang: Annotated[str, typer.Option(help="Of the page: en or zh.")] = "en",
    json: o.Json = False,
    quiet: o.Quiet = False,
    seed: o.Seed = None,
    device: o.Device = None,
    debug: o.Debug = False,
) -> int:
    """Look through all images before training: what is broken, doubled, mislabelled or leaking."""
    from seefit.cli.check import check as command

    options = _given(labels=labels, root=root, group_by=group_by, follow_links=follow_links, sha256=sha256)
    options |= _given(max_skipped=max_skipped, max_pixels=max_pixels, allow_leak=allow_leak, seed=seed)
    return command(data, **options, out=out, html=html, lang=lang, json_output=json, console=Console(quiet=quiet))


@app.command()
def train(
    data: o.OptionalData = None,
    config: o.Config = None,
    out: Annotated[Path | None, typer.Option(help="The run folder.", show_default="runs/<data>-<backbone>-<n>")] = None,
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
    extend: o.Extend = None,
    max_skipped: o.MaxSkipped = None,
    max_pixels: o.MaxPixels = None,
    allow_leak: o.AllowLeak = None,
    gallery: o.Gallery = None,
    head: o.Head = None,
    hidden: o.Hidden = None,
    minutes: o.Minutes = None,
    freeze: o.Freeze = None,
    augment: o.Augment = None,
    views: o.Views = None,
    epochs: o.Epochs = None,
    batch: o.Batch = None,
    accumulate: o.Accumulate = None,
    optimiser: o.Optimiser = None,
    momentum: o.Momentum = None,
    weight_decay: o.WeightDecay = None,
    lr: o.Lr = None,
    lr_spacing: o.LrSpacing = None,
    scale_lr: o.ScaleLr = None,
    schedule: o.Schedule = None,
    schedule_options: o.ScheduleOptions = None,
    warmup: o.Warmup = None,
    loss: o.Loss = None,
    label_smoothing: o.LabelSmoothing = None,
    focal_gamma: o.FocalGamma = None,
    mixup: o.Mixup = None,
    cutmix: o.Cutmix = None,
    noise: o.Noise = None,
    dropout: o.Dropout = None,
    clip: o.Clip = None,
    average: o.Average = None,
    norms: o.Norms = None,
    gradual: o.Gradual = None,
    zero_gamma: o.ZeroGamma = None,
    precision: o.Precision = None,
    patience: o.Patience = None,
    monitor: o.Monitor = None,
    keep: o.Keep = None,
    every: o.Every = None,
    teacher: o.Teacher = None,
    teacher_weight: o.TeacherWeight = None,
    teacher_temperature: o.TeacherTemperature = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
    seed: o.Seed = None,
    device: o.Device = None,
    debug: o.Debug = False,
) -> int:
    """Train a classifier, judge it on a test part, and save it with a report."""
    settings = {name: value for name, value in locals().items() if name not in {"config", "out", "json", "quiet", "debug"}}
    _check_free(out)
    from seefit.cli.train import train as command

    return command(_given(**settings), config=config, out=out, json_output=json, console=Console(quiet=quiet))


@app.command()
def resume(
    run: o.RunPath,
    epochs: Annotated[int | None, typer.Option(help="Train for so many epochs in all.", show_default="as the run began")] = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
    seed: o.Seed = None,
    device: o.Device = None,
    debug: o.Debug = False,
) -> int:
    """Go on with a run that was interrupted."""
    _check_free(run)
    from seefit.cli.resume import resume as command

    return command(run, _given(epochs=epochs, seed=seed, device=device), json_output=json, console=Console(quiet=quiet))


@app.command()
def features(
    data: o.Data,
    out: Annotated[Path, typer.Option(help="The file to write: .npz or .parquet.", show_default=False)],
    backbone: o.Backbone = None,
    features: o.Features = None,
    image_size: o.ImageSize = None,
    fit: o.Fit = None,
    labels: o.Labels = None,
    root: o.Root = None,
    follow_links: o.FollowLinks = None,
    sha256: o.Sha256 = None,
    max_skipped: o.MaxSkipped = None,
    max_pixels: o.MaxPixels = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
    seed: o.Seed = None,
    device: o.Device = None,
    debug: o.Debug = False,
) -> int:
    """Save the features of all images to a file."""
    from seefit.cli.features import features as command

    given = _given(data=data, backbone=backbone, features=features, image_size=image_size, fit=fit, labels=labels, root=root)
    given |= _given(follow_links=follow_links, sha256=sha256, max_skipped=max_skipped, max_pixels=max_pixels, seed=seed, device=device)
    return command(given, out=out, json_output=json, console=Console(quiet=quiet))


@app.command()
def augment(
    data: o.Data,
    augment: o.Augment = None,
    image: Annotated[
        str | None, typer.Option(help="Which image: a number from 1, or its name.", show_default="the first training image")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The picture to write: a .png that is not there yet.", show_default="augment.png")
    ] = None,
    backbone: o.Backbone = None,
    image_size: o.ImageSize = None,
    fit: o.Fit = None,
    labels: o.Labels = None,
    root: o.Root = None,
    follow_links: o.FollowLinks = None,
    sha256: o.Sha256 = None,
    max_pixels: o.MaxPixels = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
    seed: o.Seed = None,
    device: o.Device = None,
    debug: o.Debug = False,
) -> int:
    """Draw nine versions of one image, as training would see them."""
    from seefit.cli.augment import augment as command

    given = _given(data=data, augment=augment, backbone=backbone, image_size=image_size, fit=fit, labels=labels, root=root)
    given |= _given(follow_links=follow_links, sha256=sha256, max_pixels=max_pixels, seed=seed, device=device)
    return command(given, image=image, out=out, json_output=json, console=Console(quiet=quiet))


@app.command()
def predict(
    run: Annotated[Path, typer.Argument(help="A run, a bundle or an export.", show_default=False)],
    images: Annotated[list[str], typer.Argument(help="Files and folders.", show_default=False)],
    csv: Annotated[Path | None, typer.Option(help="Write the predictions to this CSV.", show_default="print them")] = None,
    max_pixels: o.MaxPixels = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
    seed: o.Seed = None,
    device: o.Device = None,
    debug: o.Debug = False,
) -> int:
    """Predict the class of images."""
    from seefit.cli.predict import predict as command

    return command(run, images, csv=csv, **_given(max_pixels=max_pixels), json_output=json, console=Console(quiet=quiet))


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(help="A run, or a bundle when DATA is given.", show_default=False)],
    data: Annotated[
        str | None,
        typer.Argument(help="Other labelled images; without it the figures of the run's own test part are shown.", show_default=False),
    ] = None,
    labels: o.Labels = None,
    root: o.Root = None,
    group_by: o.GroupBy = None,
    max_pixels: o.MaxPixels = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
    seed: o.Seed = None,
    device: o.Device = None,
    debug: o.Debug = False,
) -> int:
    """Show the figures of a run, or judge it on other labelled images."""
    from seefit.cli.evaluate import evaluate as command

    given = _given(labels=labels, root=root, group_by=group_by)
    return command(run, data, given, **_given(max_pixels=max_pixels, seed=seed), json_output=json, console=Console(quiet=quiet))


@app.command()
def report(
    run: o.RunPath,
    lang: Annotated[str, typer.Option(help="en or zh.")] = "en",
    cost_fp: Annotated[float | None, typer.Option(help="What a false alarm costs you, of two classes.", show_default="1")] = None,
    cost_fn: Annotated[float | None, typer.Option(help="What a miss costs you.", show_default="1")] = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
    seed: o.Seed = None,
    device: o.Device = None,
    debug: o.Debug = False,
) -> int:
    """Build the report of a run again, also for what mistakes cost you."""
    from seefit.cli.report import report as command

    return command(run, lang=lang, cost_fp=cost_fp, cost_fn=cost_fn, json_output=json, console=Console(quiet=quiet))


app.add_typer(lookups)
app.add_typer(studying)
app.add_typer(shipping)


def run() -> None:
    """Entry point: run the command line and leave with its exit code."""
    sys.exit(main(sys.argv[1:]))


def main(arguments: list[str]) -> int:
    """Run one command.

    Args:
        arguments: As on the command line, without the program's name.

    Returns:
        The exit code: 0 done, 1 a bug, 2 usage, 3 data, 4 run state, 5 artefact, 6 resources, 130 / 143 interrupted.
    """
    from seefit.cli.failure import explain

    with contextlib.suppress(ValueError):  # not the main thread: whoever started us handles signals
        signal.signal(signal.SIGTERM, _terminate)
    try:
        command = typer.main.get_command(app)
        with command.make_context("seefit", list(arguments)) as context:
            result = command.invoke(context)
        sys.stdout.flush()  # a reader who went away is noticed here, not at the interpreter's end
        return result if isinstance(result, int) else 0
    except BaseException as error:  # every failure ends here, once
        return explain(error, arguments)


def _terminate(number: int, frame: object) -> None:
    raise SystemExit(143)
