"""How the upper layers are trained: the settings turned into the objects that the one loop calls."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from seefit.console import QUIET, Console
from seefit.environment import threads
from seefit.files import to_json, write_text
from seefit.memory import Memory
from seefit.models.cut import freeze_norms, trained_stages
from seefit.settings import Settings
from seefit.training.augment import Augmentation
from seefit.training.distillation import distilled
from seefit.training.finetune import Batch, Batches, Plan
from seefit.training.losses import Loss, make_loss, try_loss
from seefit.training.lr_find import suggest, sweep, two_digits
from seefit.training.mixing import Mixing
from seefit.training.network import TrainedNetwork
from seefit.training.optimisers import WeightAverage, depth_groups, make_optimiser, parse_rates, scale_rate, spread_rates
from seefit.training.schedule import make_schedule

RATES = {"adam": 1e-3, "adamw": 1e-3, "rmsprop": 3e-4, "adagrad": 1e-2, "momentum": 1e-2, "sgd": 3e-2}  # from scratch, for batches of 64
HEAD_TIMES, LOWEST_TIMES = 2.0, 0.3  # fine-tuning: the rate of the head and of the lowest trained layer, in units of these
TRIAL_STEPS = 2  # timed, after one that does not count
HOPELESS = 2.0  # a precision whose first step takes so many times longer than the other's is not tried further

Rates = tuple[float, float]  # of the lowest trained layer and of the head


@dataclass(frozen=True)
class Choice:
    """What was measured on this machine before training: the precision to train in, and seconds per batch."""

    precision: str
    seconds_per_batch: float


def choose_precision(
    settings: Settings, network: TrainedNetwork, batch: Batch, checkpoints: Path | None, memory: Memory | None = None
) -> Choice:
    """Measure which precision is faster here; a run that goes on keeps what it began with.

    Args:
        settings: What the user chose.
        network: What is to be trained.
        batch: One of its batches.
        checkpoints: Where the choice is kept; None to keep nothing.
        memory: Learns how many images fit at once.
    """
    record = checkpoints / ".choice.json" if checkpoints is not None else None
    if record is not None and record.is_file():
        return Choice(**json.loads(record.read_text()))
    memory = memory or Memory()
    names = ["fp32", "bf16"] if settings.precision == "auto" else [settings.precision]
    choice, hopeless = Choice(names[0], math.inf), math.inf
    for name in names:
        first, seconds = _time(network, batch, name, memory, hopeless)
        choice, hopeless = min(choice, Choice(name, seconds), key=lambda found: found.seconds_per_batch), HOPELESS * first
    if record is not None:
        record.parent.mkdir(parents=True, exist_ok=True)
        write_text(record, to_json({"precision": choice.precision, "seconds_per_batch": choice.seconds_per_batch}))
    return choice


def _time(network: TrainedNetwork, batch: Batch, precision: str, memory: Memory, hopeless: float) -> tuple[float, float]:
    """Return the seconds that forward and backward take for a batch, the first time and then; nothing of the network changes.

    When the first time takes longer than what is ``hopeless``, the second is infinity.
    """

    def work(piece: slice) -> None:
        with _precision(precision):
            loss = network(*(tensor[piece] for tensor in batch.inputs)).float().logsumexp(1).mean()
        loss.backward()

    def timed() -> float:
        started = time.perf_counter()
        memory.each(len(batch.weights), work)
        return time.perf_counter() - started

    network.eval()
    first = timed()
    best = min(timed() for _ in range(TRIAL_STEPS)) if first <= hopeless else math.inf
    network.zero_grad(set_to_none=True)
    return first, best


def _precision(name: str) -> AbstractContextManager[Any]:
    return torch.autocast("cpu", torch.bfloat16) if name == "bf16" else nullcontext()


def make_plan(
    settings: Settings,
    network: TrainedNetwork,
    augmentation: Augmentation,
    batches: int,
    choice: Choice,
    *,
    validated: bool,
    rates: Rates | None = None,
) -> Plan:
    """Turn the settings into the objects that the loop calls.

    Args:
        settings: What the user chose.
        network: What is trained.
        augmentation: Gives the mixing, unless the settings do.
        batches: How many an epoch has.
        choice: Of the precision.
        validated: Whether there is a validation part, which tells the best epoch.
        rates: Those that were found; None for those of the settings, or the usual ones of the optimiser.

    Raises:
        UsageError: A schedule, rate or loss that cannot be had.
    """
    epochs = settings.planned_epochs
    steps = math.ceil(batches / settings.accumulate)
    stages = [*(trained_stages(network.upper) if network.upper is not None else []), list(network.head.named_parameters("head"))]
    low, high = rates or _base_rates(settings)
    groups = depth_groups(stages, spread_rates(low, high, len(stages), settings.lr_spacing), settings.weight_decay)
    mixing = Mixing(
        mixup=augmentation.mixup if settings.mixup is None else settings.mixup,
        cutmix=augmentation.cutmix if settings.cutmix is None else settings.cutmix,
        noise=augmentation.noise if settings.noise is None else settings.noise,
    )
    return Plan(
        epochs=epochs,
        loss=_loss(settings, network.head.classes),
        optimiser=make_optimiser(settings.optimiser, groups, momentum=settings.momentum),
        schedule=make_schedule(
            settings.schedule, steps_per_epoch=steps, epochs=epochs, warmup=settings.warmup, rate=high, **settings.schedule_options
        ),
        begin_epoch=_begin_epoch(settings, [[parameter for _, parameter in stage] for stage in stages]),
        mix=mixing if mixing != Mixing() else None,
        average=WeightAverage(network, settings.average) if settings.average else None,
        clip=settings.clip or math.inf,
        accumulate=settings.accumulate,
        precision=lambda: _precision(choice.precision),
        patience=settings.patience,
        monitor=settings.monitor,
        keep_best=validated and settings.keep == "best",
        seed=settings.seed,
    )


def _loss(settings: Settings, classes: int) -> Loss:
    loss = make_loss(_loss_name(settings), label_smoothing=settings.label_smoothing, focal_gamma=settings.focal_gamma)
    try_loss(loss, classes)
    return loss if settings.teacher is None else distilled(loss, settings.teacher_weight, settings.teacher_temperature)


def _loss_name(settings: Settings) -> str:
    """Return the loss; for one logit its binary cross-entropy without the ln 2 that the first class, whose logit is 0, would add."""
    return "cross-entropy" if (settings.head, settings.loss) == ("logit", "binary-cross-entropy") else settings.loss


def _base_rates(settings: Settings) -> Rates:
    """Return the rates that were given, else the usual ones of the optimiser."""
    usual = RATES[settings.optimiser]
    by_depth = (usual, usual) if settings.from_scratch else (LOWEST_TIMES * usual, HEAD_TIMES * usual)
    low, high = parse_rates(settings.lr or "auto") or by_depth
    return (scale_rate(low, settings.batch), scale_rate(high, settings.batch)) if settings.scale_lr else (low, high)


def is_sought(settings: Settings) -> bool:
    """Say whether the rate is to be looked for (``--lr auto``).

    Raises:
        UsageError: A rate that cannot be.
    """
    return settings.lr is not None and parse_rates(settings.lr) is None


def spread(rate: float, plan: Plan) -> Rates:
    """Return the rates of the lowest trained layer and of the head for a rate of the head that was found, as far apart as a plan's."""
    lowest, head = (float(plan.optimiser.param_groups[i]["initial_lr"]) for i in (0, -1))
    return two_digits(rate * lowest / head), rate


def rates_text(plan: Plan) -> str:
    """Return the base rates of a plan as ``--lr`` takes them: ``0.0003..0.002``, or one where there is one depth."""
    groups = plan.optimiser.param_groups
    low, high = (float(group["initial_lr"]) for group in (groups[0], groups[-1]))
    return f"{low!r}..{high!r}" if low < high else repr(high)


def find_rates(
    plan: Plan, choice: Choice, network: TrainedNetwork, training: Batches, checkpoints: Path | None, *, console: Console = QUIET
) -> Rates:
    """Look for the rates with a short sweep over training batches; a run that goes on keeps those it began with.

    Args:
        plan: With the usual rates; ends as it was.
        choice: Of the precision: tells how long it takes.
        network: What is to be trained; ends as it was.
        training: Its batches.
        checkpoints: Where the rates are kept; None to keep nothing.
        console: Where to say what was found.

    Raises:
        RunError: The loss is no number, whatever the rate.
    """
    record = checkpoints / ".rates.json" if checkpoints is not None else None
    if record is not None and record.is_file():
        low, high = json.loads(record.read_text())
        console.say(f"Learning rate of the head: {high:g}, found when the run began")
        return low, high
    found = suggest(sweep(network, plan, training, seconds_per_batch=choice.seconds_per_batch, console=console))
    rates = spread(found.rate, plan)
    console.say(f"Learning rate of the head: {found.rate:g} ({found.why})")
    if record is not None:
        record.parent.mkdir(parents=True, exist_ok=True)
        write_text(record, to_json(rates))
    return rates


def _begin_epoch(settings: Settings, stages: list[list[nn.Parameter]]) -> Callable[[nn.Module, int], None]:
    """Return what puts the network in training mode for an epoch, and frees one stage more every so many epochs."""

    def begin(network: nn.Module, number: int) -> None:
        free = 1 + number // settings.gradual if settings.gradual else len(stages)
        for depth, stage in enumerate(reversed(stages)):
            for parameter in stage:
                parameter.requires_grad_(depth < free)
        network.train()
        freeze_norms(network, trained=settings.trains_norms)

    return begin


def promise(settings: Settings, what: str, network: TrainedNetwork, plan: Plan, choice: Choice, batches: int) -> str:
    """Say what will be trained, how, and how long it will take on this computer."""
    trained = sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
    minutes = plan.epochs * batches * choice.seconds_per_batch / 60
    doing = f"Training {what} from scratch" if settings.from_scratch else f"Fine-tuning {what}"
    return (
        f"{doing}: {trained:,} weights, {plan.epochs} epochs of {settings.optimiser} in {choice.precision} "
        f"on {threads()} threads, about {max(minutes, 0.1):.1f} min"
    )
