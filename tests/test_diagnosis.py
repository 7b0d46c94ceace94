"""Made histories of each kind get the diagnosis that a person would give them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from seefit.evaluation.diagnosis import (
    Curves,
    Diagnosis,
    best_epoch,
    diagnose,
    diagnose_probe,
    enough_epochs,
    trend,
)
from seefit.evaluation.intervals import Estimate, Floats

MARGIN = 0.04


def towards(start: float, end: float, epochs: int, speed: float = 4.0, noise: float = 0.004, seed: int = 0) -> Floats:
    """Return a curve that goes from start to end, fast at first, and trembles."""
    steps = np.arange(epochs) / max(1, epochs - 1)
    curve: Floats = end + (start - end) * np.exp(-speed * steps) + np.random.default_rng(seed).normal(0, noise, epochs)
    return curve


def curves(train: Floats, held_out: Floats, *, rate: Floats | None = None, loss: Floats | None = None) -> Curves:
    """Return curves whose losses follow from the accuracies unless they are given."""
    flat = np.full(len(train), 1e-3)
    return Curves(1.2 - train if loss is None else loss, train, 1.3 - held_out, held_out, flat if rate is None else rate)


def found(made: Curves, *, stopped: bool = False, margin: float = MARGIN) -> Diagnosis:
    return diagnose(made, margin, images=1000, batch=64, stopped=stopped)


def tries(diagnosis: Diagnosis) -> list[tuple[str, bool, str]]:
    return [(step.way, step.worth, step.why) for step in diagnosis.tries]


@pytest.mark.parametrize("seed", range(5))
def test_training_learnt_while_validation_stands_still_far_below_is_over_fitting(seed: int) -> None:
    diagnosis = found(curves(towards(0.6, 0.99, 15, seed=seed), towards(0.6, 0.80, 15, speed=12, seed=seed + 50)))
    assert diagnosis.kind == "over"
    assert diagnosis.gap == pytest.approx(0.18, abs=0.03)
    assert tries(diagnosis) == [("longer", False, "still"), ("augmentation", True, "gap"), ("model", False, "later")]


def test_validation_that_falls_is_over_fitting_before_training_is_learnt() -> None:
    held_out = np.concatenate([towards(0.6, 0.75, 6), np.linspace(0.74, 0.64, 9)])
    diagnosis = found(curves(towards(0.5, 0.87, 15), held_out))
    assert diagnosis.kind == "over"
    assert diagnosis.trends["val_accuracy"].direction == "falling"
    assert tries(diagnosis)[0] == ("longer", False, "falling")


def test_a_gap_within_the_interval_of_validation_is_no_gap() -> None:
    diagnosis = found(curves(towards(0.6, 0.97, 15), towards(0.6, 0.945, 15, speed=10)))
    assert diagnosis.kind == "good"
    assert not any(worth for _, worth, _ in tries(diagnosis))
    assert found(curves(towards(0.6, 0.97, 15), towards(0.6, 0.945, 15, speed=10)), margin=0.01).kind == "over"


def test_training_below_ninety_is_under_fitting_and_longer_comes_first() -> None:
    rising = curves(np.linspace(0.5, 0.8, 12), np.linspace(0.48, 0.77, 12))
    assert found(rising).kind == "under"
    assert tries(found(rising)) == [("longer", True, "level"), ("augmentation", False, "harder"), ("model", False, "later")]


def test_what_no_longer_rises_at_a_live_rate_needs_another_model() -> None:
    flat = towards(0.5, 0.78, 20, speed=20, seed=1), towards(0.5, 0.76, 20, speed=20, seed=9)
    assert tries(found(curves(*flat))) == [("longer", False, "flat"), ("augmentation", False, "harder"), ("model", True, "level")]
    spent = found(curves(*flat, rate=np.linspace(1e-3, 0, 20)))
    assert "spent" in spent.notes
    assert tries(spent)[0] == ("longer", True, "spent"), "it stands still since the rate ran out"
    assert tries(found(curves(*flat, rate=np.linspace(1e-3, 0, 20)), stopped=True))[0] == ("longer", False, "stopped")


def test_validation_that_still_rises_is_not_finished() -> None:
    diagnosis = found(curves(towards(0.7, 0.97, 12), np.linspace(0.6, 0.88, 12)))
    assert diagnosis.kind == "unfinished"
    assert tries(diagnosis)[0] == ("longer", True, "rising")


def test_validation_above_training_is_no_error() -> None:
    """Dropout and augmentation make training harder than validation, so its level is at least that of validation."""
    diagnosis = found(curves(towards(0.5, 0.86, 15, speed=12), towards(0.6, 0.94, 15, speed=12)))
    assert diagnosis.kind == "good"
    assert "val_above" in diagnosis.notes


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_too_few_epochs_to_say(epochs: int) -> None:
    diagnosis = found(curves(towards(0.6, 0.95, epochs), towards(0.6, 0.8, epochs)))
    assert diagnosis.kind == "too_few"
    assert {trend.direction for trend in diagnosis.trends.values()} == {"unknown"}
    assert tries(diagnosis)[0] == ("longer", True, "too_few")


@pytest.mark.parametrize(
    "loss",
    [
        np.concatenate([np.linspace(0.7, 0.3, 6), np.linspace(0.5, 2.3, 6)]),
        np.concatenate([np.linspace(0.7, 0.3, 6), np.full(6, 2.3)]),
        np.concatenate([np.linspace(0.7, 0.3, 11), [np.nan]]),
    ],
)
def test_a_loss_that_rises_or_is_no_number_diverges(loss: Floats) -> None:
    diagnosis = found(curves(towards(0.5, 0.8, 12), towards(0.5, 0.8, 12), loss=loss))
    assert diagnosis.kind == "diverging"
    assert tries(diagnosis) == [("rate", True, "diverging")]


def test_a_loss_that_trembles_near_zero_does_not_diverge() -> None:
    loss = np.array([0.69, 0.3, 0.1, 0.02, 0.004, 0.001, 0.002, 0.002])
    assert found(curves(towards(0.6, 0.99, 8), towards(0.6, 0.97, 8, speed=20), loss=loss)).kind == "good"


def test_without_validation_only_the_level_can_be_told() -> None:
    nothing = np.full(12, np.nan)
    learnt = found(curves(towards(0.6, 0.98, 12), nothing))
    assert (learnt.kind, learnt.held_out.value, learnt.gap) == ("unvalidated", None, None)
    assert tries(learnt)[0] == ("longer", False, "unvalidated")
    assert found(curves(np.linspace(0.5, 0.8, 12), nothing)).kind == "under"
    assert "NaN" not in json.dumps(learnt.to_json())


def test_a_validation_loss_that_rises_while_accuracy_holds_is_said() -> None:
    made = curves(towards(0.6, 0.99, 15), towards(0.6, 0.97, 15, speed=12))
    surer = Curves(
        made.loss, made.accuracy, np.concatenate([np.linspace(0.6, 0.2, 6), np.linspace(0.22, 0.6, 9)]), made.val_accuracy, made.rate
    )
    assert "surer" in found(surer).notes
    assert "surer" not in found(made).notes


def test_chance_alone_seldom_makes_a_trend() -> None:
    """White noise: one of twenty by definition. Noise that drifts, half of each epoch's carried on: seldom."""
    rng = np.random.default_rng(0)
    white = rng.normal(0.8, 0.01, (2000, 12))
    drifting = np.zeros_like(white)
    for epoch in range(12):
        drifting[:, epoch] = 0.5 * drifting[:, epoch - 1] + white[:, epoch] - 0.8
    for noise, most in ((white, 0.06), (drifting, 0.15)):
        moved = np.mean([trend(row, 0.005).direction != "still" for row in noise])
        assert moved < most


def test_a_trend_is_judged_by_its_size_too() -> None:
    rising = np.linspace(0.9, 0.9001, 12)
    assert (trend(rising, 0.005).direction, trend(rising, 0.0).direction) == ("still", "rising")
    slope = trend(np.linspace(0.5, 0.8, 13), 0.005)
    assert slope.epochs == 5
    assert slope.slope == pytest.approx(0.025)


def test_the_best_epoch_is_the_first_of_equals_and_none_without_validation() -> None:
    rows = [{"epoch": i + 1.0, "val_loss": loss, "val_accuracy": 1 - loss} for i, loss in enumerate([0.5, 0.2, 0.2, float("nan")])]
    assert best_epoch(rows, "loss") == best_epoch(rows, "accuracy") == 2
    assert best_epoch(rows[3:], "loss") is None


@pytest.mark.parametrize(("images", "epochs"), [(60, 100), (500, 63), (2_000, 16), (19_999, 10), (20_000, 32), (100_000, 10), (10**6, 10)])
def test_few_images_need_more_epochs(images: int, epochs: int) -> None:
    assert enough_epochs(images, 64) == epochs


@pytest.mark.parametrize(
    ("train", "held_out", "kind", "worth"),
    [
        (0.99, Estimate(0.85, 0.82, 0.88), "over", "augmentation"),
        (0.86, Estimate(0.84, 0.81, 0.87), "under", "model"),
        (0.97, Estimate(0.96, 0.94, 0.975), "good", None),
        (0.97, Estimate(0.9, None, None), "good", None),
        (0.97, Estimate(None), "unvalidated", None),
    ],
)
def test_a_probe_is_diagnosed_by_what_it_knows_of_others(train: float, held_out: Estimate, kind: str, worth: str | None) -> None:
    diagnosis = diagnose_probe(train, held_out)
    assert diagnosis.kind == kind
    assert [step.way for step in diagnosis.tries if step.worth] == ([worth] if worth else [])
    assert tries(diagnosis)[0] == ("longer", False, "fitted")
