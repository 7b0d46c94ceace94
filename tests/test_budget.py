"""How many networks and epochs fit: decided from made timings."""

from __future__ import annotations

from pathlib import Path

import pytest

from seefit.budget import Cost, Timings, keep_timings, plan_networks, read_timings

COST = Cost(once=100, epoch=20, answers=10)


@pytest.mark.parametrize(
    ("minutes", "asked", "networks", "epochs"),
    [
        (60, None, 3, 12),  # never more epochs than usual
        (20, None, 3, 11),
        (10, None, 2, 6),  # rather fewer epochs than fewer networks, down to six
        (9, None, 1, 12),
        (4, None, 1, 2),
        (1, None, 1, 1),  # one network with one epoch at least
        (20, 12, 2, 12),  # epochs that are asked for stay
        (10, 3, 2, 3),
        (20, 100, 1, 100),
    ],
)
def test_as_many_networks_as_fit_then_as_many_epochs(minutes: float, asked: int | None, networks: int, epochs: int) -> None:
    plan = plan_networks([COST] * 3, 60, minutes, usual=12, asked=asked)
    assert (plan.networks, plan.epochs) == (networks, epochs)
    assert plan.seconds == []


def test_the_first_networks_are_taken() -> None:
    costs = [COST, Cost(5000, 1, 1), Cost(1, 1, 1)]
    plan = plan_networks(costs, 60, 20, usual=12, asked=None)
    assert (plan.networks, plan.epochs) == (1, 12)
    assert plan.costs == costs


def test_what_a_plan_says_fits_into_the_minutes() -> None:
    for minutes in (7, 11, 20, 33):
        plan = plan_networks([COST] * 3, 60, minutes, usual=12, asked=None)
        assert plan.total(plan.epochs) <= 60 * minutes / 1.1
    assert plan_networks([COST] * 3, 60, 60, usual=12, asked=None).total(12) == 60 + 3 * (100 + 12 * 20 + 10)


@pytest.mark.parametrize(
    ("seconds", "minutes", "room"),
    [
        ([320], 20, True),
        ([320, 320], 20, True),
        ([320, 320], 17, False),  # 60 + 640 + 320 + 30 s
        ([600], 20, False),  # twice as slow as thought, so the next will be, too
        ([600], 22, True),
        ([1], 6.5, False),  # what was kept by an earlier start says nothing of the next
        ([1], 7, True),
    ],
)
def test_a_network_is_left_out_that_would_take_too_long(seconds: list[float], minutes: float, room: bool) -> None:
    assert Timings([COST] * 3, 60, 3, 11, seconds).room_for_next(11, minutes) is room


@pytest.mark.parametrize(
    ("number", "epochs", "minutes", "late"),
    [
        (0, [], 1, False),  # an epoch is trained whatever the time
        (0, [20, 20], 4, False),  # 60 + 100 + 40 + 20 more + 10 of answers = 230 of 240 s
        (0, [20, 30], 4, True),
        (1, [20], 10, False),  # 60 + 320 + 100 + 20 + 20 more + 20
        (1, [20], 8.9, True),
        (0, [20, 20], 5, False),  # what came after the network does not count: a run that goes on decides as it did
    ],
)
def test_an_epoch_is_left_out_that_would_end_too_late(number: int, epochs: list[float], minutes: float, late: bool) -> None:
    assert Timings([COST] * 2, 60, 2, 11, [320.0, 5000.0][: number or 2]).late(number, epochs, minutes) is late


def test_timings_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "checkpoints" / "timings.json"
    assert read_timings(path) is None
    timings = Timings([COST, Cost(1.5, 0.1, 1 / 3)], 61.25, 2, 8, [300.125])
    keep_timings(path, timings)
    assert read_timings(path) == timings
