"""The commands that compare and search: `compare`, `study`, `tune`. A part of the one command line."""

from __future__ import annotations

import typer

studying = typer.Typer()
