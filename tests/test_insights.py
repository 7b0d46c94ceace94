from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from conftest import Train
from seefit.console import Console
from seefit.errors import ResourceError
from seefit.insights import insights


def test_every_insight_is_a_file_of_the_run_and_one_that_says_nothing_leaves_none(
    train_here: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(insights, "INSIGHTS", {"some": lambda material: {"classes": list(material.classes)}, "none": lambda _: None})
    run = train_here().path
    assert json.loads((run / "insights" / "some.json").read_text()) == {"classes": ["defective", "functional"]}
    assert [path.name for path in (run / "insights").iterdir()] == ["some.json"]


def test_what_an_insight_tells_is_said_when_all_are_found(
    train_here: Train, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = train_here().path
    material: Any = SimpleNamespace(run=found)
    monkeypatch.setattr(insights, "INSIGHTS", {"some": lambda _: {"told": "A sentence."}, "silent": lambda _: {"n": 1}})
    insights.write_insights(material, console=Console())
    assert capsys.readouterr().err.splitlines() == ["A sentence."]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, train_here: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(insights, "FOLDER", "config.yaml")
    with pytest.raises(ResourceError, match=r"config\.yaml"):
        train_here()
