"""A heat map lies where it belongs on the picture, in two colours that everyone can tell apart."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from seefit.report.overlay import AGAINST, FOR, overlay, strongest

Float = NDArray[np.float32]
GREY = np.full((70, 70, 3), 128, np.uint8)


def spot(row: int, column: int, value: float = 1.0, side: int = 7) -> Float:
    values = np.zeros((side, side), np.float32)
    values[row, column] = value
    return values


def colour_at(pixels: NDArray[np.uint8], row: int, column: int) -> list[int]:
    found: list[int] = pixels[row, column].astype(int).tolist()
    return found


def test_orange_speaks_for_and_blue_against() -> None:
    drawn = overlay(GREY, spot(1, 5) + spot(5, 1, -1.0), "squash")
    red, green, blue = colour_at(drawn, 15, 55)
    assert red > green > blue
    assert np.abs(np.array([red, green, blue]) - FOR).max() < 60
    red, green, blue = colour_at(drawn, 55, 15)
    assert blue > green > red
    assert np.abs(np.array([red, green, blue]) - AGAINST).max() < 60
    assert len(set(colour_at(drawn, 65, 65))) == 1, "grey where it does not matter"


def test_a_coloured_picture_becomes_grey_so_that_colours_only_mean_heat() -> None:
    picture = np.zeros((20, 20, 3), np.uint8)
    picture[..., 0] = 250
    drawn = overlay(picture, np.zeros((7, 7), np.float32), "squash")
    assert np.ptp(drawn.astype(int), axis=2).max() == 0


def test_what_the_network_did_not_see_is_dark_and_without_colour() -> None:
    wide = np.full((40, 100, 3), 200, np.uint8)
    drawn = overlay(wide, np.ones((7, 7), np.float32), "crop").astype(int)
    assert np.ptp(drawn[:, :30], axis=1).max() == 0
    assert np.ptp(drawn[:, :30], axis=2).max() == 0
    assert drawn[:, :30].max() < 100
    assert (np.ptp(drawn[:, 31:69], axis=2) > 50).all()
    assert (np.ptp(overlay(wide, np.ones((7, 7), np.float32), "pad").astype(int), axis=2) > 50).all(), "all of it was seen"


def test_a_smaller_copy_has_the_map_at_the_same_place() -> None:
    small = overlay(np.full((30, 61, 3), 90, np.uint8), spot(3, 6), "crop", (202, 99)).astype(int)
    heat = np.ptp(small, axis=2)
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert abs(row - 15) <= 2
    assert abs(column - (202 / 2 + 99 * (6.5 / 7 - 0.5)) * 61 / 202) <= 3


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_a_map_that_says_nothing_colours_nothing(value: float) -> None:
    drawn = overlay(GREY, np.full((28, 28), value, np.float32), "squash").astype(int)
    assert np.ptp(drawn, axis=2).max() == 0


def test_a_single_place_of_a_fine_map_can_be_seen() -> None:
    drawn = overlay(np.full((160, 160, 3), 90, np.uint8), spot(28, 28, side=56), "squash").astype(int)
    assert (np.ptp(drawn, axis=2) > 40).sum() > 80


@pytest.mark.parametrize(
    ("row", "column", "place"),
    [(0, 0, ("top", "left")), (3, 3, ("middle", "centre")), (6, 4, ("bottom", "centre")), (2, 6, ("top", "right"))],
)
def test_where_it_is_strongest(row: int, column: int, place: tuple[str, str]) -> None:
    assert strongest(spot(row, column)) == place
