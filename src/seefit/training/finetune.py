"""The one training loop: epochs over batches, everything that can vary handed to it as an object.

The loop knows nothing of images, caches or options. All chance comes from (seed, epoch), so that an epoch can be
repeated exactly: a run that is broken off and resumed ends with the same weights as one that was not.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from seefit.console import QUIET, Advance, Console, silent
from seefit.errors import RunError
from seefit.memory import Memory
from seefit.training.checkpoint import (
    checkpoint_names,
    clear_strays,
    due_names,
    is_better,
    load_checkpoint,
    optimiser_tensors,
    restore_optimiser,
    save_checkpoint,
)
from seefit.training.history import Epoch, from_json, header, line, so_far
from seefit.training.losses import Loss
from seefit.training.network import rewinder
from seefit.training.optimisers import WeightAverage, set_rates
from seefit.training.schedule import Schedule

Mix = Callable[[tuple[Tensor, ...], Tensor, torch.Generator], tuple[tuple[Tensor, ...], Tensor]]


@dataclass(frozen=True)
class Batch:
    """Some images as the network takes them.

    Attributes:
        inputs: What the network is called with: first (B, c, h, w), then any (B, d).
        targets: (B, C) float32, rows sum to 1; further columns are for the loss alone, if it knows of any.
        weights: (B,) float32, at least 0.
    """

    inputs: tuple[Tensor, ...]
    targets: Tensor
    weights: Tensor


class Batches(Protocol):
    """Where batches come from: kept activations, or images."""

    def epoch(self, number: int) -> Iterator[Batch]:
        """Yield the batches of an epoch; the same ones whenever asked for the same epoch."""
        ...

    def __len__(self) -> int:
        """Return how many batches an epoch has."""
        ...


@dataclass
class Plan:
    """How to train: the objects that the loop calls.

    Attributes:
        epochs: How many.
        loss: Per image, from logits and targets.
        optimiser: Over the parameters that are trained; each group's ``initial_lr`` is its base rate.
        schedule: Multiplies the base rates, step by step.
        begin_epoch: Called with the network and the number of the epoch (from 0): puts it in training mode and frees layers.
        mix: Mixes the images of a batch.
        average: A moving average of the weights, which is what is validated and kept; None for the weights themselves.
        clip: Largest norm of the gradient; infinity for any.
        accumulate: Batches per step of the optimiser; the last step of an epoch may have fewer.
        memory: How many images of a batch are worked on at once; gradients of its pieces add up to those of the batch.
        precision: Gives the context of the forward pass.
        patience: Epochs without a better validation metric before training ends; None for never.
        enough: Asked before each epoch with the rows so far: gives the sentence with which training ends here, or None.
        monitor: The validation metric that tells the best epoch: ``loss``, ``accuracy`` or ``balanced_accuracy``.
        keep_best: Give back the weights of the best epoch; else those of the last.
        seed: Of mixing and dropout.
    """

    epochs: int
    loss: Loss
    optimiser: torch.optim.Optimizer
    schedule: Schedule
    begin_epoch: Callable[[nn.Module, int], None]
    mix: Mix | None = None
    average: WeightAverage | None = None
    clip: float = math.inf
    accumulate: int = 1
    memory: Memory = field(default_factory=Memory)
    precision: Callable[[], AbstractContextManager[Any]] = nullcontext
    patience: int | None = None
    enough: Callable[[Sequence[Epoch]], str | None] = lambda history: None
    monitor: str = "loss"
    keep_best: bool = True
    seed: int = 0


@dataclass
class State:
    """Where training is: what a checkpoint holds besides tensors."""

    epochs_done: int = 0
    best_epoch: int = 0
    best: float | None = None
    history: list[Epoch] = field(default_factory=list)


def finetune(
    network: nn.Module,
    plan: Plan,
    training: Batches,
    validation: Callable[[], Iterable[Batch]] | None,
    *,
    checkpoints: Path | None = None,
    every: int | None = None,
    console: Console = QUIET,
) -> list[Epoch]:
    """Train a network, from where its checkpoints end.

    Args:
        network: Called with a batch's inputs, gives logits (B, C). It ends with the weights to keep.
        plan: How to train.
        training: Its batches.
        validation: Gives the batches to validate on after each epoch; None for no validation.
        checkpoints: The folder of ``last``, ``best`` and every n-th checkpoint; None for none.
        every: Also keep the checkpoint of every so many epochs.
        console: Where each epoch is told.

    Returns:
        A row per epoch.

    Raises:
        RunError: The loss is not a number any more; the checkpoint of the epoch before stays.
        ResourceError: Out of memory with a single image.
    """
    state = _restore(network, plan, checkpoints)
    if state.epochs_done:
        console.say(f"Going on after epoch {state.epochs_done} of {plan.epochs}")
    best: dict[str, Tensor] | None = None
    started, first = time.monotonic(), state.epochs_done
    if first < plan.epochs:
        console.say(header(validated=validation is not None))
    for number in range(first, plan.epochs):
        if why := _patience_is_over(state, plan) or plan.enough(state.history):
            console.say(why)
            break
        row = _one_epoch(network, plan, training, validation, console, number)
        value = getattr(row, f"val_{plan.monitor}")
        better = validation is None or (math.isfinite(value) and is_better(plan.monitor, value, state.best))
        state.history.append(row)
        state.epochs_done = number + 1
        if better:
            state.best, state.best_epoch = (value if math.isfinite(value) else None), number + 1
            best = _kept_weights(network, plan) if plan.keep_best else None
        left = (time.monotonic() - started) / (number + 1 - first) * (plan.epochs - number - 1)
        console.say(line(row, plan.epochs, left, best=better and validation is not None))
        if checkpoints is not None:
            _save(checkpoints, network, plan, state, better=better and validation is not None, every=every)
    _finish(network, plan, state, best, checkpoints)
    return state.history


def _one_epoch(
    network: nn.Module,
    plan: Plan,
    training: Batches,
    validation: Callable[[], Iterable[Batch]] | None,
    console: Console,
    number: int,
) -> Epoch:
    started = time.monotonic()
    with console.bar(f"Epoch {number + 1}/{plan.epochs}", len(training), "batches") as advance:
        loss, accuracy, images = _train_epoch(network, plan, training, number, advance)
    trained = time.monotonic() - started
    found = _validate(network, plan, validation()) if validation else (math.nan, math.nan, math.nan)
    if validation:
        plan.schedule.observe(found[0])
    rate = max(float(group["lr"]) for group in plan.optimiser.param_groups)
    return Epoch(number + 1, loss, accuracy, *found, rate, images / max(trained, 1e-9), time.monotonic() - started)


def _train_epoch(network: nn.Module, plan: Plan, training: Batches, number: int, advance: Advance = silent) -> tuple[float, float, int]:
    """Return the mean loss, the accuracy and the number of images."""
    generator = torch.Generator().manual_seed(plan.seed * 1_000_003 + number)
    total = hits = mass = 0.0
    images = 0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed * 1_000_033 + number)  # dropout draws from torch's own generator
        plan.begin_epoch(network, number)
        step = number * math.ceil(len(training) / plan.accumulate)
        plan.optimiser.zero_grad(set_to_none=True)
        for count, batch in enumerate(training.epoch(number), 1):
            value, right = backward(network, plan, batch, generator, 1 / _batches_of_step(plan, len(training), count))
            if not math.isfinite(value):
                raise _not_a_number(plan, number, count)
            weight = float(batch.weights.sum())
            total, hits, mass, images = total + value * weight, hits + right, mass + weight, images + len(batch.weights)
            advance(1, so_far(total / max(mass, 1e-12), hits / max(mass, 1e-12)))
            if count % plan.accumulate == 0 or count == len(training):
                take_step(network, plan, plan.schedule.factor(step))
                step += 1
    return total / max(mass, 1e-12), hits / max(mass, 1e-12), images


def _batches_of_step(plan: Plan, batches: int, count: int) -> int:
    """Return how many batches share a step with the given one, counted from 1."""
    before = (count - 1) // plan.accumulate * plan.accumulate
    return min(plan.accumulate, batches - before)


def backward(network: nn.Module, plan: Plan, batch: Batch, generator: torch.Generator, share: float) -> tuple[float, float]:
    """Mix a batch and add a share of its gradient; return its loss and its weight of images that are right.

    The batch goes through the network in as many pieces as memory asks for. Each piece counts by its part of the batch's weight, so that
    together they give the gradient of the whole batch. A loss that is NaN or infinite adds no gradient.

    Args:
        network: As for `finetune`.
        plan: Likewise.
        batch: Not mixed yet.
        generator: What mixing draws from.
        share: Of the batch in a step of the optimiser, which may have several.
    """
    inputs, mixed = (batch.inputs, batch.targets) if plan.mix is None else plan.mix(batch.inputs, batch.targets, generator)
    mass = batch.weights.sum().clamp_min(1e-12)

    def work(piece: slice) -> tuple[float, float]:
        targets, weights = mixed[piece], batch.weights[piece]
        logits = _logits(network, plan, inputs, piece)
        loss = (plan.loss(logits, targets) * weights).sum() / mass
        value = float(loss.detach())
        if math.isfinite(value):
            (loss * share).backward()  # type: ignore[no-untyped-call]
        right = (logits.detach().argmax(1) == targets[:, : logits.shape[1]].argmax(1)).float() @ weights
        return value, float(right)

    values, rights = zip(*plan.memory.each(len(batch.weights), work, rewinder(network)), strict=True)
    return sum(values), sum(rights)


def _logits(network: nn.Module, plan: Plan, inputs: tuple[Tensor, ...], piece: slice) -> Tensor:
    with plan.precision():
        logits: Tensor = network(*(tensor[piece] for tensor in inputs))
    return logits.float()


def take_step(network: nn.Module, plan: Plan, factor: float) -> None:
    """Move the weights along the gradients, at the base rates times a factor, and clear the gradients."""
    set_rates(plan.optimiser, factor)
    if math.isfinite(plan.clip):
        nn.utils.clip_grad_norm_([p for group in plan.optimiser.param_groups for p in group["params"]], plan.clip)
    plan.optimiser.step()
    plan.optimiser.zero_grad(set_to_none=True)
    if plan.average is not None:
        plan.average.update(network)


@torch.no_grad()
def _validate(network: nn.Module, plan: Plan, batches: Iterable[Batch]) -> tuple[float, float, float]:
    """Return cross-entropy, accuracy and balanced accuracy on the validation part, of the weights that would be kept."""
    logits, targets, weights = predict_batches(network, plan, batches)
    losses = -(targets * logits.log_softmax(1)).sum(1)
    truth = targets.argmax(1)
    right = (logits.argmax(1) == truth).double()
    recalls = torch.stack([right[truth == label].mean() for label in sorted(set(truth.tolist()))])
    mean = weights.double() / weights.sum().clamp_min(1e-12)
    return float(losses.double() @ mean), float(right @ mean), float(recalls.mean())


@torch.no_grad()
def predict_batches(network: nn.Module, plan: Plan, batches: Iterable[Batch]) -> tuple[Tensor, Tensor, Tensor]:
    """Return logits (N, C) of the weights that would be kept, targets (N, C) and weights (N,)."""
    with _averaged(network, plan):
        network.eval()
        found = [(_forward(network, plan, batch), batch.targets, batch.weights) for batch in batches]
    logits, targets, weights = (torch.cat(tensors) for tensors in zip(*found, strict=True))
    return logits, targets, weights


def _forward(network: nn.Module, plan: Plan, batch: Batch) -> Tensor:
    return torch.cat(plan.memory.each(len(batch.weights), lambda piece: _logits(network, plan, batch.inputs, piece)))


def _averaged(network: nn.Module, plan: Plan) -> AbstractContextManager[None]:
    """Give the network its averaged weights for a while, where there is an average."""
    return nullcontext() if plan.average is None else plan.average.applied(network)


def _kept_weights(network: nn.Module, plan: Plan) -> dict[str, Tensor]:
    """Return the weights that would be kept now: the average where there is one."""
    with _averaged(network, plan):
        return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


def _patience_is_over(state: State, plan: Plan) -> str | None:
    if plan.patience is None or state.epochs_done - state.best_epoch < plan.patience:
        return None
    return f"No better {plan.monitor} for {plan.patience} epochs: training ends"


# ---- checkpoints ----------------------------------------------------------------------------------------------


def _save(folder: Path, network: nn.Module, plan: Plan, state: State, *, better: bool, every: int | None) -> None:
    tensors = {f"network/{name}": tensor for name, tensor in network.state_dict().items()}
    tensors |= {f"optimiser/{name}": tensor for name, tensor in optimiser_tensors(plan.optimiser).items()}
    if plan.average is not None:
        tensors |= {f"average/{name}": tensor for name, tensor in plan.average.tensors().items()}
    row = state.history[-1]
    record = {**asdict(state), "epoch": row.epoch, "loss": row.loss, "val_loss": row.val_loss}
    record |= {"schedule": plan.schedule.state(), "at_once": plan.memory.images}
    for name in due_names(row.epoch, every=every or 0, is_best=better):
        kept = {f"network/{n}": t for n, t in _kept_weights(network, plan).items()} if name == "best" else tensors
        save_checkpoint(folder, name, kept, record)


def _restore(network: nn.Module, plan: Plan, folder: Path | None) -> State:
    if folder is None or "last" not in checkpoint_names(folder):
        return State()
    clear_strays(folder)
    tensors, record = load_checkpoint(folder, "last")
    network.load_state_dict(_below("network/", tensors))
    restore_optimiser(plan.optimiser, _below("optimiser/", tensors))
    if plan.average is not None:
        plan.average.restore(_below("average/", tensors))
    plan.schedule.restore(record["schedule"])
    plan.memory.images = record.get("at_once")
    return State(record["epochs_done"], record["best_epoch"], record["best"], [from_json(row) for row in record["history"]])


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _finish(network: nn.Module, plan: Plan, state: State, best: dict[str, Tensor] | None, checkpoints: Path | None) -> None:
    """Give the network the weights to keep: those of the best epoch, or of the last."""
    if not plan.keep_best or state.best_epoch in (state.epochs_done, 0):
        network.load_state_dict(_kept_weights(network, plan))
    elif best is not None:
        network.load_state_dict(best)
    elif checkpoints is not None:
        network.load_state_dict(_below("network/", load_checkpoint(checkpoints, "best")[0]))
    network.eval()


# ---- words ----------------------------------------------------------------------------------------------------


def _not_a_number(plan: Plan, number: int, count: int) -> RunError:
    rate = max(group["initial_lr"] for group in plan.optimiser.param_groups)
    return RunError(
        "The loss is not a number any more",
        where=f"epoch {number + 1}, batch {count}",
        expected="a finite loss",
        got="NaN or infinity",
        hint=f"Train with a smaller rate, such as --lr {rate / 10:.1g}; the state after epoch {number} is kept",
    )
