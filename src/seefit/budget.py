"""What training several networks takes, and how many of them, with how many epochs, fit into the time that the user gives.

Everything follows from timings that are kept in the run folder as soon as they are known, so that a run that goes on after an
interrupt decides as it did before.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from seefit.files import to_json, write_text

TIMINGS = "timings.json"  # in the folder of checkpoints
MINUTES = 20.0  # unless the user says otherwise
LEAST_EPOCHS = 6  # rather fewer epochs than fewer networks, down to so many
MARGIN = 1.1  # by how much the plan may turn out too short
EXPLAINED = 450  # answers that explaining takes after a model is judged: maps, their checks, hidden places


@dataclass(frozen=True)
class Cost:
    """What one network takes on this computer, in seconds.

    Attributes:
        once: Its probe, the activations that are kept, and writing the trained network as a graph.
        epoch: An epoch, validation included.
        answers: Its answers to all images that are judged, in every view.
    """

    once: float
    epoch: float
    answers: float


@dataclass
class Timings:
    """The plan, and what came of it so far; all in seconds of work, not counting the time between an interrupt and a resume.

    Attributes:
        costs: What each network was thought to take, in the order in which they are trained.
        before: From the start of the run to that of the first network's training.
        networks: How many were to be trained.
        epochs: How often each was to see every image.
        seconds: What those that are trained took.
    """

    costs: list[Cost]
    before: float
    networks: int
    epochs: int
    seconds: list[float] = field(default_factory=list)

    def total(self, epochs: int) -> float:
        """Return how long the whole run is thought to take."""
        return self.before + sum(_training(cost, epochs) + cost.answers for cost in self.costs[: self.networks])

    def late(self, number: int, epochs: Sequence[float], minutes: float) -> bool:
        """Return whether one more epoch of a network would end too late. It follows from what is kept, so a run that goes on decides alike.

        Args:
            number: Of the network, from 0.
            epochs: Seconds of each of its epochs so far; the first one is always trained.
            minutes: What the whole run may take.
        """
        if not epochs:
            return False
        spent = self.before + sum(self.seconds[:number]) + self.costs[number].once + sum(epochs)
        return spent + epochs[-1] + sum(cost.answers for cost in self.costs[: number + 1]) > 60 * minutes

    def room_for_next(self, epochs: int, minutes: float) -> bool:
        """Return whether one more network can be trained, when it is as much slower than thought as those before it were."""
        done = len(self.seconds)
        thought = sum(_training(cost, epochs) for cost in self.costs[:done])
        pace = max(1.0, sum(self.seconds) / max(thought, 1e-9)) if done else 1.0
        left = _training(self.costs[done], epochs) + sum(cost.answers for cost in self.costs[: done + 1])
        return self.before + sum(self.seconds) + pace * left <= 60 * minutes


def plan_networks(costs: Sequence[Cost], before: float, minutes: float, *, usual: int, asked: int | None) -> Timings:
    """Choose how many networks are trained, and for how many epochs.

    As many networks as fit, the first ones; then as many epochs as fit, up to the usual number.

    Args:
        costs: Of each network, in the order in which they are trained; at least one.
        before: Seconds of the run until now.
        minutes: What the whole run may take.
        usual: The usual number of epochs.
        asked: The number of epochs that the user asked for; None for the usual number or fewer.

    Returns:
        The plan; of one network at least, which may take longer than the time there is.
    """
    left = 60 * minutes / MARGIN - before
    for count in range(len(costs), 0, -1):
        chosen = costs[:count]
        fixed, each = sum(cost.once + cost.answers for cost in chosen), sum(cost.epoch for cost in chosen)
        possible = math.floor((left - fixed) / max(each, 1e-9))
        if count == 1 or possible >= (asked or min(usual, LEAST_EPOCHS)):
            break
    return Timings(list(costs), before, count, asked or max(1, min(usual, possible)))


def read_timings(path: Path) -> Timings | None:
    """Return the timings that an earlier start of the run kept; None when it did not come so far."""
    if not path.is_file():
        return None
    record = json.loads(path.read_text("utf-8"))
    return Timings(**{**record, "costs": [Cost(**cost) for cost in record["costs"]]})


def keep_timings(path: Path, timings: Timings) -> None:
    """Write the timings, atomically.

    Raises:
        ResourceError: The disk is full or the place cannot be written to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, to_json(asdict(timings)))


def _training(cost: Cost, epochs: int) -> float:
    return cost.once + epochs * cost.epoch
