"""``seefit compare``: runs side by side, and which differences between them are more than chance."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from command import seefit
from made_rivals import give_groups, make_rival
from seefit.evaluation.metrics import judge
from seefit.evaluation.paired import holm, mcnemar, paired_interval
from seefit.studies.compare import compare_pairs, compare_runs, differing
from seefit.studies.entrants import read_entrants

Cells = dict[str, list[Path]]


@pytest.fixture
def three(tmp_path: Path, elpv_cells: Cells, tiny_bundle: Path) -> list[Path]:
    """Return a bad run, a good one, and one that is hardly worse than that."""
    shares = {"bad": 0.7, "good": 0.1, "near": 0.18}
    return [make_rival(tmp_path / name, elpv_cells, tiny_bundle, wrong=wrong, seed=1) for name, wrong in shares.items()]


def test_the_board_stands_in_the_order_of_balanced_accuracy(three: list[Path]) -> None:
    found = compare_runs(three)
    assert [Path(row["run"]).name for row in found["runs"]] == ["good", "near", "bad"]
    assert (found["images"], found["groups"], found["classes"]) == (90, 0, ["defective", "functional"])
    entrants = {one.run.name: one for one in read_entrants(three)}
    for row in found["runs"]:
        one = entrants[Path(row["run"]).name]
        labels = [one.record.classes.index(sample.label) for sample in one.rows]
        figures = judge(one.probabilities, labels, one.record.classes).figures
        assert row["figures"] == {name: figures[name].to_json() for name in ("accuracy", "balanced_accuracy", "auc")}
        assert row["bytes"] > 0
        assert row["images_per_second"] > 0
        assert row["front"]["seconds"] == (row["run"] == str(three[1])), "all took equally long, so only the best is worth it"


def test_every_pair_is_tested_with_holm(three: list[Path]) -> None:
    found = compare_runs(three)
    entrants = {str(one.run): one for one in read_entrants(three)}
    right = {run: one.probabilities.argmax(1) == [one.record.classes.index(row.label) for row in one.rows] for run, one in entrants.items()}
    order = [row["run"] for row in found["runs"]]
    assert [(pair["first"], pair["second"]) for pair in found["pairs"]] == list(itertools.combinations(order, 2))
    raw = [mcnemar(right[pair["first"]], right[pair["second"]]) for pair in found["pairs"]]
    assert [pair["p"] for pair in found["pairs"]] == raw
    assert [pair["p_holm"] for pair in found["pairs"]] == holm(raw)
    assert [pair["verdict"] for pair in found["pairs"]] == ["not shown", "helps", "helps"]
    last = found["pairs"][-1]
    assert last["difference"]["accuracy"] == paired_interval(right[last["second"]], right[last["first"]]).to_json()
    assert last["difference"]["accuracy"]["value"] > 0.2


def test_groups_are_respected_also_where_only_one_run_knows_them(three: list[Path]) -> None:
    alone = compare_runs(three[:2])["pairs"][0]
    give_groups(three[1], 9)
    found = compare_runs(three[:2])
    (grouped,) = found["pairs"]
    assert found["groups"] == 9
    assert grouped["p"] > alone["p"]
    assert grouped["difference"]["accuracy"]["value"] == alone["difference"]["accuracy"]["value"]


def test_the_decision_curve_is_of_the_class_that_is_looked_for(three: list[Path]) -> None:
    curves = compare_runs(three)["curves"]
    assert curves["class"] == "defective"
    areas = {Path(one["run"]).name: one["area"] for one in curves["runs"]}
    assert areas["good"] > areas["bad"]
    assert len(curves["everything"]) == len(curves["thresholds"]) == len(curves["runs"][0]["model"])


def test_a_model_of_the_same_answers_is_not_shown_to_differ() -> None:
    labels = np.arange(40) % 2
    table = np.where(labels[:, None] == [0, 1], 0.8, 0.2)
    (pair,) = compare_pairs(["a", "b"], [table, table], labels)
    assert (pair["p"], pair["verdict"], pair["difference"]["accuracy"]["value"]) == (1.0, "not shown", 0.0)


def test_settings_that_differ() -> None:
    assert differing([{"a": 1, "b": [1], "c": 2}, {"a": 1, "b": [2], "c": 2, "d": None}, {"a": 1, "b": [1]}]) == ["b", "c"]
    assert differing([{"a": 1}, {"a": 1}]) == []


def test_the_command_prints_a_board_and_a_sentence_per_pair(three: list[Path]) -> None:
    answer = seefit("compare", *three, "--quiet")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith("Test part of all runs: 90 images")
    assert "good against near: " in answer.out
    assert answer.out.count("shown to be better") == 2
    assert answer.out.count("90 images: not shown to differ") == 1
    assert "p: McNemar's exact test, by Holm since" in answer.out
    assert "of a probe over the folds" in answer.out
    assert seefit("compare", *three, "--json").json["pairs"][0]["verdict"] == "not shown"


def test_of_many_pairs_only_those_of_the_leader_are_printed(
    three: list[Path], tmp_path: Path, elpv_cells: Cells, tiny_bundle: Path
) -> None:
    more = [make_rival(tmp_path / f"more{i}", elpv_cells, tiny_bundle, wrong=0.3, seed=i) for i in range(2)]
    out = seefit("compare", *three, *more).out
    assert out.count(" against ") == out.count("good against ") == 4
    assert "… and 6 more pairs: see --json or --html" in out


def test_the_page_is_written_in_either_language_and_never_over_something(three: list[Path], tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert seefit("compare", *three, "--html", page, "--lang", "zh").code == 0
    assert "“good”领先" in page.read_text(encoding="utf-8")
    before = page.read_bytes()
    answer = seefit("compare", *three, "--html", page, "--json")
    assert (answer.code, page.read_bytes()) == (2, before)
    assert answer.error()["message"].startswith("The page would take the place of something")
    assert seefit("compare", *three, "--lang", "fr").code == 2
    assert seefit("compare", *three, "--html", tmp_path / "page.txt").code == 2


@pytest.mark.parametrize(("arguments", "code"), [([], 2), (["nothing"], 2), (["nothing", "nowhere"], 4)])
def test_what_is_no_pair_of_runs_is_refused(arguments: list[str], code: int) -> None:
    assert seefit("compare", *arguments).code == code


def test_a_damaged_bundle_is_refused(three: list[Path]) -> None:
    model = three[0] / "bundle" / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1])
    answer = seefit("compare", *three, "--json")
    assert answer.code == 5
    assert answer.error()["message"].startswith(f"The bundle is damaged: {model}")


def test_nothing_is_written_into_the_runs(three: list[Path]) -> None:
    before = {path: path.stat().st_mtime_ns for run in three for path in run.rglob("*")}
    seefit("compare", *three)
    assert {path: path.stat().st_mtime_ns for run in three for path in run.rglob("*")} == before
