"""The box follows from the shapes of the images."""

from __future__ import annotations

import numpy as np
import pytest

from seefit.bundle.box import choose_fit
from seefit.bundle.graph import Fit


@pytest.mark.parametrize(
    ("sizes", "fit", "why"),
    [
        ([(300, 300)] * 5, "crop", "the images are square or nearly so"),
        ([(1, 1)], "crop", "the images are square or nearly so"),
        ([(300, 310), (310, 300)] * 5, "crop", "the images are square or nearly so"),
        ([(640, 480)] * 5, "squash", "the images lie between 3:4 and 4:3"),
        ([(640, 480), (480, 640), (500, 500)] * 9, "squash", "the images lie between 3:4 and 4:3"),
        ([(1920, 1080)] * 5, "squash", "the images all have one shape, about 1.78:1"),
        ([(1080, 1920)] * 5, "squash", "the images all have one shape, about 1:1.78"),
        ([(1000, 500)] * 5, "squash", "the images all have one shape, about 2.00:1"),
        ([(1920, 1080), (1080, 1920)] * 5, "pad", "the images have different shapes, up to 1.8:1"),
        ([(300, 300), (600, 300), (300, 500)] * 5, "pad", "the images have different shapes, up to 2.0:1"),
        ([(3000, 1000)] * 5, "pad", "the images all have one long shape, about 3.0:1"),
        ([(300, 300)] * 99 + [(5000, 1)], "crop", "the images are square or nearly so"),
    ],
)
def test_the_box_follows_from_the_shapes(sizes: list[tuple[int, int]], fit: Fit, why: str) -> None:
    assert choose_fit(np.array(sizes)) == (fit, why)
