"""Learning-rate schedules: one number per optimiser step that multiplies every base rate.

All are pure functions of the step, so a run that goes on from a checkpoint needs nothing but its step; only ``plateau``
watches the validation loss and has a state. A fraction of an epoch is ``step / steps_per_epoch``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from seefit.errors import UsageError, raise_all, unknown_name

ONE_CYCLE_START = 1 / 25  # of the highest rate, as in fastai
PLATEAU_THRESHOLD = 1e-4  # a loss that is lower by less than this share is not lower


class Schedule(Protocol):
    """What moves the learning rate."""

    @property
    def stretches(self) -> bool:
        """Whether the course depends on the number of epochs; `growth_note` says what that means on resume."""
        ...

    def factor(self, step: int) -> float:
        """Return what multiplies every base rate at an optimiser step, from 0; steps beyond the plan keep its last factor."""
        ...

    def observe(self, loss: float) -> None:
        """Take in the validation loss after an epoch."""
        ...

    def state(self) -> dict[str, float]:
        """Return what a checkpoint must hold, for `restore`; finite numbers only."""
        ...

    def restore(self, state: Mapping[str, float]) -> None:
        """Take up a state that `state` gave."""
        ...


@dataclass(frozen=True)
class Curve:
    """A schedule that is a pure function of the step."""

    curve: Callable[[int], float]
    stretches: bool

    def factor(self, step: int) -> float:
        """Return the value of the curve."""
        return self.curve(step)

    def observe(self, loss: float) -> None:
        """Nothing: the curve is fixed beforehand."""

    def state(self) -> dict[str, float]:
        """Return nothing: the step says it all."""
        return {}

    def restore(self, state: Mapping[str, float]) -> None:
        """Nothing: the step says it all."""


class Plateau:
    """The rate falls when the validation loss has stopped falling.

    Args:
        drop: What multiplies the factor then, in (0, 1).
        patience: After how many epochs in a row without a lower loss.
    """

    stretches = False

    def __init__(self, drop: float, patience: float) -> None:
        self._drop, self._patience = drop, patience
        self._level, self._waited = 1.0, 0.0
        self._best: float | None = None

    def factor(self, step: int) -> float:
        """Return the present level, whatever the step."""
        return self._level

    def observe(self, loss: float) -> None:
        """Count epochs without a lower loss, and drop the level after too many."""
        if self._best is None or loss < self._best - PLATEAU_THRESHOLD * abs(self._best):
            self._best, self._waited = loss, 0.0
            return
        self._waited += 1
        if self._waited >= self._patience:
            self._level, self._waited = self._level * self._drop, 0.0

    def state(self) -> dict[str, float]:
        """Return the level, the epochs waited and, after the first epoch, the lowest loss."""
        state = {"level": self._level, "waited": self._waited}
        return state if self._best is None else state | {"best": self._best}

    def restore(self, state: Mapping[str, float]) -> None:
        """Take up a state that `state` gave."""
        self._level, self._waited, self._best = state["level"], state["waited"], state.get("best")


@dataclass(frozen=True)
class WarmUp:
    """A linear rise in front of another schedule, which starts when the rise is over.

    Batch i of m, from 1, gets i / m of the rate (He et al. 2019, "Bag of tricks", 3.1; Goyal et al. 2017, 2.2).
    """

    after: Schedule
    steps: int

    @property
    def stretches(self) -> bool:
        """As the schedule behind it: the rise has its own length."""
        return self.after.stretches

    def factor(self, step: int) -> float:
        """Return the rise, then the schedule behind it, counted from the rise's end."""
        if step >= self.steps:
            return self.after.factor(step - self.steps)
        return (step + 1) / self.steps * self.after.factor(0)

    def observe(self, loss: float) -> None:
        """Hand the loss on."""
        self.after.observe(loss)

    def state(self) -> dict[str, float]:
        """Return the state of the schedule behind it."""
        return self.after.state()

    def restore(self, state: Mapping[str, float]) -> None:
        """Hand the state on."""
        self.after.restore(state)


@dataclass(frozen=True)
class Plan:
    """What every schedule is made from: its length after the warm-up, the highest base rate and its own options."""

    steps_per_epoch: int
    steps: int
    epochs: int
    rate: float | None
    options: Mapping[str, float]

    def share(self, step: int) -> float:
        """Return how much of the plan is over, in [0, 1]."""
        return min(1.0, step / self.steps)


def _constant(plan: Plan) -> Schedule:
    return Curve(lambda step: 1.0, False)


def _step(plan: Plan) -> Schedule:
    drop, every = plan.options["drop"], plan.options["every"]
    return Curve(lambda step: drop ** math.floor(step // plan.steps_per_epoch / every), False)


def _time(plan: Plan) -> Schedule:
    if "decay" in plan.options:
        decay, stretches = plan.options["decay"], False
    elif plan.rate is not None:
        decay, stretches = plan.rate / plan.epochs, True
    else:
        raise _option_error("decay", "a number, or the rate to take it from (rate / epochs)", "neither")
    return Curve(lambda step: 1 / (1 + decay * step), stretches)


def _exponential(plan: Plan) -> Schedule:
    decay = plan.options["decay"]
    return Curve(lambda step: math.exp(-decay * step / plan.steps_per_epoch), False)


def _cosine(plan: Plan) -> Schedule:
    return Curve(lambda step: _fall(plan.share(step)), True)


def _cyclical(plan: Plan) -> Schedule:
    low, half = plan.options["low"], plan.options["half"] * plan.steps_per_epoch

    def triangle(step: int) -> float:
        cycle = math.floor(1 + step / (2 * half))
        return low + (1 - low) * max(0.0, 1 - abs(step / half - 2 * cycle + 1))

    return Curve(triangle, False)


def _plateau(plan: Plan) -> Schedule:
    return Plateau(plan.options["drop"], plan.options["patience"])


def _one_cycle(plan: Plan) -> Schedule:
    rise = plan.options["rise"]

    def cycle(step: int) -> float:
        share = plan.share(step)
        if share < rise:
            return 1 - (1 - ONE_CYCLE_START) * _fall(share / rise)
        return _fall((share - rise) / (1 - rise))

    return Curve(cycle, True)


def _fall(share: float) -> float:
    """Half a cosine from 1 at 0 to 0 at 1."""
    return 0.5 * (1 + math.cos(math.pi * share))


@dataclass(frozen=True)
class Kind:
    """One schedule that can be asked for by name.

    Attributes:
        build: Makes it.
        options: Its options and their defaults; ``None`` where there is no fixed one.
        growth: What more epochs on resume do to it, as the end of a sentence.
    """

    build: Callable[[Plan], Schedule]
    options: Mapping[str, float | None]
    growth: str


_GOES_ON = "goes on as it was"
SCHEDULES: dict[str, Kind] = {
    "constant": Kind(_constant, {}, _GOES_ON),
    "step": Kind(_step, {"drop": 0.5, "every": 10}, _GOES_ON),
    "time": Kind(_time, {"decay": None}, "falls more slowly, also over the epochs that are done, unless its decay is given"),
    "exponential": Kind(_exponential, {"decay": 0.1}, _GOES_ON),
    "cosine": Kind(_cosine, {}, "is stretched over all epochs: the rate jumps up to where the longer curve stands, and falls from there"),
    "cyclical": Kind(_cyclical, {"low": 0.25, "half": 2}, _GOES_ON),
    "plateau": Kind(_plateau, {"drop": 0.1, "patience": 2}, _GOES_ON),
    "one-cycle": Kind(_one_cycle, {"rise": 0.3}, "is stretched over all epochs: the rate jumps up to where the longer cycle stands"),
}
# option: lowest, highest, whether these two are allowed themselves
_LIMITS: dict[str, tuple[float, float, bool]] = {
    "drop": (0, 1, False),
    "every": (1, math.inf, True),
    "decay": (0, math.inf, True),
    "low": (0, 1, True),
    "half": (0, math.inf, False),
    "patience": (1, math.inf, True),
    "rise": (0, 1, False),
}


def make_schedule(
    name: str, *, steps_per_epoch: int, epochs: int, warmup: float = 0, rate: float | None = None, **options: float
) -> Schedule:
    """Return a schedule by name.

    - ``constant``: 1.
    - ``step``: ``drop`` ^ floor(epoch / ``every``).
    - ``time``: 1 / (1 + ``decay`` * step), by default with ``decay`` = rate / epochs, as Keras's optimisers did it.
    - ``exponential``: exp(-``decay`` * epoch).
    - ``cosine``: half a cosine from 1 to 0 (Loshchilov and Hutter 2017, equation 5, without restarts).
    - ``cyclical``: triangles between ``low`` and 1, ``half`` epochs up and ``half`` down (Smith 2017, section 3).
    - ``plateau``: ``drop`` times lower after ``patience`` epochs without a lower validation loss.
    - ``one-cycle``: half a cosine from 1/25 up to 1 in the first ``rise`` of the steps, half a cosine down to 0 in the rest (Smith and
      Topin 2018, with cosines as in fastai).

    Args:
        name: One of `SCHEDULES`.
        steps_per_epoch: Optimiser steps in an epoch, 1 or more.
        epochs: Planned in all, 1 or more, with those of the warm-up.
        warmup: Epochs of linear rise in front, 0 or more and fewer than ``epochs``; the schedule fills what is left.
        rate: The highest base rate; only ``time`` looks at it.
        options: Those of the schedule, named above; defaults are in `SCHEDULES`.

    Raises:
        UsageError: An unknown name or option, or a value out of range; all are named together.
    """
    if name not in SCHEDULES:
        unknown_name("schedule", name, SCHEDULES)
    kind = SCHEDULES[name]
    raise_all(_problems(name, kind, epochs, warmup, options))
    rise = round(warmup * steps_per_epoch)
    values = {key: value for key, value in (dict(kind.options) | options).items() if value is not None}
    schedule = kind.build(Plan(steps_per_epoch, max(1, steps_per_epoch * epochs - rise), epochs, rate, values))
    return WarmUp(schedule, rise) if rise else schedule


def growth_note(name: str, epochs: int) -> str:
    """Say in one sentence what it does to a schedule that a run goes on for more epochs than were planned.

    The steps that are done keep the rates they had, so a schedule that stretches ends in other weights than an unbroken run of
    ``epochs`` epochs would.

    Args:
        name: One of `SCHEDULES`.
        epochs: In all, from now on.
    """
    return f"With {epochs} epochs the schedule {name!r} {SCHEDULES[name].growth}."


def _problems(name: str, kind: Kind, epochs: int, warmup: float, options: Mapping[str, float]) -> list[UsageError]:
    problems = []
    if epochs < 1:
        problems.append(_option_error("epochs", "1 or more", f"{epochs}"))
    elif not 0 <= warmup < epochs:
        problems.append(_option_error("warmup", f"0 or more and fewer than the {epochs} epochs", f"{warmup:g}"))
    for option, value in options.items():
        if option not in kind.options:
            known = ", ".join(kind.options) or "no option"
            problems.append(_option_error(option, f"{known} for the schedule {name!r}", repr(option)))
            continue
        low, high, closed = _LIMITS[option]
        if not (low <= value <= high and value < math.inf and (closed or low < value < high)):
            problems.append(_option_error(option, _range(low, high, closed), f"{value:g}"))
    return problems


def _range(low: float, high: float, closed: bool) -> str:
    if high == math.inf:
        return f"{low:g} or more" if closed else f"more than {low:g}"
    return f"a number from {low:g} to {high:g}" if closed else f"a number between {low:g} and {high:g}"


def _option_error(option: str, expected: str, got: str) -> UsageError:
    return UsageError(
        "Cannot plan the learning rate", where=option, expected=expected, got=got, hint=f"Leave out {option}, or give it another value"
    )
