"""Prediction: streams, keeps the order, says what it cannot read."""

from __future__ import annotations

import numpy as np

from seefit.bundle.predict import Prediction
from seefit.data.dataset import Sample


def test_the_label_is_the_most_probable_class() -> None:
    probabilities = np.array([0.2, 0.8], np.float32)
    assert Prediction(Sample.__new__(Sample), ("a", "b"), probabilities).label == "b"
