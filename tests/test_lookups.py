"""The commands that leave no run stand on the one command line beside the others."""

from __future__ import annotations

import inspect

import typer

from seefit.cli.lookups import lookups, lr_find
from seefit.cli.main import app
from seefit.settings import Settings


def test_they_are_commands_of_seefit() -> None:
    own = typer.main.get_command(lookups).commands  # type: ignore[attr-defined]
    assert sorted(own) == ["apply-fixes", "cache", "explain", "lr-find", "models", "runs", "summary"]
    assert own.keys() <= typer.main.get_command(app).commands.keys()  # type: ignore[attr-defined]


def test_a_rate_is_looked_for_with_the_settings_of_training() -> None:
    offered = set(inspect.signature(lr_find).parameters) - {"out", "json", "quiet", "debug"}
    assert offered < set(Settings.model_fields)
    assert {"method", "backbone", "freeze", "augment", "batch", "optimiser", "loss", "mixup", "clip", "norms", "precision"} < offered
    assert offered.isdisjoint({"lr", "scale_lr", "epochs", "schedule", "preset", "patience"})
