"""The commands that ship a model: `export`, `serve`. A part of the one command line."""

from __future__ import annotations

import typer

shipping = typer.Typer()
