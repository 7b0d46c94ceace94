"""Options that several commands share; all light to import."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def _image(*names: str, help: str, default: str) -> Any:
    return typer.Option(*names, help=help, show_default=default, rich_help_panel="Images and labels")


def _model(*names: str, help: str, default: str) -> Any:
    return typer.Option(*names, help=help, show_default=default, rich_help_panel="Model")


def _common(*names: str, help: str, default: str | bool = False) -> Any:
    return typer.Option(*names, help=help, show_default=default, rich_help_panel="Common")


Data = Annotated[str, typer.Argument(help="A folder, a CSV, a zip or tar archive, a URL of one, or demo:NAME.", show_default=False)]
RunPath = Annotated[Path, typer.Argument(help="A run folder.", show_default=False)]

Labels = Annotated[str | None, _image(help="folder, csv, or a regular expression whose first group is the class.", default="folder")]
Root = Annotated[Path | None, _image(help="The folder that a CSV's paths are relative to.", default="the CSV's folder")]
GroupBy = Annotated[str | None, _image(help="Keep together by: a CSV column, a regular expression, or none.", default="the group column")]
FollowLinks = Annotated[bool | None, _image("--follow-links", help="Also take files that links outside DATA point to.", default="off")]
Sha256 = Annotated[str | None, _image(help="What an archive must have.", default="not checked")]
Extend = Annotated[Path | None, _image(help="A finished run: DATA is added to its images and classes.", default="none")]
MaxSkipped = Annotated[float | None, _image(help="Largest share of images that may be left out.", default="0.01")]
MaxPixels = Annotated[int | None, _image(help="Images with more pixels are left out.", default="100000000")]
AllowLeak = Annotated[bool | None, _image("--allow-leak", help="Accept the same image on two sides of a given split.", default="off")]
Val = Annotated[float | None, _image(help="Validation part, as a share of all images.", default="0.15")]
Test = Annotated[float | None, _image(help="Test part, as a share of all images.", default="0.15")]
TestFromVal = Annotated[float | None, _image(help="Share of the validation part that becomes the test part.", default="off")]

Backbone = Annotated[str | None, _model("--backbone", "--model", help="lite0, lite1, lite2, or any timm model.", default="lite0")]
Features = Annotated[
    str | None, _model(help="stages (late maps, mean and maximum), pooled (the backbone's own output), or auto.", default="auto")
]
ImageSize = Annotated[
    int | None, _model("--image-size", "--imgsz", help="Side of the network's input in pixels.", default="the backbone's own")
]
Fit = Annotated[str | None, _model(help="crop, pad or squash what is not square; auto goes by the images' shapes.", default="auto")]
ClassWeights = Annotated[
    str | None, _model(help="none, balanced (rare classes count more), or prior (shift to equal shares).", default="none")
]
Preset = Annotated[str | None, _model(help="fast: a linear probe on frozen features.", default="fast")]
Method = Annotated[str | None, _model(help="probe.", default="probe")]

Json = Annotated[bool, _common("--json", help="Print one JSON object on stdout and nothing else there.")]
Quiet = Annotated[bool, _common("--quiet", "-q", help="Say nothing but warnings and results.")]
Debug = Annotated[bool, _common("--debug", help="Show the traceback of an error.")]
Seed = Annotated[int | None, _common(help="Seed of everything that is drawn by chance.", default="0")]
Device = Annotated[str | None, _common(help="auto, cpu or cuda.", default="auto")]
