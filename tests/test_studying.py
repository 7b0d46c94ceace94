"""The commands that compare and search stand on the one command line beside the others."""

from __future__ import annotations

import pytest
import typer

from command import seefit
from seefit.cli.main import app
from seefit.cli.studying import studying

COMMANDS = {"compare", "study", "tune"}


def test_they_are_commands_of_seefit() -> None:
    assert {command.callback.__name__ for command in studying.registered_commands if command.callback} == COMMANDS
    assert typer.main.get_command(app).commands.keys() >= COMMANDS  # type: ignore[attr-defined]


def test_a_comparison_of_networks_takes_the_settings_that_its_arms_share(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, object]] = []

    def answer(data: object, backbones: object, given: dict[str, object], **_: object) -> int:
        asked.append(given)
        return 0

    monkeypatch.setattr("seefit.cli.recipes.compare_recipes", answer)
    options = ["--method", "finetune", "--features", "pooled", "--image-size", "96", "--max-skipped", "0.5", "--allow-leak"]
    assert seefit("compare", "photos", "--backbones", "lite0,lite1", *options).code == 0
    (given,) = asked
    assert given == {"method": "finetune", "features": "pooled", "image_size": 96, "max_skipped": 0.5, "allow_leak": True}
