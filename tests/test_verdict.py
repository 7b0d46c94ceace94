"""How good, what is wrong, what next."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from made_run import interval, made_scores, write_rows
from seefit.report.record import Record
from seefit.report.verdict import find_problems, find_steps, find_verdict, grade_of, weak_classes
from seefit.report.words import Words

EN = Words("en")


def record(accuracy: float = 0.9, balanced: float = 0.88, baseline: float = 0.7, half: float = 0.02, **changes: Any) -> Record:
    scores = made_scores(400, accuracy, balanced, baseline, half)
    per_class = {
        name: {"n": 200, "recall": interval(0.88, 0.05), "precision": interval(0.9), "f1": interval(0.9)} for name in ("cat", "dog")
    }
    metrics = {
        "headline": "test",
        "test": scores,
        "per_class": per_class,
        "counts": {"train": {"cat": 700, "dog": 300}},
        "skipped": 0,
        "notes": [],
        "leaks": [],
    }
    return Record(Path("runs/one"), {"data": "my pets"}, metrics | changes, {"classes": ["cat", "dog"]})


@pytest.mark.parametrize(
    ("accuracy", "balanced", "grade"),
    [
        (0.73, 0.70, "better"),
        (0.72, 0.70, "unsure"),
        (0.71, 0.53, "unsure"),
        (0.60, 0.90, "mixed"),
        (0.71, 0.52, "not"),
        (0.40, 0.40, "not"),
    ],
)
def test_the_lower_end_of_the_gain_decides(accuracy: float, balanced: float, grade: str) -> None:
    """Baseline 0.7, half-width 0.02: 0.72 may be no more than it."""
    assert grade_of(record(accuracy, balanced)) == grade


def test_a_good_model_is_told_in_plain_words() -> None:
    verdict = find_verdict(record(), EN)
    assert verdict.title == "It gets 90 of 100 pictures right, and 88 of 100 when every class counts the same."
    assert verdict.lines == [
        "Measured on 400 test pictures that were kept aside until the end: 90 of 100 right. "
        "The true number lies between 88 and 92 with 95\u00a0% confidence.",
        "Always answering “cat”, the commonest class, would get 70 of 100 right. "
        "On the same pictures the model’s lead over that is +20 (95\u00a0% interval: +18 to +22): more than chance explains.",
    ]
    assert verdict.problems == []


def test_a_useless_model_is_told_in_plain_words() -> None:
    verdict = find_verdict(record(0.69, 0.5), EN)
    assert verdict.title == "It is not shown to be better than always answering “cat”."
    assert "Do not rely on this model yet." in verdict.lines[1]
    assert verdict.problems[0].title == "Not better than the commonest class"
    assert verdict.steps[0].command == "seefit check 'my pets'"


def test_validation_as_headline_is_marked() -> None:
    scores = made_scores(400, 0.9, 0.88, 0.7, 0.02)
    run = record(headline="val", val=scores, test=None)
    assert "There was no test part" in find_verdict(run, EN).lines[0]
    assert [problem.title for problem in find_problems(run, EN)] == ["The headline is validation, not test"]
    assert "seefit train 'my pets' --test 0.15" in [step.command for step in find_steps(run, EN)]


def test_cross_validation_as_headline_is_marked() -> None:
    run = record(headline="cross_validation", cross_validation=made_scores(300, 0.9, 0.88, 0.7, 0.02), test=None)
    verdict = find_verdict(run, EN)
    assert verdict.lines[0].startswith("Measured by cross-validation on the 300 training pictures")
    assert [(problem.grade, problem.title) for problem in verdict.problems] == [("note", "The headline is cross-validation, not test")]


def test_a_model_that_nobody_judged_says_so() -> None:
    verdict = find_verdict(record(headline="cross_validation", cross_validation=None, test=None, per_class={}), EN)
    assert (verdict.grade, verdict.title) == ("unjudged", "It was not judged.")
    assert verdict.problems[0].title == "It was not judged"
    assert verdict.tiles == []
    assert [step.command.split(" ")[1] for step in verdict.steps] == ["train", "predict"]


def test_a_leak_comes_first() -> None:
    leaks = ["3 images stand on several sides of the given split.", "Without them balanced accuracy is 80 %."]
    run = record(0.69, 0.5, notes=["A leaking roof is no leak.", *leaks], leaks=leaks)
    problems = find_problems(run, EN)
    assert (problems[0].grade, problems[0].text) == ("serious", " ".join(leaks))
    assert [problem.title for problem in problems].count("The parts of the data are not independent") == 1
    assert find_steps(run, EN)[0].command == "seefit train 'my pets' --group-by COLUMN"


def test_a_leak_is_told_in_chinese_and_one_of_an_older_version_as_it_stands() -> None:
    known = "Without images that leak or nearly so, balanced accuracy is 83.4% [80.1%, 86.0%] on 1,204 images."
    problem = find_problems(record(leaks=[known, "Something older."]), Words("zh"))[0]
    assert problem.text == "去掉泄漏或近似泄漏的图片后，在 1,204 张图片上平衡准确率为 83.4% [80.1%, 86.0%]。Something older."


def test_a_lead_in_wide_intervals_is_a_lead() -> None:
    """Where groups move accuracy and baseline together, the intervals of both overlap and the lead is still certain."""
    run = record(0.82, 0.8, 0.7, half=0.15)
    assert grade_of(run) == "unsure"
    run.metrics["test"]["gain"] = {"value": 0.12, "low": 0.05, "high": 0.2}
    assert grade_of(run) == "better"


def test_balanced_accuracy_is_compared_with_the_classes_that_were_judged() -> None:
    """Of three classes one has no test image: always answering one of the others gets a half, not a third."""
    entries = {name: {"n": n, "recall": interval(0.5)} for name, n in (("cat", 30), ("dog", 30), ("ox", 0))}
    run = replace(record(0.7, 0.45, per_class=entries), bundle={"classes": ["cat", "dog", "ox"]})
    assert run.chance == 0.5
    assert grade_of(run) == "not"


def test_an_uncertain_lead_says_what_cross_validation_shows() -> None:
    run = record(0.75, 0.7, 0.7, half=0.1)
    first = find_problems(run, EN)[0]
    assert (first.grade, first.title) == ("serious", "Not yet shown to beat the commonest class")
    run.metrics["cross_validation"] = made_scores(1800, 0.8, 0.7, 0.7, 0.03)
    verdict = find_verdict(run, EN)
    assert verdict.title == "It gets 75 of 100 pictures right, 5 more than always answering “cat”. That lead is not certain yet."
    assert verdict.lines[2] == "Cross-validation on the 1,800 training pictures does show a lead: +10 (95\u00a0% interval: +7 to +13)."
    assert ("note", "Not yet shown to beat the commonest class") in [(p.grade, p.title) for p in verdict.problems]
    run.metrics["cross_validation"] = made_scores(1800, 0.72, 0.7, 0.7, 0.03)
    assert len(find_verdict(run, EN).lines) == 2


def test_figures_without_intervals_are_told_apart_from_certain_ones(tmp_path: Path) -> None:
    write_rows(tmp_path / "split.csv", ["path", "label", "split", "group"], [["0.png", "cat", "test", "one"]])
    run = replace(record(0.9, 0.9), run=tmp_path)
    scores = {name: {"value": figure["value"], "low": None, "high": None} for name, figure in run.metrics["test"].items() if name != "n"}
    run.metrics["test"] = {"n": 400, **scores}
    verdict = find_verdict(run, EN)
    assert verdict.title == "It gets 90 of 100 pictures right. How sure that is cannot be told."
    assert verdict.lines[0].endswith("90 of 100 right. How far chance may have moved this number is not known.")
    assert "the model’s lead over that is +20 (interval unknown)" in verdict.lines[1]
    assert [(problem.grade, problem.title) for problem in verdict.problems] == [("serious", "Nothing tells how sure the figures are")]
    assert [(tile.ends, tile.interval) for tile in verdict.tiles[:2]] == [(None, "interval unknown")] * 2
    assert any("new groups" in step.text for step in verdict.steps)


def test_every_kind_of_problem_is_found() -> None:
    entries = {"cat": (200, 0.95), "dog": (30, 0.4), "ox": (4, 0.0)}
    per_class = {name: {"n": n, "recall": interval(recall, 0.05), "precision": interval(0.9)} for name, (n, recall) in entries.items()}
    counts = {"train": {"cat": 1500, "dog": 100, "ox": 12}}
    run = record(half=0.08, per_class=per_class, counts=counts, skipped=3)
    run.metrics["test"]["ece"] = interval(0.12, 0.03)
    problems = find_problems(run, EN)
    assert [(problem.grade, problem.title) for problem in problems] == [
        ("serious", "One class is found less often than the others"),
        ("note", "The figures are still uncertain"),
        ("note", "Some classes have far more images than others"),
        ("note", "Its stated probabilities cannot be taken at their word"),
        ("note", "3 files were left out"),
        ("note", "One class has fewer than 20 training images"),
    ]
    assert problems[0].text == "“dog”. Of 100 pictures that really are “dog”, it finds 40."
    assert problems[1].text == "The headline may be off by 8 points either way, since it rests on 400 pictures."
    assert problems[2].text == "“cat” has 1,500 training images, “ox” has 12: 125 times fewer."


@pytest.mark.parametrize(("recall", "half", "weak"), [(0.67, 0.3, True), (0.69, 0.3, False), (0.80, 0.05, True), (0.84, 0.05, False)])
def test_a_class_is_weak_far_below_the_average_or_clearly_below_it(recall: float, half: float, weak: bool) -> None:
    """The average is 0.88: 0.68 is far below it, and an interval that ends before it is clearly below."""
    run = record(per_class={"cat": {"n": 50, "recall": interval(recall, half)}})
    assert weak_classes(run) == (["cat"] if weak else [])


def test_four_images_do_not_make_a_weak_class() -> None:
    few = {"cat": {"n": 4, "recall": interval(0.0, 0.0)}, "dog": {"n": 5, "recall": interval(0.0, 0.0)}}
    assert weak_classes(record(per_class=few)) == ["dog"]


def test_few_groups_explain_a_wide_interval(tmp_path: Path) -> None:
    rows = [[f"{i}.png", "cat", "test" if i < 40 else "train", f"module {i // 10}"] for i in range(80)]
    write_rows(tmp_path / "split.csv", ["path", "label", "split", "group"], rows)
    run = replace(record(half=0.08), run=tmp_path)
    assert "Its 400 pictures come in only 4 groups" in find_problems(run, EN)[0].text


def test_tiles_show_the_headline_first_with_its_blind_guess() -> None:
    tiles = find_verdict(record(), EN).tiles
    assert [tile.name for tile in tiles] == ["Balanced accuracy", "Accuracy", "Weighted accuracy", "Macro F1", "AUC"]
    assert [tile.reference for tile in tiles] == [50.0, 70.0, None, None, 50.0]
    assert (tiles[0].value, tiles[0].interval) == ("88.0\u00a0%", "86.0 to 90.0\u00a0%")


def test_a_missing_auc_has_no_tile() -> None:
    run = record()
    run.metrics["test"]["auc"] = None
    assert "AUC" not in [tile.name for tile in find_verdict(run, EN).tiles]


def test_the_last_step_is_to_use_it_and_names_no_folder_of_this_machine() -> None:
    assert find_steps(record(), EN)[-1].command == "seefit predict runs/one photo.jpg"
    absolute = Record(Path("/data/secret/runs/one"), {}, record().metrics, {"classes": ["cat", "dog"]})
    assert find_steps(absolute, EN)[-1].command == "seefit predict one photo.jpg"


@pytest.mark.parametrize(
    ("strategy", "done", "command"),
    [
        ("head", "head", ""),
        ("top", "head", "seefit train 'my pets' --preset balanced"),
        ("everything", "head", "seefit train 'my pets' --preset balanced --freeze none"),
        ("everything", "top", "seefit train 'my pets' --preset balanced --freeze none"),
        ("top", "top", None),
        ("head", "top", None),
    ],
)
def test_what_is_advised_to_be_trained_is_a_step_unless_the_run_did_it(strategy: str, done: str, command: str | None) -> None:
    run = record(advice={"strategy": strategy, "images_per_class": 300, "reach": 0.5, "done": done})
    found = [step.command for step in find_steps(run, EN) if step.text.startswith("Train ")]
    assert found == ([] if command is None else [command])
    assert [step.text for step in find_steps(record(), EN)] == [step.text for step in find_steps(record(advice=None), EN)]


@pytest.mark.parametrize(
    ("calibrated", "ece", "text"),
    [
        (False, 0.03, "They are not calibrated: no images were kept back for that. Train with --val 0.15 to have them calibrated."),
        (True, 0.2, "They are 20 points away from what really happens, on average."),
        (True, 0.03, None),
    ],
)
def test_probabilities_that_cannot_be_believed_are_a_problem(calibrated: bool, ece: float, text: str | None) -> None:
    run = record(calibrated=calibrated)
    run.metrics["test"]["ece"] = interval(ece)
    found = {problem.title: problem.text for problem in find_problems(run, EN)}
    assert found.get("Its stated probabilities cannot be taken at their word") == text
