"""The figure of one explained picture."""

from __future__ import annotations

import numpy as np
import pytest

from english import english
from seefit.bundle.explanation import Explanation
from seefit.drawing import svg
from seefit.report.explained import draw_explained
from seefit.report.words import Words

PICTURE = np.full((40, 90, 3), 120, np.uint8)
PREDICTIONS = [{"label": "<cat> $5", "score": 0.7}, {"label": "猫" * 60, "score": 0.3}]


@pytest.mark.parametrize(
    ("bias", "told"),
    [
        (0.5, "exact: places +1.00 and the fixed number +0.50 make the score +1.50"),
        (None, "approximate: a grey patch was laid over one place after the other"),
    ],
)
def test_the_figure_says_what_kind_it_is(bias: float | None, told: str) -> None:
    found = Explanation("<cat> $5", np.eye(7, dtype=np.float32), 1.5, bias, np.array([0.7, 0.3], np.float32))
    drawn = svg(draw_explained(PICTURE, found, "pad", Words("en"), predictions=PREDICTIONS, alike=[(PICTURE, "dog")] * 3), "explain", "why")
    for text in (told, "heat map for “&lt;cat&gt; $5”", "&lt;cat&gt; $5  70.0%", "dog", "the most similar training images"):
        assert text in drawn
    assert drawn.count("<image") == 5


def test_without_neighbours_nothing_is_said_of_them() -> None:
    found = Explanation("cat", np.eye(7, dtype=np.float32), 1.5, 0.5, np.array([0.7, 0.3], np.float32))
    drawn = draw_explained(PICTURE, found, "crop", Words("en"), predictions=PREDICTIONS, alike=[])
    assert "similar" not in svg(drawn, "explain")
    taller = draw_explained(PICTURE, found, "crop", Words("en"), predictions=PREDICTIONS, alike=[(PICTURE, "dog")])
    assert taller.get_size_inches()[1] > drawn.get_size_inches()[1]


@pytest.mark.parametrize("bias", [0.5, None])
def test_in_chinese(bias: float | None) -> None:
    found = Explanation("cat", np.eye(7, dtype=np.float32), 1.5, bias, np.array([0.7, 0.3], np.float32))
    drawn = svg(draw_explained(PICTURE, found, "pad", Words("zh"), predictions=PREDICTIONS, alike=[(PICTURE, "dog")]), "explain", "why")
    assert "“cat”的热力图" in drawn
    assert english(drawn) == []
