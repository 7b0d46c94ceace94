"""What to try next in training: by the diagnosis, by the advice, and never both of one kind."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from seefit.evaluation.diagnosis import Curves, diagnose, diagnose_probe
from seefit.evaluation.intervals import Estimate
from seefit.report.record import Record
from seefit.report.steps import data_argument, found_sentence, training_problems, training_steps, trend_text, tries
from seefit.report.words import Words

EN = Words("en")
ADVICE = {"strategy": "top", "images_per_class": 300, "reach": 0.5, "done": "head"}


def record(tmp_path: Path, found: dict[str, Any], **metrics: Any) -> Record:
    (tmp_path / "insights").mkdir()
    (tmp_path / "insights" / "diagnosis.json").write_text(json.dumps(found))
    counts = {"counts": {"train": {"cat": 700, "dog": 300}}}
    history = [{"epoch": str(i + 1)} for i in range(12)]
    return Record(
        tmp_path,
        {"data": "my pets", "patience": 3},
        {"headline": "test", **counts, **metrics},
        {"classes": ["cat", "dog"]},
        history=history,
    )


def network(train: np.ndarray, held_out: np.ndarray, **options: Any) -> dict[str, Any]:
    made = Curves(1.3 - train, train, 1.4 - held_out, held_out, np.full(len(train), 1e-3))
    found = diagnose(made, 0.03, images=1000, batch=64, **options)
    return {"networks": [{"diagnosis": found.to_json(), "best": 12, "kept": 12}], "probe": None}


def probe(train: float, held_out: float) -> dict[str, Any]:
    found = diagnose_probe(train, Estimate(held_out, held_out - 0.02, held_out + 0.02))
    return {"networks": None, "probe": {"diagnosis": asdict(found), "source": "folds", "folds": []}}


def test_training_that_still_rises_goes_on_for_longer(tmp_path: Path) -> None:
    run = record(tmp_path, network(np.linspace(0.5, 0.8, 12), np.linspace(0.5, 0.78, 12)))
    (step,) = training_steps(run, EN)
    assert step.text == (
        "Train longer. Training is at 77.3\u00a0%, below 90\u00a0%, and still rises: +2.7 points an epoch "
        "(95\u00a0% interval: +2.7 to +2.7, over the last 4 epochs). For 1,000 training pictures about 32 epochs are usual."
    )
    assert step.command == f"seefit resume {tmp_path.name} --epochs 32"


def test_what_is_learnt_by_heart_gets_changed_pictures(tmp_path: Path) -> None:
    found = network(np.linspace(0.7, 0.99, 12), np.tile([0.8, 0.79, 0.81], 4), stopped=True)
    run = record(tmp_path, found, advice={**ADVICE, "done": "top"})
    assert [(row.name, row.worth) for row in tries(run, EN)] == [
        ("Train longer", False),
        ("Change the pictures more (augmentation)", True),
        ("Another network", False),
    ]
    assert tries(run, EN)[0].why == "Training ended by itself, since validation had not become better for 3 epochs."
    assert [step.command for step in training_steps(run, EN)] == [f"seefit train --config {tmp_path.name}/config.yaml --augment strong"]


def test_a_probe_is_told_the_advice_once(tmp_path: Path) -> None:
    run = record(tmp_path, probe(0.98, 0.85), advice=ADVICE)
    rows = tries(run, EN)
    assert [(row.name, row.worth) for row in rows] == [
        ("Train longer", False),
        ("Train the layers below too, on changed pictures", True),
        ("Another network", False),
    ]
    assert [step.command for step in training_steps(run, EN)] == ["seefit train 'my pets' --preset balanced"]
    assert rows[1].why == training_steps(run, EN)[0].text


def test_a_probe_whose_head_is_enough_needs_no_layers(tmp_path: Path) -> None:
    run = record(tmp_path, probe(0.99, 0.95), advice={**ADVICE, "strategy": "head", "reach": 0.95})
    assert [row.worth for row in tries(run, EN)] == [False, False, False]
    (step,) = training_steps(run, EN)
    assert step.text.startswith("Train the head only")


def test_a_probe_without_advice_and_a_run_without_a_diagnosis(tmp_path: Path) -> None:
    run = record(tmp_path, probe(0.8, 0.78))
    assert [step.command for step in training_steps(run, EN)] == [f"seefit train --config {tmp_path.name}/config.yaml --backbone NAME"]
    (tmp_path / "insights" / "diagnosis.json").unlink()
    assert training_steps(run, EN) == []
    assert tries(run, EN) == []


def test_what_went_wrong_in_training_is_a_problem(tmp_path: Path) -> None:
    good = record(tmp_path, network(np.linspace(0.7, 0.97, 12), np.tile([0.95, 0.96, 0.955], 4)))
    assert training_problems(good, EN) == []
    path = tmp_path / "insights" / "diagnosis.json"
    path.write_text(json.dumps(network(np.linspace(0.5, 0.8, 12), np.linspace(0.5, 0.78, 12))))
    (problem,) = training_problems(good, EN)
    assert (problem.grade, problem.title) == ("note", "It has not learnt enough")
    assert problem.text.startswith("It has not learnt enough yet: 77.3\u00a0% of its own pictures")
    path.write_text(json.dumps(network(np.concatenate([np.linspace(0.5, 0.9, 6), np.full(6, 0.1)]), np.full(12, 0.5))))
    run = replace(good, history=[{"loss": f"{loss}"} for loss in (0.8, 0.4, 1.2)])
    (problem,) = training_problems(run, EN)
    assert (problem.grade, problem.text) == ("serious", "Training went wrong: the loss had come down to 0.40 and ended at 1.20.")


def test_what_was_found_is_told_without_validation_too() -> None:
    few = network(np.array([0.5, 0.6]), np.full(2, np.nan))["networks"][0]["diagnosis"]
    assert (
        found_sentence(EN, few, [0.8, 0.7])
        == "So few epochs (2) do not tell where it is going: 55.0\u00a0% of its own pictures are named right."
    )


def test_a_private_folder_is_named_by_the_run(tmp_path: Path) -> None:
    run = record(tmp_path, probe(0.98, 0.9))
    assert data_argument(run) == "'my pets'"
    assert data_argument(replace(run, config={"data": "/somewhere/pets"})) == f"--config {tmp_path.name}/config.yaml"
    assert data_argument(replace(run, config={})) == "DATA"


def test_trends_are_written_with_their_sign_or_as_unknown() -> None:
    slope = {"slope": -0.012, "low": -0.02, "high": -0.004, "epochs": 5}
    assert trend_text(slope, EN) == "−1.2 points an epoch (95\u00a0% interval: −2.0 to −0.4, over the last 5 epochs)"
    assert trend_text(slope, EN, loss=True) == "−0.012 an epoch (95\u00a0% interval: −0.020 to −0.004, over the last 5 epochs)"
    assert trend_text({**slope, "slope": None}, EN) == "–"
