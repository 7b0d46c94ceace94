"""Label errors, against cleanlab as oracle; what a run makes of them, and how the report tells it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import copy_photos, read_csv
from made_run import make_run
from seefit.evaluation.doctor import confident_classes, find_label_errors
from seefit.evaluation.intervals import Floats, Ints
from seefit.insights.doctor import find_doctor
from seefit.report.doctor import doctor_section, slices_section
from seefit.report.record import Record, read_run
from seefit.report.verdict import find_problems, find_steps
from seefit.report.words import Words

EN = Words("en")
HOSTILE = "<script>alert(1)<\\script>\n\U0001f408.png"


def made(classes: int, n: int = 600, *, flipped: float = 0.1, seed: int = 0) -> tuple[Floats, Ints, Ints]:
    """Return probabilities, given labels and true labels of images of which a share is mislabelled."""
    rng = np.random.default_rng(seed)
    true = (
        rng.integers(classes, size=n) if seed % 2 else rng.choice(classes, n, p=np.arange(1, classes + 1) / (classes * (classes + 1) / 2))
    )
    logits = rng.normal(0, 1, (n, classes))
    logits[np.arange(n), true] += rng.normal(3, 1.5, n)
    powers = np.exp(logits)
    given = np.where(rng.random(n) < flipped, (true + rng.integers(1, classes, n)) % classes, true)
    return powers / powers.sum(1, keepdims=True), given, true


@pytest.mark.parametrize(("classes", "seed"), [(2, 0), (2, 1), (7, 2), (30, 3)])
def test_the_confident_joint_is_cleanlabs(classes: int, seed: int) -> None:
    from cleanlab.count import compute_confident_joint

    probabilities, given, _ = made(classes, seed=seed)
    joint = np.zeros((classes, classes), int)
    np.add.at(joint, (given, confident_classes(probabilities, given)), 1)
    # cleanlab leaves out what is sure of no class; here it counts for its own label
    expected = compute_confident_joint(given, probabilities, calibrate=False)
    off = ~np.eye(classes, dtype=bool)
    assert joint[off].tolist() == expected[off].tolist()


@pytest.mark.parametrize(("classes", "seed"), [(2, 0), (7, 1)])
def test_the_order_is_cleanlabs_order_by_self_confidence(classes: int, seed: int) -> None:
    from cleanlab.rank import get_label_quality_scores

    probabilities, given, _ = made(classes, seed=seed)
    found, suggested = find_label_errors(probabilities, given)
    quality = get_label_quality_scores(given, probabilities, method="self_confidence")
    assert found.tolist() == np.argsort(quality, kind="stable")[: len(found)].tolist()
    assert suggested.tolist() == probabilities[found].argmax(1).tolist()
    assert (suggested != given[found]).all()


def test_flipped_labels_are_found_and_their_true_class_is_suggested() -> None:
    probabilities, given, true = made(5, 2000, seed=1)
    found, suggested = find_label_errors(probabilities, given)
    wrong = given != true
    assert wrong[found].mean() > 0.8
    assert np.isin(np.flatnonzero(wrong), found).mean() > 0.6
    assert (suggested == true[found])[wrong[found]].mean() > 0.9


def test_right_labels_and_sure_scores_give_nothing() -> None:
    labels = np.array([0, 1, 2, 0, 1, 2])
    found, suggested = find_label_errors(np.eye(3)[labels] * 0.97 + 0.01, labels)
    assert (len(found), len(suggested)) == (0, 0)


def test_a_class_without_images_is_never_suggested_by_its_threshold() -> None:
    probabilities = np.array([[0.6, 0.1, 0.3], [0.1, 0.6, 0.3], [0.7, 0.0, 0.3], [0.0, 0.7, 0.3]])
    assert confident_classes(probabilities, np.array([0, 1, 0, 1])).tolist() == [0, 1, 0, 1]


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    probabilities, given, _ = made(7, seed=2)
    whole = confident_classes(probabilities, given)
    monkeypatch.setattr("seefit.evaluation.doctor._BLOCK", 50)
    assert confident_classes(probabilities, given).tolist() == whole.tolist()


# ---- the insight --------------------------------------------------------------------------------


def test_a_run_proposes_what_its_folds_and_validation_part_find(seen: Any, warm: Path, tmp_path: Path, elpv_cells: Any) -> None:
    """Bright and dark cells are told apart easily; four of each are in the wrong folder."""
    from PIL import Image

    root = copy_photos({"pos": elpv_cells["functional"], "neg": elpv_cells["functional"]}, tmp_path / "photos", 30)
    for path in (root / "neg").iterdir():
        Image.open(path).convert("L").point(lambda level: level // 5).save(path)
    swapped = set()
    for label, other in (("pos", "neg"), ("neg", "pos")):
        for path in sorted((root / label).glob("cell*"))[:4]:
            swapped.add(f"{other}/swapped-{label}-{path.name}")
            path.rename(root / other / f"swapped-{label}-{path.name}")
    material = seen(data=root)
    found = find_doctor(material)
    assert found is not None
    errors, rows = found["label_errors"], read_csv(material.run / "fixes.csv")
    assert errors["sources"] == ["folds", "val"]
    assert errors["looked"] == len(material.train.samples) + len(material.val.samples)
    parts = {row["path"]: row["part"] for row in errors["rows"]}
    known = {sample.name: part for sample, part in zip(material.scan.samples, material.split.parts, strict=True)}
    hidden = {name for name in swapped if known[name] != "test"}
    assert len(hidden & parts.keys()) >= len(hidden) / 2 > 1
    assert all(known[name] == part != "test" for name, part in parts.items())
    relabel = {row["path"]: row for row in rows if row["action"] == "relabel"}
    assert relabel.keys() == parts.keys()
    for name, row in relabel.items():
        assert (row["label"], row["suggested"], row["confirm"]) == (name[:3], {"pos": "neg", "neg": "pos"}[name[:3]], "")
        assert "a model that had not seen it gives its label" in row["reason"]
    assert found["fixes"] == len(rows)
    assert json.loads(json.dumps(found)) == found


def test_labels_of_the_judged_part_get_no_proposal(seen: Any) -> None:
    material = seen(test=0, val=0.3)
    assert material.part == "val"
    found = find_doctor(material)
    assert found is not None
    assert found["label_errors"]["sources"] == ["folds"]
    judged = {sample.name for sample in material.val.samples}
    assert not judged & {row["path"] for row in read_csv(material.run / "fixes.csv")}


def test_without_folds_and_validation_part_labels_are_not_looked_at(seen: Any) -> None:
    material = seen(val=0)
    head = replace(material.probe.head, fold_rows=np.zeros(0, np.int64))  # as of a network from scratch
    material = replace(material, probe=replace(material.probe, head=head))
    assert material.folds is None
    found = find_doctor(material)
    assert found is not None
    assert found["label_errors"] is None
    assert found["outliers"]["looked"] == len(material.train.samples)


@pytest.mark.parametrize("given", [{"group_by": r"(\d)\.png$"}, {"val": 0, "test": 0}], ids=str)
def test_every_kind_of_run_has_one(seen: Any, given: dict[str, Any]) -> None:
    material = seen(**given)
    found = find_doctor(material)
    assert found is not None
    assert found["label_errors"]["looked"] >= len(material.train.samples)
    assert found["lookalikes"]["compared"] == len(material.scan.samples)


def test_many_small_classes(seen: Any, warm: Path, tmp_path: Path, elpv_cells: Any) -> None:
    cells = elpv_cells["functional"]
    for number in range(40):
        copy_photos({f"class {number}": cells}, tmp_path / "photos", 3, start=3 * number)
    found = find_doctor(seen(data=tmp_path / "photos"))
    assert found is not None
    assert found["label_errors"]["sources"] == ["val"]
    assert found["outliers"]["count"] == 0


# ---- the report ---------------------------------------------------------------------------------

IMAGE = {"path": "a.png", "sha256": "", "part": "train", "label": "cat"}
SLICE = {"trait": "brightness", "value": "low", "range": [0.1, 0.31], "n": 40, "accuracy": 0.45, "others": 0.86}
SLICE |= {"difference": -0.41, "low": -0.55, "high": -0.25, "p": 0.0002, "bad": True}
FOUND: dict[str, Any] = {
    "label_errors": {
        "looked": 400,
        "sources": ["folds"],
        "count": 30,
        "rows": [{**IMAGE, "path": HOSTILE, "suggested": "dog", "p_label": 0.031, "p_suggested": 0.96, "weight": 0.5}],
    },
    "copies": {
        "exact": {"groups": 2, "across_parts": 1, "rows": [[IMAGE, {"path": "b.png", "sha256": "", "part": "test"}]]},
        "near": {"groups": 0, "across_parts": 0, "rows": []},
    },
    "lookalikes": {"compared": 500, "count": 1, "rows": [{"across": "parts", "similarity": 0.97, "images": [IMAGE, IMAGE]}]},
    "outliers": {"looked": 400, "count": 2, "rows": [{**IMAGE, "z": 6.1}, {**IMAGE, "path": HOSTILE, "z": 5.0}]},
    "slices": {
        "images": 100,
        "groups": 0,
        "compared": 9,
        "alpha": 0.05,
        "rows": [SLICE, {**SLICE, "trait": "group", "value": "<b>", "bad": False}],
    },
    "fixes": 33,
}


@pytest.fixture
def record(tmp_path: Path) -> Any:
    """Return a function that gives the record of a run that found something."""

    def make(found: dict[str, Any] | None) -> Record:
        photos = {name: [tmp_path / "data" / name / f"{i}.png" for i in range(4)] for name in ("cat", "dog")}
        run = make_run(tmp_path / "run", photos, root=tmp_path / "data")
        if found is not None:
            (run / "insights").mkdir()
            (run / "insights" / "doctor.json").write_text(json.dumps(found), encoding="utf-8")
        return read_run(run)

    return make


def test_the_chapter_tells_what_was_found_and_what_to_do(record: Any) -> None:
    section = doctor_section(record(FOUND), EN)
    assert section is not None
    text = " ".join(section.lead)
    for words in (
        "For 30 of them that model finds another label much likelier",
        "about half of the labels were really wrong (Northcutt et al. 2021)",
        "Groups of files with exactly the same bytes: 2, of them across the parts of the split: 1.",
        "different labels: 1. Look whether they show the same thing.",
        "Of 400 pictures, 2 are far less like",
        "All 33 proposals are rows of fixes.csv",
    ):
        assert words in text
    first, odd = section.cards
    assert (first.predicted, first.actual) == ("looks like dog (96\u00a0%)", "labelled cat (3\u00a0%)")
    assert list(first.lines) == ["Training", "label’s weight 0.50"]
    assert "\n" not in first.title
    assert (odd.predicted, odd.title) == ("unlike its class", "a.png"), "what is shown already is not shown again"
    assert [caption for caption, _ in section.folded] == [
        "Labels that look wrong (30)",
        "Files with the same bytes",
        "Pairs that are suspiciously alike",
        "Pictures unlike their class",
    ]
    assert [(caption, [[card.title for card in pair] for pair in pairs]) for caption, pairs in section.pairs] == [
        ("Files with the same bytes: the first 1 of 2", [["a.png", "b.png"]]),
        ("Pairs that are suspiciously alike", [["a.png", "a.png"]]),
    ]
    one, judged = section.pairs[0][1][0]
    assert (one.actual, one.lines, one.missing) == ("labelled cat", ["Training"], "picture no longer there")
    assert (judged.actual, judged.lines) == ("", ["Test"]), "labels of judged pictures are not looked at"
    assert section.folded[1][1].rows == [["a.png (Training, “cat”)\nb.png (Test)"]]


def test_bad_slices_are_named_with_their_numbers(record: Any) -> None:
    section = slices_section(record(FOUND), EN)
    assert section is not None
    (picture,) = section.pictures
    assert picture.says == (
        "It does worse on dark pictures: 45 of 100 are named right (40 pictures), of all others 86. "
        "That is more than chance explains, even though 9 kinds were looked at."
    )
    assert picture.table is not None
    assert picture.table.rows[0] == ["dark pictures", "0.10–0.31", "40", "45.0\u00a0%", "86.0\u00a0%", "−55.0 to −25.0", "under 0.001"]
    assert picture.table.rows[1][0] == "group <b>"


def test_no_bad_slice_is_said_and_that_groups_tell_less(record: Any) -> None:
    slices = {**FOUND["slices"], "rows": [{**SLICE, "bad": False}]}
    section = slices_section(record({**FOUND, "slices": slices}), EN)
    assert section is not None
    assert section.pictures[0].says.startswith(
        "No kind of pictures is shown to be named worse than the others: of the 9 that were compared"
    )
    from seefit.report.doctor import _slices_say

    assert "come in only 3 groups" in _slices_say(EN, {**slices, "groups": 3})


def test_nothing_found_is_said_and_nothing_looked_for_too(record: Any) -> None:
    none = {"label_errors": {**FOUND["label_errors"], "count": 0, "rows": []}, "copies": None, "slices": None, "fixes": 0}
    quiet = record(none)
    section = doctor_section(quiet, EN)
    assert section is not None
    assert section.lead[0].endswith("It is at odds with no label by more than it usually is.")
    assert section.lead[1] == "No copies were found, and no pairs across parts or labels that are suspiciously alike."
    assert len(section.lead) == 2
    assert slices_section(quiet, EN) is None


def test_without_the_insight_there_is_no_chapter(record: Any) -> None:
    bare = record(None)
    assert doctor_section(bare, EN) is slices_section(bare, EN) is None


def test_the_first_screen_takes_up_many_wrong_labels_a_bad_slice_and_the_next_step(record: Any) -> None:
    made = record(FOUND)
    problems = {problem.title: problem for problem in find_problems(made, EN)}
    assert problems["Labels may be wrong"].text.startswith("30 of 400 labels look wrong")
    assert problems["It does worse on some pictures"].text == "Worst on dark pictures: 45 of 100 named right, of all others 86."
    assert problems["It does worse on some pictures"].grade == "serious"
    assert any(step.command == "seefit apply-fixes run --out labels.csv" for step in find_steps(made, EN))


def test_a_few_wrong_labels_are_not_said_first(record: Any) -> None:
    errors = {**FOUND["label_errors"], "count": 19}
    made = record({**FOUND, "label_errors": errors, "slices": None})
    assert not {"Labels may be wrong", "It does worse on some pictures"} & {problem.title for problem in find_problems(made, EN)}


def test_hostile_names_run_nowhere_in_the_page(record: Any) -> None:
    from seefit.report.report import build_report

    run = record(FOUND).run
    for lang in ("en", "zh"):
        page = build_report(run, lang=lang).read_text(encoding="utf-8")
        assert "<script" not in page
        assert "&lt;script&gt;alert(1)" in page
        assert "group &lt;b&gt;" in page or "组 &lt;b&gt;" in page
