from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from command import Answer, seefit
from seefit.report import sections
from seefit.report.decide import decide_section


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """Return a copy of a finished run without its report."""
    shutil.copytree(trained, tmp_path / "run")
    (tmp_path / "run" / "report.html").unlink()
    shutil.rmtree(tmp_path / "run" / "figures")
    return tmp_path / "run"


def test_the_page_is_built_again(run: Path, trained: Path) -> None:
    before = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
    assert seefit("report", run, "--quiet") == Answer(0, f"{run / 'report.html'}\n", "")
    assert (run / "report.html").read_text().startswith("<!doctype html>")
    assert sorted(path.name for path in (run / "figures").iterdir()) == sorted(path.name for path in (trained / "figures").iterdir())
    assert {path.name: path.read_bytes() for path in run.iterdir() if path.name in before} == before


def test_the_language_can_be_chosen(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sections, "SECTIONS", {"scores": sections.scores_section})  # the others draw for a second
    answer = seefit("report", run, "--lang", "zh", "--json")
    assert (answer.code, answer.json["report"]) == (0, str(run / "report.html"))
    assert '<html lang="zh' in (run / "report.html").read_text()


def test_costs_move_the_line_and_json_says_where_it_is(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sections, "SECTIONS", {"decide": decide_section})
    equal, dear = (seefit("report", run, *costs, "--json").json["line"] for costs in ([], ["--cost-fn", "9"]))
    assert (equal["class"], equal["chosen_on"], equal["cost_fp"], equal["cost_fn"]) == ("defective", "val", 1, 1)
    assert 0.4 < equal["from"] < 0.6
    assert dear["cost_fn"] == 9
    assert dear["from"] < equal["from"]
    assert "a missed “defective” costs 9" in (run / "report.html").read_text()


def test_json_says_what_the_page_says(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sections, "SECTIONS", {"scores": sections.scores_section})
    said = seefit("report", run, "--json").json
    assert set(said) == {"report", "line", "verdict", "metrics", "insights"}
    html = (run / "report.html").read_text()
    assert said["verdict"]["title"] in html.replace("&quot;", '"')
    assert all(set(problem) == {"grade", "title", "text"} for problem in said["verdict"]["problems"])
    assert said["verdict"]["steps"][-1]["command"].startswith("seefit predict ")
    assert said["metrics"]["test"]["accuracy"]["value"] >= 0
    assert {"doctor", "trust", "decide", "diagnosis"} <= set(said["insights"])
    assert "places" not in str(said["insights"])


def test_costs_that_make_no_sense_are_exit_2_and_leave_the_page_alone(run: Path) -> None:
    error = seefit("report", run, "--cost-fp", "-1", "--json").error()
    assert error["message"] == "Bad cost: --cost-fp. Expected a finite number above 0, got -1."
    assert not (run / "report.html").exists()


def test_an_unknown_language_is_exit_2(run: Path) -> None:
    error = seefit("report", run, "--lang", "fr", "--json").error()
    assert error == {"code": 2, "message": "Unknown language: fr. Expected a known language, got 'fr'.", "hint": "Choose one of: en, zh."}
    assert not (run / "report.html").exists()


def test_an_unfinished_run_has_no_report(run: Path, tmp_path: Path) -> None:
    (run / "metrics.json").unlink()
    for folder in (run, tmp_path / "none"):
        answer = seefit("report", folder, "--json")
        assert answer.code == 4
        assert str(folder) in answer.error()["message"]
    assert not (run / "report.html").exists()
    assert not (tmp_path / "none").exists()
