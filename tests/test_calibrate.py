"""The temperature finds what was hidden, and stays sane on little data."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from seefit.console import Console
from seefit.evaluation.calibrate import COLDEST, HOTTEST, confidence_bins, ece_floor, fit_temperature, reliability, softmax
from seefit.evaluation.metrics import score

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


def hidden(n: int, c: int, temperature: float, seed: int = 0) -> tuple[Floats, Ints]:
    """Return logits that are honest once they are divided by ``temperature``."""
    rng = np.random.default_rng(seed)
    honest = 2 * rng.normal(size=(n, c))
    labels = (softmax(honest).cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    return honest * temperature, labels


class Heard(Console):
    """Keeps what is said."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def test_softmax_is_stable_and_divides_by_the_temperature() -> None:
    from scipy.special import softmax as oracle

    logits = np.array([[1000.0, 999.0, -1000.0], [0.1, 0.2, 0.3]], dtype=np.float32)
    assert softmax(logits) == pytest.approx(oracle(logits.astype(np.float64), axis=1))
    assert softmax(logits, 2.5) == pytest.approx(oracle(logits.astype(np.float64) / 2.5, axis=1))
    assert softmax(logits).dtype == np.float64
    assert softmax(np.array([0.0, np.log(3.0)])).tolist() == pytest.approx([0.25, 0.75])


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("c", [2, 20])
def test_the_hidden_temperature_is_found(temperature: float, c: int) -> None:
    logits, labels = hidden(4000, c, temperature)
    found = fit_temperature(logits.astype(np.float32), labels)
    assert found == pytest.approx(temperature, rel=0.06)
    losses = [score("nll", softmax(logits, t), labels) for t in (0.97 * found, found, 1.03 * found)]
    assert losses[1] < min(losses[0], losses[2])
    assert score("ece", softmax(logits, found), labels) < 0.03


def test_weights_count_like_repeated_images() -> None:
    logits, labels = hidden(600, 3, 2.0)
    weights = np.random.default_rng(1).integers(0, 4, size=600)
    # The trust in labels depends on the effective number, so the two agree only nearly.
    repeated = fit_temperature(np.repeat(logits, weights, axis=0), np.repeat(labels, weights))
    assert fit_temperature(logits, labels, weights) == pytest.approx(repeated, rel=0.01)
    assert fit_temperature(logits, labels, weights * 0.001) == pytest.approx(fit_temperature(logits, labels, weights))


@pytest.mark.parametrize("n", [1, 5, 20, 400])
def test_images_that_are_all_right_do_not_make_it_certain(n: int) -> None:
    logits = np.tile([6.0, 0.0, -3.0], (n, 1))
    temperature = fit_temperature(logits, np.zeros(n, dtype=int))
    assert softmax(logits, temperature)[0, 0] == pytest.approx((n + 1) / (n + 2), abs=0.09)
    assert softmax(logits, temperature)[0, 0] < 1 - 0.4 / (n + 1)


def test_the_bounds_are_said() -> None:
    console = Heard()
    logits = np.tile([9.0, 0.0], (50, 1))
    assert fit_temperature(logits, np.ones(50, dtype=int), console=console) == HOTTEST
    assert fit_temperature(logits / 1000, np.zeros(50, dtype=int), console=console) == COLDEST
    assert console.lines == [
        "The temperature ended at its bound of 20: the probabilities may not be well calibrated.",
        "The temperature ended at its bound of 0.05: the probabilities may not be well calibrated.",
    ]


def test_nothing_to_fit_gives_one() -> None:
    assert fit_temperature(np.empty((0, 3)), np.empty(0, dtype=int)) == 1.0
    assert fit_temperature(np.ones((4, 1)), np.zeros(4, dtype=int)) == 1.0
    assert fit_temperature(np.ones((4, 2)), np.zeros(4, dtype=int), np.zeros(4)) == 1.0


def test_many_classes_and_logits_that_are_no_numbers() -> None:
    logits, labels = hidden(300, 10_000, 3.0)
    assert fit_temperature(logits.astype(np.float32), labels) == pytest.approx(3.0, rel=0.1)
    logits[7, 7] = np.inf
    with pytest.raises(ValueError, match="expected finite logits"):
        fit_temperature(logits, labels)
    with pytest.raises(ValueError, match=r"expected logits \(3, C\)"):
        fit_temperature(np.ones((4, 2)), [0, 1, 0])


def test_bins_hold_their_upper_end() -> None:
    assert confidence_bins(np.array([0.0, 0.1, 0.2, 0.200001, 0.8, 1.0]), 5).tolist() == [0, 0, 0, 1, 3, 4]


def test_reliability_lists_the_bins_that_have_images() -> None:
    table = np.array([[0.95, 0.05], [0.85, 0.15], [0.3, 0.7], [0.6, 0.4]])
    assert reliability(table, [0, 1, 1, 1], bins=4) == [
        pytest.approx((0.5, 0.75, 0.65, 0.5, 2)),
        pytest.approx((0.75, 1.0, 0.9, 0.5, 2)),
    ]
    logits, labels = hidden(500, 4, 3.0)
    curve = reliability(softmax(logits), labels)
    assert sum(row.images for row in curve) == 500
    ece = sum(row.images / 500 * abs(row.accuracy - row.confidence) for row in curve)
    assert ece == pytest.approx(score("ece", softmax(logits), labels))


def test_the_floor_is_what_honest_probabilities_show_by_chance() -> None:
    table = softmax(2 * np.random.default_rng(0).normal(size=(400, 3)))
    mean, seldom = ece_floor(table)
    found = []
    for seed in range(60):
        labels = (table.cumsum(axis=1) > np.random.default_rng(seed).random((400, 1))).argmax(axis=1)
        found.append(score("ece", table, labels))
    assert mean == pytest.approx(np.mean(found), abs=0.003)
    assert np.mean(np.array(found) > seldom) < 0.15
    assert seldom > mean
    assert ece_floor(np.repeat(table, 20, axis=0))[0] < mean / 3
    assert ece_floor(table) == (mean, seldom)
