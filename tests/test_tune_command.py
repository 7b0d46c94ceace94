"""`seefit tune` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from command import seefit


@pytest.fixture
def space(tmp_path: Path) -> Path:
    file = tmp_path / "space.yaml"
    file.write_text("features: [default, pooled]\nclass_weights: [none, balanced, prior]\n")
    return file


def test_a_search_is_shown_and_gone_on_with(warm: Path, tmp_path: Path, space: Path, no_page: None) -> None:
    folder = tmp_path / "search"
    answer = seefit("tune", warm, "--space", space, "--trials", 2, "--out", folder, "--lang", "zh")
    assert answer.code == 0, answer.err
    assert "Search: up to 2 trials of 6 possible; each is judged on 5 folds" in answer.err
    assert "The winner is trial" in answer.err
    assert "2 trials in" in answer.out
    assert "features auto, class-weights none" in answer.out
    assert "so too good: do not report it" in answer.out
    assert "this is the one to report" in answer.out
    assert f"predict  seefit predict {folder / 'winner'} IMAGES" in answer.out
    assert "参数搜索" in (folder / "tune.html").read_text()
    again = seefit("tune", "--out", folder, "--trials", 3, "--json", "--quiet")
    assert again.code == 0, again.err
    record = again.json
    assert record == json.loads((folder / "tune.json").read_text())
    assert len(record["trials"]) == 3
    assert record["tune"] == str(folder)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Nothing to search on"),
        (("DATA", "--space", "no.yaml"), "No such space"),
        (("DATA", "--lang", "fr"), "fr"),
        (("DATA", "--trials", 0), "trials"),
        (("DATA", "--minutes", 0), "minutes"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(arguments: tuple[object, ...], message: str, tmp_path: Path) -> None:
    answer = seefit("tune", *(tmp_path if one == "DATA" else one for one in arguments), "--json")
    body = answer.error()
    assert answer.code == 2
    assert message in body["message"] + str(body["hint"])
