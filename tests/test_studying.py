"""The commands that compare and search stand on the one command line beside the others."""

from __future__ import annotations

import typer

from seefit.cli.main import app
from seefit.cli.studying import studying

COMMANDS = {"compare", "study", "tune"}


def test_they_are_commands_of_seefit() -> None:
    assert {command.callback.__name__ for command in studying.registered_commands if command.callback} == COMMANDS
    assert typer.main.get_command(app).commands.keys() >= COMMANDS  # type: ignore[attr-defined]
