"""The Pareto front: what is worth its cost."""

from __future__ import annotations

from collections.abc import Sequence


def pareto_front(costs: Sequence[float | None], gains: Sequence[float]) -> list[bool]:
    """Return for each whether none of the others costs less and gains as much, or costs as much and gains more.

    Args:
        costs: Less is better; one that is not known is never on the front.
        gains: More is better.
    """
    points = [(cost, gain) for cost, gain in zip(costs, gains, strict=True) if cost is not None]

    def beaten(own: float, worth: float) -> bool:
        return any(cost <= own and gain >= worth and (cost < own or gain > worth) for cost, gain in points)

    return [cost is not None and not beaten(cost, gain) for cost, gain in zip(costs, gains, strict=True)]
