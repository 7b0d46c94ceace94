"""`seefit compare DATA --backbones`: networks on one data set."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from command import seefit
from tiny import plant_tiny


def test_networks_are_compared_on_the_same_folds(
    warm: Path, tmp_path: Path, no_page: None, monkeypatch: pytest.MonkeyPatch, trained: Path
) -> None:
    monkeypatch.setenv("SEEFIT_CACHE", str(shutil.copytree(trained.parent / "cache", tmp_path / "cache")))
    plant_tiny("tf_efficientnet_lite1")
    page = tmp_path / "page.html"
    asked = ("compare", warm, "--backbones", "lite0,lite1", "--repeats", 1, "--out", tmp_path / "study")
    answer = seefit(*asked, "--html", page, "--json")
    assert answer.code == 0, answer.err
    assert [arm["name"] for arm in answer.json["arms"]] == ["lite0", "lite1"]
    assert answer.json["page"] == str(page)
    assert page.read_text() == (tmp_path / "study" / "study.html").read_text()
    assert answer.json["arms"][1]["against"]["figures"]["accuracy"]["value"] == 0  # the same tiny network under two names
    told = seefit(*asked, "--quiet")
    assert told.code == 0
    assert "gap in loss" in told.out
    assert "images/s" in told.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a", "b", "--backbones", "lite0,lite1"], "Cannot compare: --backbones. Expected DATA, one source of images, got 2 names."),
        (["a", "--backbones", "lite0"], "Nothing to compare: --vary. Expected NAME=a,b with two different values, got 'backbone=lite0'."),
        (
            ["a", "b", "--repeats", "3", "--group-by", "x"],
            "Runs are finished: --repeats, --group-by. Expected only with --backbones, got runs to compare.",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused(arguments: list[str], message: str) -> None:
    answer = seefit("compare", *arguments, "--json")
    assert answer.code == 2
    assert answer.error()["message"] == message
