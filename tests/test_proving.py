"""The proof of the fast engine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from seefit.data.dataset import Sample
from seefit.parts import Part
from seefit.proving import _differs, engine_difference, fell_back
from seefit.training.features import FeatureExtractor
from seefit.training.head import Head
from test_cache import Listener

CLASSES = ("dark", "light")


@pytest.mark.parametrize(("wrong", "images", "differs"), [(3, 200, False), (5, 800, False), (17, 800, True)])
def test_an_engine_that_fails_the_first_look_gets_a_second_at_more_images(wrong: int, images: int, differs: bool) -> None:
    samples = [Sample(Path(str(i)), str(i), CLASSES[0]) for i in range(800)]
    part = Part(samples, [sample.name for sample in samples], np.arange(800))
    flipped = {sample.name for sample in part.spread(200)[0][:wrong]}

    class Kept:
        """Features that the fast engine has wrong for a few images of the first look."""

        engine, reference = "fast", "exact"

        def extract(self, samples: Sequence[Sample], sha256: Sequence[str], *, exact: bool, **_: object) -> NDArray[np.float32]:
            return np.array([[-1.0 if sample.name in flipped and not exact else 1.0] for sample in samples], np.float32)

    head = Head(np.array([[1], [-1]], np.float32), np.zeros(2, np.float32), "logistic", 1.0)
    found = engine_difference(cast(FeatureExtractor, Kept()), head, part, Listener())
    assert found is not None
    assert (found["images"], _differs(found)) == (images, differs)


@pytest.mark.parametrize(("difference", "same", "falls"), [(0.031, 1.0, True), (0.0, 0.979, True), (0.029, 0.981, False)])
def test_an_engine_that_differs_gives_way_to_the_reference(difference: float, same: float, falls: bool) -> None:
    named: Any = SimpleNamespace(engine=SimpleNamespace(name="fast"), reference=SimpleNamespace(name="exact"), used=False)
    named.use_reference = lambda: setattr(named, "used", True)
    heard = Listener()
    assert fell_back(named, {"mean_difference": difference, "same_label": same}, heard) is falls
    assert named.used is falls
    told = [f"fast differs from the reference (mean difference {difference:.3f}, {same:.1%} the same label): using exact"]
    assert heard.warned == (told if falls else [])
