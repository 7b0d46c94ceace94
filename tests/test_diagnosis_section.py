"""The chapter on training: curves with the kept place, what was found in words, what to try next."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import Train
from made_insights import NOTHING, add_insights, make_material
from made_run import make_run, write_rows
from seefit.data.tables import read_table
from seefit.evaluation.intervals import Floats
from seefit.files import to_json, write_text
from seefit.fitting import Fitted
from seefit.insights import insights
from seefit.insights.diagnosis import find_diagnosis
from seefit.report.diagnosis import diagnosis_section
from seefit.report.record import Record, read_run
from seefit.report.words import Words

EN = Words("en")
EPOCH = ["epoch", "loss", "accuracy", "val_loss", "val_accuracy", "val_balanced_accuracy", "rate"]


def made(tmp_path: Path) -> Record:
    root = tmp_path / "data"
    photos = {name: [root / name / f"{i}.png" for i in range(20)] for name in ("cat", "dog")}
    return read_run(add_insights(make_run(tmp_path / "run", photos, root=root), list(photos)))


def trained(tmp_path: Path, train: Floats, held_out: Floats, *, member: bool = False, **settings: Any) -> Record:
    """Return a run of epochs with these accuracies."""
    record = made(tmp_path)
    rows = [[i + 1, 1.3 - a, a, 1.4 - v, v, v, 1e-3] for i, (a, v) in enumerate(zip(train, held_out, strict=True))]
    if member:
        rows = [[number, *row] for number in (0, 1) for row in rows]
    write_rows(record.run / "history.csv", (["member"] if member else []) + EPOCH, rows)
    value = {"accuracy": {"value": float(held_out[-1]), "low": float(held_out[-1]) - 0.04, "high": float(held_out[-1]) + 0.04}}
    fitted = Fitted(NOTHING, NOTHING, 1.0, None, value if np.isfinite(held_out).all() else None, None)
    material = make_material(["cat", "dog"], run=record.run, fitted=fitted, train=["cat"] * 500, method="finetune", **settings)
    found = find_diagnosis(material)
    assert found is not None
    write_text(record.run / "insights" / "diagnosis.json", to_json(found))
    return read_run(record.run)


def test_a_probe_shows_its_path_its_folds_and_what_to_try(tmp_path: Path) -> None:
    section = diagnosis_section(made(tmp_path), EN)
    assert section is not None
    path, folds = section.pictures
    assert path.says == (
        "Of the pictures it learnt from it names 97\u00a0% right, "
        "of pictures held out 86.0\u00a0% (95\u00a0% interval: 83.0 to 89.0\u00a0%). "
        "It knows its own better than others: more pictures, or more varied ones, would close that gap. "
        "The marked penalty, 0.1, gave the lowest loss on held-out pictures (0.360); on both sides it gets worse."
    )
    assert folds.says.startswith("Held out in turn, 3 parts of the training pictures were named right between 80\u00a0% and 90\u00a0%")
    assert path.table is not None
    assert list(path.table.rows[0]) == ["0.0001", "0.472", "0.180", "81.5\u00a0%", "98.0\u00a0%"]
    (_, table), *_ = section.tables
    assert [list(row[:2]) for row in table.rows] == [
        ["Train longer", "no"],
        ["Change the pictures more (augmentation)", "yes"],
        ["Another network", "no"],
    ]


def test_a_path_that_ends_at_its_edge_and_one_without_training_figures(tmp_path: Path) -> None:
    record = made(tmp_path)
    edge = diagnosis_section(replace(record, history=record.history[:3]), EN)
    assert edge is not None
    assert "It lies at the end of the range that was tried." in edge.pictures[0].says
    old = [{key: cell for key, cell in row.items() if not key.startswith("train_")} for row in record.history]
    section = diagnosis_section(replace(record, history=old), EN)
    assert section is not None
    assert section.pictures[0].table is not None
    assert section.pictures[0].table.rows[0][4] == "–"


@pytest.mark.parametrize("rows", [[], [{"strength": "1", "fold_nll": ""}, {"strength": "0", "fold_nll": "1"}]])
def test_a_probe_without_a_path_says_in_words_what_was_found(tmp_path: Path, rows: list[dict[str, str]]) -> None:
    section = diagnosis_section(replace(made(tmp_path), history=rows), EN)
    assert section is not None
    assert [picture.name for picture in section.pictures] == ["folds"]
    assert "It knows its own better than others" in section.lead[1]


def test_nothing_known_no_chapter(tmp_path: Path) -> None:
    record = made(tmp_path)
    (record.run / "insights" / "diagnosis.json").unlink()
    assert diagnosis_section(replace(record, history=[]), EN) is None


def test_epochs_with_the_best_marked_and_told(tmp_path: Path) -> None:
    held_out = np.array([0.6, 0.7, 0.79, 0.80, 0.798, 0.80, 0.799, 0.8, 0.798, 0.799, 0.8, 0.799])
    section = diagnosis_section(trained(tmp_path, np.linspace(0.7, 0.99, 12), held_out), EN)
    assert section is not None
    (picture,) = section.pictures
    assert picture.says.startswith(
        "It learns by heart: 96.4\u00a0% of its own pictures are named right, but 79.9\u00a0% of the validation pictures"
    )
    assert "Epoch 4, marked, had the lowest validation loss and was kept." in picture.says
    assert picture.table is not None
    assert list(picture.table.rows[3]) == ["4", "77.9\u00a0%", "0.521", "80.0\u00a0%", "0.600"]
    (_, table), *_ = section.tables
    assert [row[1] for row in table.rows] == ["no", "yes", "no"]
    assert "points above the rest, more than chance explains" in table.rows[1][2]
    (_, evidence), *_ = section.folded
    assert evidence.rows[1][1] == "79.9\u00a0%\n75.9 to 83.9\u00a0%"


def test_keeping_the_last_epoch_is_said(tmp_path: Path) -> None:
    held_out = np.array([0.6, 0.7, 0.8, 0.79, 0.78])
    section = diagnosis_section(trained(tmp_path, np.linspace(0.7, 0.89, 5), held_out, keep="last"), EN)
    assert section is not None
    assert "The marked epoch, 5, was kept." in section.pictures[0].says


def test_no_validation_part_is_no_diagnosis_of_learning_by_heart(tmp_path: Path) -> None:
    section = diagnosis_section(trained(tmp_path, np.linspace(0.7, 0.99, 8), np.full(8, np.nan)), EN)
    assert section is not None
    assert section.pictures[0].says.startswith(
        "It names 94.9\u00a0% of its own pictures right. Without validation pictures nothing tells whether it learnt them by heart."
    )
    assert section.folded[0][1].rows[1][1] == "–"


def test_each_network_of_several_has_its_curves(tmp_path: Path) -> None:
    section = diagnosis_section(trained(tmp_path, np.linspace(0.6, 0.8, 6), np.linspace(0.6, 0.78, 6), member=True), EN)
    assert section is not None
    assert [picture.name for picture in section.pictures] == ["epochs", "epochs-b"]
    assert section.pictures[1].says.startswith("Network 2: It has not learnt enough yet")
    assert list(section.folded[0][1].header) == ["What", "Network 1", "Network 2"]


def test_training_that_ended_by_itself_is_not_advised_to_go_on(tmp_path: Path) -> None:
    record = trained(tmp_path, np.linspace(0.5, 0.7, 9), np.array([0.5, 0.6, 0.7, 0.69, 0.7, 0.69, 0.7, 0.69, 0.69]), patience=3)
    found = record.insight("diagnosis")
    assert found is not None
    assert "stopped" in found["networks"][0]["diagnosis"]["notes"]
    assert found["networks"][0]["diagnosis"]["tries"][0] == {"way": "longer", "worth": False, "why": "stopped"}


def test_a_real_probe_knows_its_own_images_and_each_fold(train_here: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(insights, "INSIGHTS", {"diagnosis": find_diagnosis})
    run = train_here().path
    found = Record(run, {}, {}, {}).insight("diagnosis")
    assert found is not None
    probe = found["probe"]
    assert probe["source"] == "folds"
    assert 0.5 < probe["diagnosis"]["train"] <= 1
    assert sum(fold["images"] for fold in probe["folds"]) == sum(row["split"] == "train" for row in read_table(run / "split.csv"))


def test_every_word_of_the_diagnosis_is_in_both_languages() -> None:
    """Each reason that the diagnosis can give has its sentence; `test_words.py` compares the languages."""
    reasons = {
        "longer": "rising level spent flat still falling stopped too_few unvalidated fitted",
        "augmentation": "gap harder no_gap unvalidated later",
        "model": "level later no_need",
        "rate": "diverging",
    }
    assert all(EN.has(f"why.{way}.{why}") for way, whys in reasons.items() for why in whys.split())
    kinds = ["diverging", "too_few", "too_few_alone", "unvalidated", "over", "under", "unfinished", "good"]
    assert all(EN.has(f"diagnosis.{kind}") for kind in kinds)
    assert all(EN.has(f"probe.{kind}") for kind in ("over", "under", "good", "unvalidated"))
