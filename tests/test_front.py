from __future__ import annotations

from seefit.evaluation.front import pareto_front


def test_what_costs_less_and_gains_as_much_beats() -> None:
    assert pareto_front([1, 2, 3, 3, 4], [0.7, 0.8, 0.8, 0.9, 0.85]) == [True, True, False, True, False]
    assert pareto_front([1, 1], [0.7, 0.7]) == [True, True]
    assert pareto_front([1, 1], [0.7, 0.8]) == [False, True]
    assert pareto_front([], []) == []


def test_an_unknown_cost_is_not_on_the_front_and_beats_nobody() -> None:
    assert pareto_front([None, 2], [0.9, 0.8]) == [False, True]
