"""What sets, refusals and silence give on the judged part."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import PhotoFolder, read_csv
from seefit.bundle.bundle import load
from seefit.bundle.sets import content_draws
from seefit.bundle.trusted import Trust
from seefit.evaluation.calibrate import ece_floor
from seefit.evaluation.conformal import judge_sets
from seefit.insights.trust import ANSWERED, find_trust
from seefit.pipeline import train
from seefit.settings import make_settings
from tiny import plant_little

KEYS = {"fitted_on", "images_fitted", "part", "images", "sets", "unknown", "selective", "ece_floor", "nll"}


def test_it_tells_what_the_limits_give_on_the_judged_part(seen: Any) -> None:
    material = seen(val=0.0, test=0.3)
    found: Any = find_trust(material)
    assert set(found) == KEYS
    judged = material.judged
    assert judged is not None
    assert (found["fitted_on"], found["part"], found["images"]) == ("folds", "test", len(judged.labels))
    assert found["images_fitted"] == len(material.folds.labels)
    rule = material.trust.sets
    assert rule is not None
    sets = judge_sets(rule, judged.probabilities, judged.labels, content_draws(judged.sha256))
    assert found["sets"]["coverage"] == sets.coverage.to_json()
    assert found["sets"]["stated"] == 0.9
    assert sum(count for _, count in found["sets"]["sizes"]) == len(judged.labels)
    assert {row["label"] for row in found["sets"]["per_class"]} == set(material.classes)
    told = [answer.none_of_these for answer in material.bundle.predictions([Path(material.settings.data) / name for name in judged.names])]
    assert found["unknown"]["refused"]["value"] == pytest.approx(np.mean(told))
    assert sum(found["unknown"]["histogram"]["images"]) == len(judged.labels)
    assert found["ece_floor"]["mean"] == ece_floor(judged.probabilities, seed=material.settings.seed)[0]
    right = judged.probabilities.argmax(1) == judged.labels
    assert found["selective"]["accuracy"][-1] == pytest.approx(right.mean())
    assert found["selective"]["at"]["share"] == ANSWERED
    held = material.held_out
    assert held is not None
    threshold = found["selective"]["threshold"]
    assert np.mean(held.probabilities.max(1) >= threshold["confidence"]) == pytest.approx(ANSWERED, abs=0.05)
    assert threshold["answered"]["value"] == pytest.approx(np.mean(judged.probabilities.max(1) >= threshold["confidence"]))
    assert found["nll"]["after"] <= found["nll"]["before"] + 1e-6
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_without_limits_silence_and_the_floor_are_still_told(seen: Any) -> None:
    material = replace(seen(), trust=Trust())
    found: Any = find_trust(material)
    assert set(found) == KEYS
    assert (found["fitted_on"], found["sets"], found["unknown"]) == (None, None, None)
    assert found["selective"]["accuracy"]


def test_nothing_judged_tells_nothing(seen: Any) -> None:
    assert find_trust(seen(val=0, test=0)) is None


def test_features_that_are_gone_leave_refusals_out(seen: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    material = seen(val=0.0, test=0.3)
    monkeypatch.setattr("seefit.insights.material.kept_features", lambda digests, _: [None] * len(digests))
    found: Any = find_trust(material)
    assert found["unknown"] is None
    assert found["sets"] is not None


def test_behind_a_hidden_layer_refusals_are_told_as_well(seen: Any) -> None:
    head_only = {"method": "finetune", "freeze": "all", "head": "hidden", "hidden": 8, "epochs": 1, "views": 1}
    material = seen(val=0.4, test=0.2, **head_only)
    assert material.fitted.head.hidden is not None
    found: Any = find_trust(material)
    paths = {sample.name: sample.path for sample in material.scan.samples}
    answers = material.bundle.predictions([paths[name] for name in material.judged.names])
    assert found["unknown"]["refused"]["value"] == pytest.approx(np.mean([answer.none_of_these for answer in answers]))


@pytest.mark.slow
@pytest.mark.parametrize(
    "way", [{"method": "finetune"}, {"method": "finetune", "head": "hidden", "hidden": 16}, {"method": "scratch"}, {"preset": "best"}]
)
def test_trained_networks_have_it_too(
    way: dict[str, Any], photo_folder: PhotoFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEEFIT_WEIGHTS", str(tmp_path))
    data = photo_folder(40)
    given = {"data": str(data), "backbone": plant_little(tmp_path), "image_size": 96, "epochs": 1, "views": 1, "batch": 8, "device": "cpu"}
    run = train(make_settings({**given, "val": 0.35, "test": 0.2, "augment": "any-way-up", **way}), out=tmp_path / "run").path
    bundle = load(run)
    assert bundle.manifest["trust"]["fitted_on"] == "val"
    assert bundle.refuses
    assert bundle.sets is not None
    names = [row["path"] for row in read_csv(run / "predictions.csv")]
    answers = list(bundle.predictions([data / name for name in names]))
    found = json.loads((run / "insights" / "trust.json").read_text())
    assert found["unknown"]["refused"]["value"] == pytest.approx(np.mean([answer.none_of_these for answer in answers]))
    labels = {row["path"]: row["label"] for row in read_csv(run / "predictions.csv")}
    held = [labels[name] in (answer.members or ()) for name, answer in zip(names, answers, strict=True)]
    assert found["sets"]["coverage"]["value"] == pytest.approx(np.mean(held))
