"""What is told of each epoch: a row of ``history.csv``, and a line of a table on the console that fits 80 columns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_WIDTHS = {"epoch": 7, "loss": 6, "accuracy": 8, "val loss": 8, "val accuracy  ": 14, "rate": 7, "images/s": 8, "left": 7}
_VALIDATION = ("val loss", "val accuracy  ")


@dataclass(frozen=True)
class Epoch:
    """A row of ``history.csv``.

    Attributes:
        epoch: From 1.
        loss: Mean training loss in nats, as trained: with mixing, augmentation and dropout.
        accuracy: Share of training images whose strongest class is that of their (mixed) target, 0 to 1.
        val_loss: Mean cross-entropy on the validation part in nats; NaN without one.
        val_accuracy: Likewise, 0 to 1.
        val_balanced_accuracy: Likewise, 0 to 1.
        rate: Highest learning rate of the epoch's last step.
        images_per_second: In training.
        seconds: Of the epoch, validation included.
    """

    epoch: int
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float
    val_balanced_accuracy: float
    rate: float
    images_per_second: float
    seconds: float


def from_json(row: dict[str, Any]) -> Epoch:
    """Read a row back: JSON has no NaN."""
    values: dict[str, Any] = {name: math.nan if value is None else value for name, value in row.items()}
    return Epoch(**values)


def header(*, validated: bool) -> str:
    """Return the line above the lines of the epochs; ``validated`` says whether there is a validation part."""
    return _aligned([name for name in _WIDTHS if validated or name not in _VALIDATION], validated=validated)


def line(row: Epoch, epochs: int, left: float, *, best: bool) -> str:
    """Return the line of an epoch.

    Args:
        row: The epoch.
        epochs: How many there are in all.
        left: Seconds that the others will take.
        best: Whether it is the best so far, which a star tells.
    """
    validated = math.isfinite(row.val_loss)
    validation = [f"{row.val_loss:.4f}", f"{row.val_accuracy:.1%}{' *' if best else '  '}"] if validated else []
    training = [f"{row.epoch}/{epochs}", f"{row.loss:.4f}", f"{row.accuracy:.1%}"]
    return _aligned([*training, *validation, f"{row.rate:.1e}", f"{row.images_per_second:,.0f}", _clock(left)], validated=validated)


def so_far(loss: float, accuracy: float) -> str:
    """Return what the bar within an epoch says: mean loss in nats and accuracy, 0 to 1, of the batches so far."""
    return f"loss {loss:.4f}  accuracy {accuracy:.1%}"


def _aligned(cells: Sequence[str], *, validated: bool) -> str:
    widths = [width for name, width in _WIDTHS.items() if validated or name not in _VALIDATION]
    return "  ".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
