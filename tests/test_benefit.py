"""Net benefit is that of dcurves; its mean over classes and its interval are as said."""

from __future__ import annotations

import numpy as np
import pytest

from seefit.evaluation.benefit import THRESHOLDS, decision_curves, net_benefit
from test_curves import scores
from test_decide import draw


@pytest.mark.filterwarnings("ignore")
def test_net_benefit_is_that_of_dcurves() -> None:
    import pandas as pd
    from dcurves import dca

    probabilities, positive = draw(300)
    table = dca(
        pd.DataFrame({"outcome": positive.astype(int), "model": probabilities}),
        outcome="outcome",
        modelnames=["model"],
        thresholds=THRESHOLDS,
    )
    _, (curve,) = decision_curves(np.stack([1 - probabilities, probabilities], axis=1), positive.astype(np.intp), [1])
    for name, ours in (("model", curve.model), ("all", curve.everything)):
        theirs = table[table["model"] == name].sort_values("threshold")["net_benefit"].to_numpy()
        np.testing.assert_allclose(ours, theirs, atol=1e-9)


def test_a_false_alarm_weighs_a_find_at_one_half_and_nine_at_ninety_percent() -> None:
    assert net_benefit(10, 10, 100, np.array([0.5, 0.9])).tolist() == pytest.approx([0.0, -0.8])


def test_a_useless_model_gains_nothing_and_a_good_one_does() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=400).astype(np.intp)
    share = np.full(400, 0.5)
    useless, _ = decision_curves(np.stack([share, share], axis=1), labels, [1])
    assert useless.gain.value == pytest.approx(0, abs=0.02)
    probabilities, positive = draw(400)
    good, _ = decision_curves(np.stack([1 - probabilities, probabilities], axis=1), positive.astype(np.intp), [1])
    assert good.gain.low is not None
    assert good.gain.low > 0
    assert (good.low <= good.model).all()
    assert (good.model <= good.high).all()
    assert good.area == pytest.approx(good.model.mean())


def test_the_mean_over_classes_and_groups() -> None:
    table, labels = scores(300, 4, strength=2)
    mean, each = decision_curves(table, labels, [0, 1, 2, 3])
    np.testing.assert_allclose(mean.model, np.mean([curve.model for curve in each], axis=0))
    assert mean.gain.value == pytest.approx(np.mean([curve.gain.value for curve in each]))
    alone, _ = decision_curves(table, labels, [0, 1], groups=np.zeros(300, np.int64))
    assert np.isnan(alone.low).all()
    assert alone.gain.low is None
