"""The learning-rate finder: a short sweep of rising rates, and what the curve of the loss suggests.

The rate rises by equal factors from batch to batch, as in Smith 2015 (arXiv 1506.01186, section 3.3) and in fastai, with the
plan's own optimiser, loss, mixing, clipping and precision. Afterwards everything is as it was. The head starts as a fitted probe, so
the loss may start so low that no rate lowers it clearly; then that is what is said.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import math
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from seefit.console import QUIET, Console
from seefit.errors import RunError
from seefit.training.finetune import Batch, Batches, Plan, backward, take_step

STEPS = 100  # of the optimiser, as in fastai
SPAN = 1e4  # the sweep goes from the usual rate divided by this to the usual rate times this
SETTLE = 20  # first steps, at rates too small to matter: they tell the level of the loss and how much it varies by chance
SMOOTHING = 0.9  # share of the mean that stays at each step
DIVERGENCE = 4.0  # the sweep ends when the smoothed loss is so many times the lowest, as in fastai
CLEAR_NOISE = 4.0  # a change of the smoothed loss is clear beyond so many standard deviations of it,
CLEAR_SHARE = 0.05  # and beyond this share of the level

Floats = NDArray[np.float64]
Kind = Literal["fall", "rise", "flat"]

_WHY: dict[Kind, str] = {
    "fall": "the middle of the fall of the loss",
    "rise": "no rate lowers the loss clearly; a tenth of the rate at which it begins to rise",
    "flat": "no rate changes the loss clearly; the usual rate",
}


@dataclass(frozen=True)
class Curve:
    """What a sweep saw.

    Attributes:
        usual: The rate of the head that the sweep is laid around.
        rates: (n,) learning rates of the head, rising by equal factors.
        losses: (n,) training loss before the step at that rate, as trained: with mixing and augmentation. The last may be infinite or NaN.
        diverged: Whether the sweep ended because the loss diverged, at the last rate.
    """

    usual: float
    rates: Floats
    losses: Floats
    diverged: bool

    @property
    def smoothed(self) -> Floats:
        """(n,) the loss as `smooth` gives it."""
        return smooth(self.losses)


@dataclass(frozen=True)
class Suggestion:
    """A learning rate for the head, and where it comes from.

    Attributes:
        rate: With two digits.
        kind: ``fall``: in the middle of the fall of the loss; ``rise``: the loss only rises, a tenth of where that begins;
            ``flat``: it does neither, the usual rate.
    """

    rate: float
    kind: Kind

    @property
    def why(self) -> str:
        """Where the rate comes from, in words."""
        return _WHY[self.kind]


def sweep(network: nn.Module, plan: Plan, training: Batches, *, seconds_per_batch: float = 0.0, console: Console = QUIET) -> Curve:
    """Train for a moment at rising rates and watch the loss; everything is as it was afterwards.

    The rates of all depths rise by the same factor, so their ratio stays. Stages that are freed late are free from the beginning.

    Args:
        network: As for the loop. Its weights, buffers and modes end as they were, and it has no gradients.
        plan: Likewise; the state of its optimiser ends as it was. Its schedule and average are left alone.
        training: The batches to train on.
        seconds_per_batch: As measured: tells how long it takes.
        console: Where progress is shown.

    Returns:
        At most `STEPS` points; fewer when the loss diverged.

    Raises:
        RunError: The loss is no number before any rate matters.
        ResourceError: Out of memory.
    """
    usual = max(float(group["initial_lr"]) for group in plan.optimiser.param_groups)
    factors = np.geomspace(1 / SPAN, SPAN, STEPS)
    losses: list[float] = []
    minutes = STEPS * plan.accumulate * seconds_per_batch / 60
    console.say(f"Looking for a learning rate: at most {STEPS} steps at rising rates, about {max(minutes, 0.1):.1f} min")
    with (
        _put_back(network, plan.optimiser),
        torch.random.fork_rng(devices=[]),
        contextlib.closing(_endless(training)) as batches,
        console.bar("Rising rates", STEPS, "steps") as advance,
    ):
        torch.manual_seed(plan.seed)
        generator, trial = torch.Generator().manual_seed(plan.seed), replace(plan, average=None)
        plan.begin_epoch(network, plan.epochs - 1)
        for factor in factors.tolist():
            values = [
                backward(network, plan, batch, generator, 1 / plan.accumulate)[0] for batch in itertools.islice(batches, plan.accumulate)
            ]
            losses.append(float(np.mean(values)))
            if _has_diverged(losses):
                break
            take_step(network, trial, factor)
            advance(1)
    if len(losses) <= SETTLE:
        raise _no_number(usual * factors[len(losses) - 1])
    return Curve(usual, usual * factors[: len(losses)], np.array(losses), _has_diverged(losses))


def smooth(losses: NDArray[np.float64]) -> Floats:
    """Return the exponential mean of (n,) losses up to each, corrected for its start at zero (Kingma and Ba 2015, section 3)."""
    mean, smoothed = 0.0, np.empty(len(losses))
    for step, loss in enumerate(losses.tolist(), 1):
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        smoothed[step - 1] = mean / (1 - SMOOTHING**step)
    return smoothed


def suggest(curve: Curve) -> Suggestion:
    """Suggest a learning rate for the head.

    Where the loss falls clearly, it is the middle of that valley, by equal factors, from where the fall is clear to the lowest loss. So
    does fastai (``SuggestionMethod.Valley``), whose valley is the longest series of ever lower values instead: on a calm curve that
    begins at the first rates, whose fall is too small to see. A fall or rise is clear when it is beyond chance (`CLEAR_NOISE`) and not
    tiny (`CLEAR_SHARE`).

    Args:
        curve: Of more than `SETTLE` points.
    """
    rates, smoothed = curve.rates[SETTLE:], curve.smoothed[SETTLE:]
    level, margin = _level(curve.losses)
    lowest = int(np.argmin(np.nan_to_num(smoothed, nan=np.inf)))
    if smoothed[lowest] < level - margin:
        begin = 1 + int(np.flatnonzero(smoothed[:lowest] >= level - margin).max(initial=-1))
        return Suggestion(two_digits(rates[(begin + lowest) // 2]), "fall")
    risen = 1 + int(np.flatnonzero(smoothed <= level + margin).max(initial=-1))  # from here on the loss stays above its level
    if risen < len(rates):
        return Suggestion(two_digits(rates[risen] / 10), "rise")
    return Suggestion(two_digits(curve.usual), "flat")


def two_digits(rate: float) -> float:
    """Round a rate to two significant digits: as it is said, so it is used."""
    return float(f"{rate:.2g}")


def _level(losses: Floats) -> tuple[float, float]:
    """Return the loss before any rate matters, and by how much the smoothed loss must differ from it to do so clearly."""
    first = losses[:SETTLE]
    level = float(first.mean())
    noise = float(first.std(ddof=1)) * math.sqrt((1 - SMOOTHING) / (1 + SMOOTHING))
    return level, max(CLEAR_NOISE * noise, CLEAR_SHARE * abs(level))


def _has_diverged(losses: list[float]) -> bool:
    """Say whether the last loss is no number, or the smoothed loss far above its lowest and above where it began."""
    if not math.isfinite(losses[-1]):
        return True
    if len(losses) <= SETTLE:
        return False
    smoothed = smooth(np.array(losses))[SETTLE - 1 :]
    level, margin = _level(np.array(losses))
    lowest, last = float(smoothed.min()), float(smoothed[-1])
    return last > lowest + (DIVERGENCE - 1) * abs(lowest) and last > level + margin


def _endless(training: Batches) -> Generator[Batch]:
    for number in itertools.count():
        yield from training.epoch(number)


@contextlib.contextmanager
def _put_back(network: nn.Module, optimiser: torch.optim.Optimizer) -> Iterator[None]:
    """Let the block change what it likes, and put everything back after it."""
    tensors = [*network.parameters(), *network.buffers()]
    kept = [tensor.detach().clone() for tensor in tensors]
    free = [(parameter, parameter.requires_grad) for parameter in network.parameters()]
    modes = [(module, module.training) for module in network.modules()]
    state = copy.deepcopy(optimiser.state_dict())
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, before in zip(tensors, kept, strict=True):
                tensor.copy_(before)
        for parameter, is_free in free:
            parameter.requires_grad_(is_free)
        for module, mode in modes:
            module.training = mode
        network.zero_grad(set_to_none=True)
        optimiser.load_state_dict(state)


def _no_number(rate: float) -> RunError:
    return RunError(
        "Cannot look for a learning rate",
        where=f"the sweep at {rate:.1e}",
        expected="a finite loss while the rate is too small to matter",
        got="NaN or infinity",
        hint="Try another --loss, or --precision fp32",
    )
