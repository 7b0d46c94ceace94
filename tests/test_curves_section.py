"""Curves of a run: one for two classes, each for a few, the mean and the worst for many."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from made_insights import add_insights, make_material, make_scores
from made_run import make_run
from seefit.files import to_json, write_text
from seefit.insights.curves import find_curves
from seefit.report.curves import CurvePanel, curves_section, draw_curve, draw_curves
from seefit.report.record import Record, read_run
from seefit.report.words import Words
from test_curves import scores

EN = Words("en")


def made(tmp_path: Path, classes: int, each: int = 30) -> Record:
    root = tmp_path / "data"
    photos = {f"class {i}": [root / f"{i}" / f"{j}.png" for j in range(each + (i == 0))] for i in range(classes)}
    return read_run(add_insights(make_run(tmp_path / "run", photos, root=root, wrong=0.3), list(photos)))


def test_two_classes_have_one_curve_of_what_is_looked_for(tmp_path: Path) -> None:
    section = curves_section(made(tmp_path, 2), EN)
    assert section is not None
    assert section.lead[0].startswith("“class 1” is taken to be what is looked for, since it is the rarer class")
    assert section.lead[2] == "Drawn from 61 test pictures."
    roc, precision = section.pictures
    assert roc.says.startswith("If 10 of 100 pictures that are not “class 1” may be false alarms, it finds ")
    assert roc.says.endswith("a blind guess finds 10.")
    assert precision.says.startswith("When it is to find 80 of 100 “class 1”, ")
    assert precision.says.endswith("of a blind guess 49 are.")
    assert roc.table is not None
    assert [row[0] for row in roc.table.rows][-1] == "100\u00a0%"


def test_the_area_is_that_of_the_metrics(tmp_path: Path) -> None:
    """The made run says 0.06 more than its balanced accuracy, whatever the scores are."""
    record = made(tmp_path, 2)
    auc = record.figure("test", "auc")
    found = record.insight("curves")
    assert found is not None
    record.metrics["per_class"]["class 1"]["auc"] = {"value": 0.777, "low": 0.7, "high": 0.8}
    section = curves_section(record, EN)
    assert section is not None
    assert auc is not None
    assert "AUC 0.777 (0.700 to 0.800)" in section.pictures[0].svg


def test_a_few_classes_are_drawn_one_by_one_the_worst_first(tmp_path: Path) -> None:
    section = curves_section(made(tmp_path, 4), EN)
    assert section is not None
    table = section.pictures[0].table
    assert table is not None
    assert table.rows[0][0] == "Mean over classes"
    areas = [float(row[2]) for row in table.rows[1:]]
    assert areas == sorted(areas)
    assert len(areas) == 4
    assert section.pictures[0].says.startswith("On average over the classes")
    assert f"“{table.rows[1][0]}” is told apart worst (AUC {table.rows[1][2]})." in section.pictures[0].says


def test_of_many_classes_the_mean_and_the_worst_are_drawn(tmp_path: Path) -> None:
    section = curves_section(made(tmp_path, 12, 6), EN)
    assert section is not None
    assert "The mean over classes and the 5 worst classes with at least five pictures are drawn; 7 are not." in section.lead
    assert section.pictures[0].svg.count("AUC") == 6


def test_no_judged_images_take_the_held_out_ones_and_nothing_gives_nothing() -> None:
    table, labels = scores(80, 2)
    held_out = make_scores(table, labels.tolist(), source="folds")
    found = find_curves(make_material(["a", "b"], held_out=held_out, train=["a", "b"]))
    assert found is not None
    assert (found["source"], found["why"]) == ("folds", "rare")
    assert find_curves(make_material(["a", "b"])) is None
    assert find_curves(make_material(["a", "b"], judged=make_scores(table, [0] * 80))) is None


def test_one_group_has_no_band_and_the_page_says_so(tmp_path: Path) -> None:
    record = made(tmp_path, 2)
    table, labels = scores(60, 2)
    found = find_curves(make_material(["a", "b"], judged=make_scores(table, labels.tolist(), groups=[0] * 60), train=["a", "b"]))
    write_text(record.run / "insights" / "curves.json", to_json(found))
    section = curves_section(replace(record, metrics=record.metrics | {"headline": "val"}), EN)
    assert section is not None
    assert "Nothing tells how far chance may have moved these curves, so they have no shade." in section.lead
    assert "(interval unknown)" in section.pictures[0].says


def test_the_file_stays_small(classes: int = 100) -> None:
    table, labels = scores(500, classes, strength=2)
    material = make_material([f"{i}" for i in range(classes)], judged=make_scores(table, labels.tolist()), train=["0"])
    assert len(to_json(find_curves(material))) < 300_000


def panel(title: str = "cat") -> CurvePanel:
    grid = np.linspace(0, 1, 101)
    return CurvePanel(title, "AUC 0.9", np.sqrt(grid), grid, np.minimum(1, 2 * grid), grid)


def test_a_curve_is_drawn_with_its_band_and_a_blind_guess() -> None:
    figure = draw_curve(panel(), x_label="false alarms", y_label="found", guess_label="guess")
    axes: Any = figure.axes[0]
    assert axes.lines[1].get_ydata()[25] == pytest.approx(0.5)
    assert {"AUC 0.9", "found", "guess"} <= {text.get_text() for text in axes.texts}


def test_small_panels_stand_two_in_a_row() -> None:
    figure = draw_curves([panel("cat"), panel("dog"), panel("ox")], x_label="false alarms", y_label="found")
    boxes = [axes.get_position() for axes in figure.axes]
    assert boxes[0].y0 == pytest.approx(boxes[1].y0)
    assert boxes[2].y0 < boxes[0].y0
    assert [axes.texts[0].get_text() for axes in figure.axes] == ["cat", "dog", "ox"]
