from __future__ import annotations

import json
from pathlib import Path

import pytest

from conftest import Train
from seefit.errors import ResourceError
from seefit.insights import insights


def test_every_insight_is_a_file_of_the_run_and_one_that_says_nothing_leaves_none(
    train_here: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(insights, "INSIGHTS", {"some": lambda material: {"classes": list(material.classes)}, "none": lambda _: None})
    run = train_here().path
    assert json.loads((run / "insights" / "some.json").read_text()) == {"classes": ["defective", "functional"]}
    assert [path.name for path in (run / "insights").iterdir()] == ["some.json"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, train_here: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(insights, "FOLDER", "config.yaml")
    with pytest.raises(ResourceError, match=r"config\.yaml"):
        train_here()
