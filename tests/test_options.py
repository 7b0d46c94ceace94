from __future__ import annotations

import inspect
from typing import Any, get_type_hints

import pytest

from seefit.cli import lookups, main, options
from seefit.settings import Settings

WORDS = {"False": "off"}  # how a default reads in the help


def shown_defaults(command: Any) -> dict[str, Any]:
    """Return what the help of a command shows as the default of each option."""
    hints = get_type_hints(command, include_extras=True)
    return {
        name: hints[name].__metadata__[0].show_default
        for name in inspect.signature(command).parameters
        if hasattr(hints[name], "__metadata__")
    }


@pytest.mark.parametrize("command", [main.train, lookups.lr_find, main.features, main.check, main.demo])
def test_the_defaults_that_the_help_shows_are_those_that_apply(command: Any) -> None:
    fields, shown = Settings.model_fields, shown_defaults(command)
    checked = [
        name
        for name in fields
        if name in shown and fields[name].default is not None and fields[name].default_factory is None and name != "data"
    ]
    assert {"seed", "device"} <= set(checked)
    assert {name: shown[name] for name in checked} == {
        name: WORDS.get(str(fields[name].default), str(fields[name].default)) for name in checked
    }


def test_train_offers_every_setting_and_nothing_else() -> None:
    offered = set(inspect.signature(main.train).parameters) - {"config", "out", "json", "quiet", "debug"}
    assert offered == set(Settings.model_fields)


@pytest.mark.parametrize("name", [name for name in vars(options) if name[0].isupper() and name not in {"Annotated", "Any", "Path"}])
def test_every_shared_option_says_what_it_does(name: str) -> None:
    info = getattr(options, name).__metadata__[0]
    assert info.help.endswith(".")
    assert info.show_default is not True  # None stands for "not given": the help says what applies then
