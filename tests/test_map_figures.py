"""Dots where the map has them, names beside each other, crosses for mistakes."""

from __future__ import annotations

import numpy as np
import pytest

from seefit.drawing import PALETTE, svg
from seefit.report.map_figures import HEIGHT, WIDTH, draw_classes, draw_mistakes, draw_views, spot


def places(count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.random(count), rng.random(count)


@pytest.mark.parametrize(("x", "y"), [(0.0, 0.0), (1.0, 1.0), (0.25, 0.8)])
def test_a_spot_lies_where_the_dot_is_drawn(x: float, y: float) -> None:
    figure = draw_classes(np.array([x, 0.0, 1.0]), np.array([y, 0.0, 1.0]), np.array([0, 0, 0]), [0], ["a"])
    across, up = figure.axes[0].transData.transform((x, y))
    left, top = spot(x, y)
    assert left == pytest.approx(100 * across / WIDTH, abs=0.2)
    assert top == pytest.approx(100 - 100 * up / HEIGHT, abs=0.2)


def test_each_class_is_one_path_in_its_colour_and_named() -> None:
    x, y = places(300)
    labels = np.arange(300) % 10
    text = svg(draw_classes(x, y, labels, [3, 1], [f"kind {i}" for i in range(10)], rest="grey"), "map")
    assert f"var(--sf-class-1, {PALETTE['class-1'][0]})" in text
    assert text.count("stroke-linecap: round") == 3, "two classes, and the rest"
    assert all(f">kind {i}<" in text for i in range(10))
    assert ">grey<" in text
    many = svg(draw_classes(x, y, labels, [3, 1], [f"kind {i}" for i in range(30)]), "map")
    assert ">kind 3<" in many
    assert ">kind 4<" not in many, "30 names would cover the map"


def test_names_of_classes_that_lie_together_do_not_cover_each_other() -> None:
    x = np.full(40, 0.5) + np.linspace(0, 0.01, 40)
    figure = draw_classes(x, x, np.arange(40) % 8, list(range(8)), [f"a long name {i}" for i in range(8)])
    heights = sorted(text.get_position()[1] for text in figure.axes[0].texts)
    assert np.diff(heights).min() > 0.035
    assert heights[0] >= 0
    assert heights[-1] <= 1


def test_mistakes_are_crosses_and_only_what_is_there_is_explained() -> None:
    x, y = places(30)
    wrong = np.arange(30) < 5
    words = ("right", "wrong", "other")
    text = svg(draw_mistakes(x, y, ~wrong, wrong, words=words), "map")
    assert ">wrong<" in text
    assert ">other<" not in text
    assert text.count(f"fill: none; stroke: var(--sf-bad, {PALETTE['bad'][0]})") == 2, "two strokes for all crosses"


def test_views_are_tied_to_their_image() -> None:
    x, y = places(12)
    figure = draw_views(x, y, np.repeat([0, 1, 2], 4), 4, [0, 1], ["a", "b", "c"])
    ties = np.asarray(figure.axes[0].patches[0].get_path().vertices)
    assert len(ties) == 2 * 9
    assert ties[::2].tolist() == [[x[i], y[i]] for i in (0, 0, 0, 4, 4, 4, 8, 8, 8)]


def test_nothing_to_draw_is_an_empty_frame() -> None:
    nothing = np.array([])
    assert "<svg" in svg(draw_classes(nothing, nothing, nothing.astype(int), [], []), "map")
