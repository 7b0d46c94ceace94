"""Options that several commands share; all light to import."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_IMAGES, _COMMON = "Images and labels", "Common"

Data = Annotated[str, typer.Argument(help="A folder, a CSV, a zip or tar archive, a URL of one, or demo:NAME.", show_default=False)]
RunPath = Annotated[Path, typer.Argument(help="A run folder.", show_default=False)]
Labels = Annotated[str | None, typer.Option(help="folder, csv, or a regular expression whose first group is the class.", show_default="folder", rich_help_panel=_IMAGES)]  # fmt: skip
Root = Annotated[Path | None, typer.Option(help="The folder that a CSV's paths are relative to.", show_default="the CSV's folder", rich_help_panel=_IMAGES)]  # fmt: skip
GroupBy = Annotated[str | None, typer.Option(help="Keep images together: a CSV column, a regular expression, or none.", show_default="the group column", rich_help_panel=_IMAGES)]  # fmt: skip
FollowLinks = Annotated[bool | None, typer.Option("--follow-links", help="Also take files that links outside DATA point to.", show_default="off", rich_help_panel=_IMAGES)]  # fmt: skip
Sha256 = Annotated[str | None, typer.Option(help="What an archive must have.", show_default="not checked", rich_help_panel=_IMAGES)]
MaxSkipped = Annotated[float | None, typer.Option(help="Largest share of images that may be left out.", show_default="0.01", rich_help_panel=_IMAGES)]  # fmt: skip
MaxPixels = Annotated[int | None, typer.Option(help="Images with more pixels are left out.", show_default="100000000", rich_help_panel=_IMAGES)]  # fmt: skip
AllowLeak = Annotated[bool | None, typer.Option("--allow-leak", help="Accept the same image on two sides of a given split.", show_default="off", rich_help_panel=_IMAGES)]  # fmt: skip
Backbone = Annotated[str | None, typer.Option("--backbone", "--model", help="lite0, lite1, lite2, or any timm model.", show_default="lite0")]
Features = Annotated[str | None, typer.Option(help="stages (late maps, mean and maximum), pooled (the backbone's own), or auto.", show_default="auto")]  # fmt: skip
ImageSize = Annotated[int | None, typer.Option("--image-size", "--imgsz", help="Side of the network's input in pixels.", show_default="the backbone's own")]  # fmt: skip
Fit = Annotated[str | None, typer.Option(help="crop, pad or squash images that are not square; auto chooses from their shapes.", show_default="auto")]  # fmt: skip
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else there.", rich_help_panel=_COMMON)]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but warnings and results.", rich_help_panel=_COMMON)]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.", rich_help_panel=_COMMON)]
Seed = Annotated[int | None, typer.Option(help="Seed of everything that is drawn by chance.", show_default="0", rich_help_panel=_COMMON)]
Device = Annotated[str | None, typer.Option(help="auto, cpu or cuda.", show_default="auto", rich_help_panel=_COMMON)]
