"""The page of models side by side."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest

from made_rivals import make_rival
from seefit.report.comparison import build_comparison
from seefit.report.words import Words
from seefit.studies.compare import compare_runs

EN, ZH = Words("en"), Words("zh")
SCRIPT = "<script>alert(1)"


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, elpv_cells: dict[str, list[Path]], tiny_bundle: Path) -> dict[str, Any]:
    home = tmp_path_factory.mktemp("rivals")
    shares = {"bad": 0.7, "good": 0.1, SCRIPT: 0.12}
    return compare_runs([make_rival(home / name, elpv_cells, tiny_bundle, wrong=wrong, seed=1) for name, wrong in shares.items()])


def headings(html: str) -> list[str]:
    return re.findall(r"<h2 id=[^>]*>([^<]+)</h2>", html)


def test_everything_is_on_the_page_and_nothing_runs(found: dict[str, Any]) -> None:
    html = build_comparison(found, EN)
    assert "“good” leads. It is shown to be better than 1 of the 2 others." in html
    assert headings(html) == [
        "Who leads", "Is the difference real?", "What it costs", "How stable the training was", "Which one pays to act on?",
    ]  # fmt: skip
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)" in html
    assert str(Path(found["runs"][0]["run"]).parent) not in html, "the page may be passed on"
    assert html.count("not shown to differ") == 2, "in the first screen and in the table"
    assert html.count("<svg role=") == 4
    assert html.count("aria-label") > 4
    assert "0.125" in html and "5 folds" in html


def test_chinese_has_the_same_chapters(found: dict[str, Any]) -> None:
    html = build_comparison(found, ZH)
    assert len(headings(html)) == 5
    assert "其余 2 个模型中，已显示优于 1 个" in html


@pytest.mark.parametrize(
    ("verdicts", "title"), [(["helps"] * 3, "than every other model"), (["not shown"] * 3, "not shown to be better than any other")]
)
def test_the_title_claims_what_was_shown(found: dict[str, Any], verdicts: list[str], title: str) -> None:
    other = {**found, "pairs": [{**pair, "verdict": one} for pair, one in zip(found["pairs"], verdicts, strict=True)]}
    assert title in build_comparison(other, EN)


def test_an_order_that_accuracy_turns_round_is_told_first(found: dict[str, Any]) -> None:
    other = {**found, "pairs": [{**pair, "verdict": "hurts"} for pair in found["pairs"]]}
    assert "The order depends on what counts" in build_comparison(other, EN)


def test_groups_are_told(found: dict[str, Any]) -> None:
    html = build_comparison({**found, "groups": 4}, EN)
    assert "which belong to 4 groups" in html
    assert "t test over the groups" in html
    assert "groups" not in build_comparison(found, EN)


def test_curves_of_several_classes_are_said_to_be_their_mean(found: dict[str, Any]) -> None:
    other = copy.deepcopy(found)
    other["curves"]["class"] = None
    for lang in ("en", "zh"):
        words = Words(lang)
        assert words("benefit.lead_mean") in build_comparison(other, words)
        assert words("benefit.lead_mean") not in build_comparison(found, words)


def test_what_is_not_known_is_a_dash(found: dict[str, Any]) -> None:
    other = copy.deepcopy(found)
    other["curves"] = None
    for row in other["runs"]:
        row["stability"] = row["seconds"] = None
        row["figures"]["auc"] = {"value": None, "low": None, "high": None}
        row["settings"] = {"features": "auto"}
        row["front"]["seconds"] = False
    html = build_comparison(other, EN)
    assert headings(html) == ["Who leads", "Is the difference real?", "What it costs", "How they were made"]
    assert html.count("<td>–</td>") >= 6


def test_settings_show_no_folder_of_this_machine(found: dict[str, Any]) -> None:
    other = copy.deepcopy(found)
    for row in other["runs"]:
        row["settings"] = {"data": "/somebody/secret/photos", "rate": 0.1}
    html = build_comparison(other, EN)
    assert "…/photos" in html
    assert "secret" not in html
