"""A study from data to page: arms on the same folds, the winner scored once, and going on after an interrupt."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from command import seefit
from conftest import read_csv
from seefit import pipeline
from seefit.errors import RunError, UsageError
from seefit.evaluation.paired import corrected_t
from seefit.lineage import Parent, read_parents
from seefit.report import study as page
from seefit.report.words import Words
from seefit.runs import is_finished
from seefit.studies import study as studies
from seefit.studies.judging import FIGURES
from seefit.studies.study import Study, run_study
from seefit.studies.working import probe_arm

EN = Words("en")


def begin(warm: Path, out: Path, vary: str = "class-weights=none,balanced", **given: Any) -> Study:
    return run_study({"data": str(warm), **given}, vary, repeats=2, out=out)


@pytest.fixture(scope="module")
def finished(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Study:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEEFIT_CACHE", str(trained.parent / "cache"))
        patch.setattr(pipeline, "build_report", lambda *_, **__: None)
        return begin(trained.parent / "photos", tmp_path_factory.mktemp("studies") / "study")


@pytest.fixture
def studied(finished: Study, warm: Path, tmp_path: Path, no_page: None) -> Study:
    """A copy of a finished study, to change at will."""
    return Study(shutil.copytree(finished.path, tmp_path / "study"), finished.found)


def rows_of(study: Study) -> list[dict[str, str]]:
    return read_csv(study.path / "folds.csv")


def test_all_arms_are_judged_on_the_same_folds_and_the_test_part_is_left_alone(studied: Study) -> None:
    rows = rows_of(studied)
    assert [(row["arm"], row["repeat"], row["fold"]) for row in rows] == [
        (arm, str(r), str(k)) for arm in ("none", "balanced") for r in range(2) for k in range(3)
    ]
    sizes = [[row["held_out"] for row in rows if row["arm"] == arm] for arm in ("none", "balanced")]
    assert sizes[0] == sizes[1]
    split = read_csv(studied.path / "winner" / "split.csv")
    kept = [row for row in split if row["split"] != "test"]
    assert studied.found["images"] == len(kept) == sum(map(int, sizes[0][:3])) == sum(map(int, sizes[0][3:]))


def test_what_is_told_follows_from_the_folds(studied: Study) -> None:
    rows = rows_of(studied)
    for name in FIGURES:
        by_arm = {arm: np.array([float(row[name]) for row in rows if row["arm"] == arm]) for arm in ("none", "balanced")}
        for arm in studied.found["arms"]:
            assert arm["figures"][name]["mean"] == pytest.approx(by_arm[arm["name"]].mean())
        share = np.mean([int(row["held_out"]) / int(row["learnt"]) for row in rows])
        expected = corrected_t(by_arm["balanced"] - by_arm["none"], float(share))
        assert studied.found["arms"][1]["against"]["figures"][name]["value"] == pytest.approx(expected.value)
        assert studied.found["arms"][1]["against"]["figures"][name]["p"] == pytest.approx(expected.p)
    assert json.loads((studied.path / "study.json").read_text()) == json.loads(json.dumps(studied.found))


def test_the_winner_is_a_run_like_any_other(studied: Study) -> None:
    winner = studied.found["winner"]
    assert winner["part"] == "test"
    assert winner["metrics"]["n"] == 9
    assert is_finished(Path(winner["run"]))
    assert read_parents(Path(winner["run"]), {}) == [Parent("study", Path(winner["run"]).parent.absolute())]
    assert winner["shown"] is (studied.found["arms"][1]["against"]["verdict"] == "helps")


def test_what_is_done_is_not_done_again(studied: Study, warm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studies, "probe_arm", None)
    monkeypatch.setattr(studies, "map_of", None)
    again = begin(warm, studied.path)
    for old, new in zip(studied.found["arms"], again.found["arms"], strict=True):
        assert json.loads(json.dumps(old)) == json.loads(json.dumps(new))


def test_a_study_that_broke_off_ends_as_an_unbroken_one(
    studied: Study, warm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, done = probe_arm, list[str]()

    def broken(arm: Any, *others: Any) -> Any:
        if done:
            raise KeyboardInterrupt
        done.append(arm.name)
        return work(arm, *others)

    with monkeypatch.context() as patch:
        patch.setattr(studies, "probe_arm", broken)
        with pytest.raises(KeyboardInterrupt) as error:
            begin(warm, tmp_path / "broken")
    assert error.value.__notes__ == [f"Go on with: seefit study --out {tmp_path / 'broken'}"]
    assert [row["arm"] for row in rows_of(Study(tmp_path / "broken", {}))] == ["none"] * 6
    again = begin(warm, tmp_path / "broken")
    figures = [{name: arm[name] for name in ("name", "figures", "against", "scores")} for arm in again.found["arms"]]
    assert figures == [{name: arm[name] for name in ("name", "figures", "against", "scores")} for arm in studied.found["arms"]]


def test_another_question_or_other_data_does_not_go_on(studied: Study, warm: Path) -> None:
    with pytest.raises(UsageError, match="Another study is there"):
        begin(warm, studied.path, "class-weights=none,prior")
    (studied.path / "arms" / "data.sha256").write_text("0")
    with pytest.raises(RunError, match="The data changed since the study began"):
        begin(warm, studied.path)


def test_the_command_goes_on_by_the_folder_alone_and_prints_one_object(studied: Study, warm: Path) -> None:
    answer = seefit("study", "--out", studied.path, "--json")
    assert answer.code == 0, answer.err
    assert set(answer.json) >= {"study", "page", "arms", "winner", "vary", "images", "folds", "repeats"}
    assert answer.json["study"] == str(studied.path)
    assert "map" not in answer.json["arms"][0]
    told = seefit("study", "--out", studied.path, "--quiet")
    assert told.code == 0
    assert "balanced: " in told.out
    assert "points [" in told.out
    assert "predict  seefit predict" in told.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["study"], "Nothing to vary: --vary. Expected NAME=a,b,c, got none."),
        (["study", "data"], "Nothing to vary: --vary. Expected NAME=a,b,c, got none."),
        (["study", "--vary", "augment=none,light"], "Nothing to study: seefit study. Expected DATA, got none."),
    ],
)
def test_a_study_without_a_question_is_refused(arguments: list[str], message: str) -> None:
    answer = seefit(*arguments, "--json")
    assert answer.code == 2
    assert answer.error()["message"] == message


def test_the_page_says_what_was_found_in_both_languages(studied: Study) -> None:
    found = {**studied.found, "data": "<script>"}
    for lang in ("en", "zh"):
        html = page.build_study(found, Words(lang), name="study")
        assert "<script" not in html
        assert page.tell_arm(found["arms"][1], 6, Words(lang)) in html
        assert html.count("<svg") >= 4
        for key in ("arms", "differences", "costs", "curves", "maps", "how"):
            assert f'id="{key}"' in html


def test_the_words_follow_the_verdict(studied: Study) -> None:
    found = json.loads(json.dumps(studied.found))
    found["winner"] = {**found["winner"], "number": 1, "arm": "balanced", "shown": True}
    assert page.tell_winner(found, EN).startswith("balanced wins: it is shown to help. Trained anew and scored once on 9 test images")
    found["winner"] |= {"part": "val"}
    assert page.tell_winner(found, EN).endswith(
        "There is no test part, so nothing unseen scores it: the figures over folds are all there is."
    )
    paired = found["arms"][1]["against"]
    paired["p_holm"], paired["figures"]["balanced_accuracy"] = (
        0.15,
        {"value": 0.007, "low": -0.003, "high": 0.017, "p": 0.15, "folds": 15, "effect": 0.3, "detectable": 0.012},
    )
    said = "+0.7 points [−0.3, +1.7], p = 0.15, 15 folds: not shown to help; smallest difference that these folds show in 8 of 10 cases: "
    assert page.tell_arm(found["arms"][1], 15, EN) == f"{said}1.2 points"


def test_an_interval_on_one_side_is_not_called_shown(studied: Study) -> None:
    found = json.loads(json.dumps(studied.found))
    against = found["arms"][1]["against"]
    against["figures"]["balanced_accuracy"] |= {"value": 0.02, "low": 0.001, "high": 0.039}
    against |= {"p_holm": 0.08, "verdict": "not shown"}
    html = page.build_study(found, EN, name="study")
    assert "None is shown to be better or worse than none. An interval that lies on one side of the dashed line is drawn grey" in html


def test_arms_that_cost_differently_are_drawn_over_their_cost(studied: Study) -> None:
    found = json.loads(json.dumps(studied.found))
    assert not page.differ_in_cost(found["arms"])
    assert "All arms ship a network of the same size" in page.build_study(found, EN, name="study")
    found["arms"][1] |= {"image_size": 448, "images_per_second": 20.0}  # as many parameters
    html = page.build_study(found, EN, name="study")
    assert "The bars are the spread over the folds" in html
    assert "network of the same size" not in html


def test_the_best_arm_comes_first(studied: Study) -> None:
    found = json.loads(json.dumps(studied.found))
    found["arms"][0]["figures"]["balanced_accuracy"]["mean"], found["arms"][1]["figures"]["balanced_accuracy"]["mean"] = 0.6, 0.7
    assert [arm["name"] for arm in page.ranked(found["arms"])] == ["balanced", "none"]
    html = page.build_study(found, EN, name="study")
    assert "On average balanced has 70.0" in html.replace("\N{NO-BREAK SPACE}", " ")
    assert "the others are held against none" in html


def test_amount_of_data(warm: Path, tmp_path: Path, no_page: None) -> None:
    found = begin(warm, tmp_path / "amount", "amount=1,0.5").found
    whole, half = found["arms"]
    assert half["learnt"] == pytest.approx(whole["learnt"] / 2, abs=1)
    assert {arm["rank"] for arm in found["arms"]} == {1, 2}
    assert page.ranked(found["arms"])[0]["rank"] == 1
    less = "It held its own with less data; the model that ships learns from all there is."
    assert less not in page.tell_winner({**found, "winner": found["winner"] | {"arm": "1"}}, EN)
    assert less in page.tell_winner({**found, "winner": found["winner"] | {"arm": "0.5"}}, EN)


def test_corrected_labels_are_learnt_and_never_judged_by(studied: Study, warm: Path, tmp_path: Path) -> None:
    split = read_csv(studied.path / "winner" / "split.csv")
    pool = [row for row in split if row["split"] != "test"]
    fixes = tmp_path / "fixes.csv"
    wrong = [row for i, row in enumerate(pool) if i % 2]  # confirmed by someone who is often wrong
    lines = ["path,label,action,suggested,reason,score,confirm,sha256"]
    other = {"defective": "functional", "functional": "defective"}
    lines += [f"{row['path']},{row['label']},relabel,{other[row['label']]},x,1,yes,{row['sha256']}" for row in wrong]
    fixes.write_text("\n".join(lines) + "\n")
    found = begin(warm, tmp_path / "clean", f"clean=no,{fixes}").found
    as_is, spoilt = (arm["figures"]["accuracy"]["mean"] for arm in found["arms"])
    assert as_is - spoilt > 0.1  # judged by the labels as they were
    assert found["winner"]["arm"] == "no"
