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


@shipping.command()
def serve(
    run: Annotated[Path, typer.Argument(help="A run, a bundle or an export.", show_default=False)],
    host: Annotated[str, typer.Option(help="Address to listen at. The default is open to this computer alone.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen at; 0 for any that is free.")] = 8000,
    name: Annotated[str | None, typer.Option(help="By which clients know the model.", show_default="the folder's")] = None,
    workers: Annotated[int, typer.Option(help="Processes that answer; one uses all processors already.")] = 1,
    api_key_file: Annotated[Path | None, typer.Option(help="A file with the key that clients must send.", show_default="no key")] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="A further name by which clients may call the server; may repeat.", show_default="none")
    ] = None,
    max_bytes: Annotated[int | None, typer.Option(help="Largest request.", show_default="33554432")] = None,
    max_pixels: Annotated[int | None, typer.Option(help="Images with more pixels are refused.", show_default="100000000")] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds that a request may take to arrive.", show_default="30")] = None,
    corrections: Annotated[
        Path | None,
        typer.Option(help="Keep pictures whose answer people correct on the page in this folder, for train --extend.", show_default="off"),
    ] = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
    seed: o.Seed = None,
    device: o.Device = None,
    debug: o.Debug = False,
) -> int:
    """Serve a model: a page, POST /predict, and the Open Inference Protocol."""
    from seefit.cli.serve import serve as command

    return command(
        run,
        host=host,
        port=port,
        name=name,
        workers=workers,
        api_key_file=api_key_file,
        allow_host=allow_host,
        max_bytes=max_bytes,
        max_pixels=max_pixels,
        timeout=timeout,
        corrections=corrections,
        json_output=json,
        console=Console(quiet=quiet),
    )
