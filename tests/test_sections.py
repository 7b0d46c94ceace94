"""The chapters say what the run's files hold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from made_insights import add_insights
from made_run import make_run
from made_trust import write_insight
from seefit.report.record import Record, read_run
from seefit.report.sections import (
    SECTIONS,
    balance_section,
    classes_section,
    method_section,
    scores_section,
)
from seefit.report.words import Words

EN = Words("en")


def made(tmp_path: Path, classes: int, each: int = 4) -> Record:
    root = tmp_path / "data"
    photos = {f"class {i}": [root / f"{i}" / f"{j}.png" for j in range(each + (i == 0))] for i in range(classes)}
    run = make_run(tmp_path / "run", photos, root=root, wrong=0.4)
    write_insight(run)
    return read_run(run)


@pytest.mark.parametrize("classes", [2, 12])
def test_every_figure_has_a_sentence_an_alternative_and_its_numbers(tmp_path: Path, classes: int) -> None:
    record = made(tmp_path, classes, 12)
    add_insights(record.run, record.classes)
    for build in SECTIONS.values():
        section = build(record, EN)
        for picture in section.pictures if section is not None else ():
            assert section is not None
            assert picture.says.endswith(".")
            assert 'aria-label=""' not in picture.svg
            table = picture.table or section.tables[0][1]
            assert table.rows
            assert all(len(row) == len(table.header) for row in table.rows)


def test_scores_hold_every_part_and_name_the_engine_of_the_folds(tmp_path: Path) -> None:
    section = scores_section(made(tmp_path, 2), EN)
    assert section is not None
    assert "5 times" in section.lead[1]
    assert "openvino bf16" in section.lead[1]
    _, table = section.folded[0]
    assert list(table.header) == ["Figure", "What it means", "Test", "Validation", "Cross-validation"]
    assert [row[0] for row in table.rows][:3] == ["Balanced accuracy", "Accuracy", "Lead over the commonest class"]
    assert table.rows[2][3] == "+19.1 points\n+16.6 to +21.6"


def test_an_unknown_interval_is_a_dot_alone_and_a_dash() -> None:
    alone = {"value": 0.8, "low": None, "high": None}
    scores = {"n": 9, "accuracy": alone, "balanced_accuracy": alone, "majority_baseline": alone}
    metrics = {"headline": "test", "test": scores, "per_class": {"cat": {"n": 9, "recall": alone}}}
    record = Record(Path("run"), {}, metrics, {"classes": ["cat", "dog"]})
    scored, classes = scores_section(record, EN), classes_section(record, EN)
    assert scored is not None
    assert classes is not None
    assert scored.pictures[0].table is not None
    assert list(scored.pictures[0].table.rows[1]) == ["Accuracy · test", "80.0\u00a0%", "–", "–", "80.0\u00a0%"]
    assert scored.folded[0][1].rows[0][2] == "80.0\u00a0%\ninterval unknown"
    assert classes.tables[0][1].rows[0][1] == "80\u00a0% (–)"


def test_balance_of_few_and_many_classes(tmp_path: Path) -> None:
    few = balance_section(made(tmp_path / "few", 3), EN)
    assert few is not None
    assert few.pictures[0].says == "“class 0” has the most images (50), “class 2” the fewest (40)."
    assert few.pictures[0].table is not None
    assert list(few.pictures[0].table.rows[0]) == ["class 0", "35", "10", "5", "50"]
    many = balance_section(made(tmp_path / "many", 40), EN)
    assert many is not None
    assert many.pictures[0].says == "40 classes, from 50 images (“class 0”) down to 40 (“class 39”)."
    assert many.pictures[0].table is not None
    assert len(many.pictures[0].table.rows) == 30


def test_a_run_without_counts_has_no_balance(tmp_path: Path) -> None:
    record = made(tmp_path, 2)
    assert balance_section(replace(record, metrics=record.metrics | {"counts": None}), EN) is None


def test_worst_classes_first_and_the_rest_folded(tmp_path: Path) -> None:
    record = made(tmp_path, 40)
    section = classes_section(record, EN)
    assert section is not None
    (_, shown_table), (caption, rest) = section.tables[0], section.folded[0]
    assert (len(shown_table.rows), len(rest.rows), caption) == (30, 10, "The other 10 classes")
    recalls = [int(row[1].split("\u00a0")[0]) for row in [*shown_table.rows, *rest.rows]]
    assert recalls == sorted(recalls)


def test_a_network_from_scratch_is_said_to_be_one(tmp_path: Path) -> None:
    record = made(tmp_path, 2)
    section = method_section(replace(record, bundle=record.bundle | {"method": "scratch", "backbone": "lenet5"}), EN)
    said = "The network, lenet5, was trained from scratch: it began with random weights and learnt from these pictures alone. "
    assert said + "Its weights are yours to license." in section.lead
    assert not any("scratch" in sentence for sentence in method_section(record, EN).lead)


def test_how_it_was_made_names_settings_but_no_folder_of_this_machine(tmp_path: Path) -> None:
    section = method_section(made(tmp_path, 2), EN)
    settings = {row[0]: row[1] for row in section.folded[0][1].rows}
    assert settings["backbone"] == "tf_efficientnet_lite0 (lite0)", "as resolved, and as asked for"
    assert (settings["fit"], settings["engine"], settings["seed"]) == ("squash (auto)", "openvino bf16", "0")
    assert (settings["max_pixels"], settings["follow_links"], settings["sha256"]) == ("100,000,000", "no", "–")
    assert settings["cut"] == "…/data"
    assert "root" not in settings
    assert (
        section.lead[0]
        == "The figures at the top rest on 9 test pictures. They were read once, after the model and every setting were fixed."
    )
    assert ["Pictures per second, known ones included", "282"] in list(section.tables[0][1].rows)
    assert ["Everything", "18.9 s"] in list(section.tables[1][1].rows)
    assert section.folded[2][0] == "Files left out (2)"
