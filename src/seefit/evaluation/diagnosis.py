"""Whether a model learnt too little or too much, told from the curves of its training: level, gap and trend.

The rule is that of a published project (source A in docs/coverage.md): training at 90 % or more while validation stands still or falls is
over-fitting; training under 90 % means training longer; validation above training is no error, since training sees changed pictures through
dropout. Two things are added, so that chance is not mistaken for a finding: a trend is a slope over several epochs whose 95 % interval
leaves out zero, and a gap is one that reaches beyond the 95 % interval of the validation figure.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from seefit.evaluation.intervals import Estimate, Floats, estimate

Direction = Literal["rising", "still", "falling", "unknown"]
Kind = Literal["diverging", "too_few", "unvalidated", "over", "under", "unfinished", "good"]
Way = Literal["longer", "augmentation", "model", "rate"]

LEARNT = 0.9  # training accuracy from which the training images count as learnt
FEWEST_EPOCHS = 4  # from which a trend can be told from chance
SMALLEST_CHANGE = 0.005  # of an accuracy over the epochs looked at, below which nobody cares
SMALLEST_LOSS_CHANGE = 0.02  # of a loss, as a share of it
SPENT_RATE = 0.1  # of its highest value: a learning rate below it changes little any more
RISEN_LOSS = 1.2  # times the lowest training loss: more than a last unlucky epoch
LOST = 0.1  # of what the training loss had fallen
STEPS = ((20_000, 500), (500_000, 10_000), (math.inf, 20_000))  # training images below which so many steps are enough
FEWEST_TO_ADVISE, MOST_TO_ADVISE = 10, 100  # epochs


@dataclass(frozen=True)
class Trend:
    """The slope per epoch of a curve's last epochs with its 95 % interval; None where there are too few."""

    slope: float | None
    low: float | None
    high: float | None
    epochs: int
    direction: Direction


@dataclass(frozen=True)
class Curves:
    """The epochs of a training, each (E,): losses in nats, accuracies 0 to 1; NaN in ``val_…`` without a validation part."""

    loss: Floats
    accuracy: Floats
    val_loss: Floats
    val_accuracy: Floats
    rate: Floats


@dataclass(frozen=True)
class Try:
    """Something that may be tried next: whether it is worth it, and why."""

    way: Way
    worth: bool
    why: str


@dataclass(frozen=True)
class Diagnosis:
    """What was found, and the numbers that it rests on.

    Attributes:
        kind: ``diverging``: the training loss rose; ``too_few`` epochs to say; ``unvalidated``: no validation part; ``over``: training
            images are known far better than others; ``under``: training images are not learnt yet; ``unfinished``: validation still
            gets better; ``good``: none of these.
        train: Training accuracy, mean of the last three epochs; of a probe, of the fitted head.
        held_out: Accuracy on images that were not learnt from, likewise, with its 95 % interval.
        gap: The first less the second.
        trends: Of ``loss``, ``accuracy``, ``val_loss`` and ``val_accuracy``.
        notes: ``val_above``: validation is above training; ``spent``: the learning rate had run out; ``stopped``: training ended by
            itself; ``surer``: validation loss rises while its accuracy does not fall.
        tries: What to try next, in order: longer, augmentation, another model.
        epochs: How many are enough for so many images.
    """

    kind: Kind
    train: float | None
    held_out: Estimate
    gap: float | None
    trends: dict[str, Trend]
    notes: tuple[str, ...]
    tries: tuple[Try, ...]
    epochs: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return asdict(self)


def trend(values: Floats, smallest: float) -> Trend:
    """Return the slope of a curve over its last third, at least its last four epochs, against their scatter.

    Args:
        values: (E,) one value per epoch.
        smallest: Change over the epochs looked at below which the curve stands still, whatever the interval says.

    Returns:
        The least-squares slope with its t interval. ``rising`` or ``falling`` needs an interval without zero and that change.
    """
    from scipy.special import stdtrit

    count = max(FEWEST_EPOCHS, math.ceil(len(values) / 3))
    last = values[-count:]
    if len(last) < FEWEST_EPOCHS or not np.isfinite(last).all():
        return Trend(None, None, None, len(last), "unknown")
    steps = np.arange(count) - (count - 1) / 2
    spread = float(steps @ steps)
    slope = float(steps @ last) / spread
    rest = last - last.mean() - slope * steps
    half = float(stdtrit(count - 2, 0.975)) * math.sqrt(float(rest @ rest) / (count - 2) / spread)
    moves = abs(slope) > half and abs(slope) * (count - 1) >= smallest
    direction: Direction = "still" if not moves else "rising" if slope > 0 else "falling"
    return Trend(slope, slope - half, slope + half, count, direction)


def enough_epochs(images: int, batch: int) -> int:
    """Return how many epochs are enough for so many training images.

    Few images need more epochs, since it is the steps that teach: 500 of them up to 20,000 images, 10,000 up to 500,000, 20,000 beyond
    (BiT-HyperRule, Kolesnikov et al. 2020, arXiv 1912.11370, section 3.3). No fewer than 10 epochs and no more than 100.

    Args:
        images: Of the training part.
        batch: Images per step.
    """
    steps = next(steps for below, steps in STEPS if images < below)
    return min(MOST_TO_ADVISE, max(FEWEST_TO_ADVISE, math.ceil(steps / math.ceil(images / batch))))


def best_epoch(history: list[dict[str, float]], monitor: str) -> int | None:
    """Return the number of the epoch whose validation metric is best, the first of equals; None without a validation part.

    Args:
        history: A mapping per epoch with ``epoch`` and ``val_<monitor>``.
        monitor: ``loss``, ``accuracy`` or ``balanced_accuracy``.
    """
    known = [row for row in history if math.isfinite(row[f"val_{monitor}"])]
    sign = 1 if monitor == "loss" else -1
    return int(min(known, key=lambda row: sign * row[f"val_{monitor}"])["epoch"]) if known else None


def diagnose(curves: Curves, margin: float, *, images: int, batch: int, stopped: bool = False) -> Diagnosis:
    """Diagnose a training from its epochs.

    Args:
        curves: The epochs.
        margin: Half the width of the 95 % interval of the validation accuracy: how far chance may move it.
        images: Of the training part.
        batch: Images per step.
        stopped: Whether training ended by itself, since validation got no better for long enough.
    """
    trends = {
        "loss": trend(curves.loss, SMALLEST_LOSS_CHANGE * _level(curves.loss)),
        "accuracy": trend(curves.accuracy, SMALLEST_CHANGE),
        "val_loss": trend(curves.val_loss, SMALLEST_LOSS_CHANGE * _level(curves.val_loss)),
        "val_accuracy": trend(curves.val_accuracy, SMALLEST_CHANGE),
    }
    level, held = _level(curves.accuracy), _level(curves.val_accuracy)
    kind = _kind(curves, trends, float(np.fmax(level, held)), clear=level - held > margin)
    spent = bool(curves.rate[-1] < SPENT_RATE * curves.rate.max())
    notes = {
        "val_above": held - level > margin / 2,
        "spent": spent,
        "stopped": stopped,
        "surer": trends["val_loss"].direction == "rising" and trends["val_accuracy"].direction != "falling",
    }
    return Diagnosis(
        kind,
        level if math.isfinite(level) else None,
        estimate(held, max(0.0, held - margin), min(1.0, held + margin)),
        level - held if math.isfinite(level - held) else None,
        trends,
        tuple(note for note, there in notes.items() if there),
        _tries(kind, trends, stopped=stopped, spent=spent),
        enough_epochs(images, batch),
    )


def diagnose_probe(train: float, held_out: Estimate) -> Diagnosis:
    """Diagnose a head that was fitted to the end: what it knows of its own images against what it knows of others.

    Its penalty was chosen so that images held out in turn have the lowest loss, so it cannot be trained too long. A gap tells that more
    images, or changed ones, would help; a low level that the frozen features do not tell the classes apart.

    Args:
        train: Accuracy of the fitted head on the images it was fitted on.
        held_out: Accuracy over folds, or of the validation part, with its 95 % interval.
    """
    gap = None if held_out.value is None else train - held_out.value
    clear = held_out.high is not None and train > held_out.high
    kind: Kind = "unvalidated" if gap is None else "under" if train < LEARNT else "over" if clear else "good"
    tries = (
        Try("longer", worth=False, why="fitted"),
        Try("augmentation", worth=kind == "over", why="gap" if kind == "over" else "no_gap"),
        Try("model", worth=kind == "under", why="level" if kind == "under" else "later" if kind == "over" else "no_need"),
    )
    return Diagnosis(kind, train, held_out, gap, {}, (), tries)


def _level(values: Floats) -> float:
    """Return the mean of the last three epochs: one alone is moved by chance."""
    return float(values[-3:].mean())


def _kind(curves: Curves, trends: dict[str, Trend], level: float, *, clear: bool) -> Kind:
    """Apply the rule; ``clear`` says whether training is above validation beyond chance."""
    held_out = trends["val_accuracy"].direction
    if _diverges(curves.loss):
        return "diverging"
    if len(curves.loss) < FEWEST_EPOCHS:
        return "too_few"
    if clear and held_out == "falling":
        return "over"  # also below 90 %: what it still learns, it learns by heart
    if level < LEARNT:
        return "under"
    return "unvalidated" if held_out == "unknown" else "unfinished" if held_out == "rising" else "over" if clear else "good"


def _diverges(loss: Floats) -> bool:
    """Return whether the training loss is no number, or ended far above its lowest value."""
    if not np.isfinite(loss).all():
        return True
    if len(loss) < FEWEST_EPOCHS:
        return False
    last, lowest = float(loss[-2:].mean()), float(loss.min())
    noise = float(np.abs(np.diff(loss, 2)).mean())
    return last > RISEN_LOSS * lowest and last - lowest > max(noise, LOST * (float(loss[0]) - lowest))


def _tries(kind: Kind, trends: dict[str, Trend], *, stopped: bool, spent: bool) -> tuple[Try, ...]:
    """Return what to try next, in the order of source A: longer, augmentation, another model."""
    if kind == "diverging":
        return (Try("rate", worth=True, why="diverging"),)
    longer = _longer(kind, trends, stopped=stopped, spent=spent)
    why = {"over": "gap", "under": "harder", "good": "no_gap", "unvalidated": "unvalidated"}.get(kind, "later")
    augmentation = Try("augmentation", worth=kind == "over", why=why)
    if kind == "under" and not longer.worth:
        return longer, augmentation, Try("model", worth=True, why="level")
    return longer, augmentation, Try("model", worth=False, why="no_need" if kind == "good" else "later")


def _longer(kind: Kind, trends: dict[str, Trend], *, stopped: bool, spent: bool) -> Try:
    if kind in {"too_few", "unvalidated"}:
        return Try("longer", worth=kind == "too_few", why=kind)
    if kind == "unfinished":
        return Try("longer", worth=True, why="rising")
    if kind == "under" and not stopped:
        rising = trends["accuracy"].direction == "rising"
        return Try("longer", worth=rising or spent, why="level" if rising else "spent" if spent else "flat")
    return Try("longer", worth=False, why="stopped" if stopped else trends["val_accuracy"].direction)
