"""The heads that can be trained: a linear layer, one logit for two classes, or a hidden layer in front of the linear one.

Each takes standardised features and gives logits (N, C). What it has learned goes back to raw features as a
`seefit.training.head.Head`, so that a bundle has a linear head whatever was trained.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from seefit.training.head import Head, Hidden
from seefit.training.solver import Double, Standardised

SLOW = ("sgd", "momentum")  # steps as long as the gradient, which features divided by √D make short for the first of two layers
DROPOUT = {"linear": 0.0, "hidden": 0.5, "logit": 0.2}  # unless the user says otherwise


class LinearHead(nn.Module):
    """Dropout and a linear layer; begins as the probe.

    Args:
        width: D, number of features.
        classes: C.
        dropout: Share of the features that is left out in training, in [0, 1).
    """

    def __init__(self, width: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.classes = classes
        self.dropout, self.linear = nn.Dropout(dropout), nn.Linear(width, classes)

    def forward(self, features: Tensor) -> Tensor:
        """Return logits (N, C) of features (N, D)."""
        logits: Tensor = self.linear(self.dropout(features))
        return logits

    def begin(self, weight: Tensor, bias: Tensor, chance: torch.Generator) -> None:
        """Take over a probe: (C, D) and (C,)."""
        _set(self.linear, weight, bias)

    def learned(self, scale: Standardised) -> Head:
        """Return the head on raw features."""
        return Head(*scale.raw(*_columns(self.linear)), "finetuned", 0.0)


class LogitHead(nn.Module):
    """Dropout and one logit, for two classes: the higher it is, the surer the second; begins as the probe.

    The first class has the logit 0, so that a softmax gives the second the sigmoid of the logit, and the cross-entropy of that softmax
    is the binary cross-entropy from the logit.

    Args:
        width: D, number of features.
        dropout: Share of the features that is left out in training, in [0, 1).
    """

    classes = 2

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.dropout, self.logit = nn.Dropout(dropout), nn.Linear(width, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Return logits (N, 2) of features (N, D)."""
        logit: Tensor = self.logit(self.dropout(features))
        return torch.cat([torch.zeros_like(logit), logit], 1)

    def begin(self, weight: Tensor, bias: Tensor, chance: torch.Generator) -> None:
        """Take over a probe, (2, D) and (2,): the difference of its rows."""
        _set(self.logit, weight[1:] - weight[:1], bias[1:] - bias[:1])

    def learned(self, scale: Standardised) -> Head:
        """Return the head on raw features: half of the logit for the second class and half against the first.

        Probabilities are those of zero and the whole logit, and what speaks for the first class can be seen, too.
        """
        weight, bias = (array / 2 for array in scale.raw(*_columns(self.logit)))
        return Head(np.concatenate([-weight, weight]), np.concatenate([-bias, bias]), "logit", 0.0)


class HiddenHead(nn.Module):
    """A dense layer with ReLU, dropout, and a linear layer; begins with random weights.

    Args:
        width: D, number of features; they come divided by its square root, as `seefit.training.network.TrainedNetwork` does it.
        units: U, number of hidden units.
        classes: C.
        dropout: Share of the hidden units that is left out in training, in [0, 1).
    """

    def __init__(self, width: int, units: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.classes = classes
        self.hidden, self.relu = nn.Linear(width, units), nn.ReLU()
        self.dropout, self.output = nn.Dropout(dropout), nn.Linear(units, classes)

    def forward(self, features: Tensor) -> Tensor:
        """Return logits (N, C) of features (N, D)."""
        logits: Tensor = self.output(self.dropout(self.relu(self.hidden(features))))
        return logits

    def begin(self, weight: Tensor, bias: Tensor, chance: torch.Generator) -> None:
        """Draw the weights of both layers (He et al. 2015, section 2.2): a probe has no place in a hidden layer.

        With features that are not divided by √D the first layer's would be He's N(0, 2 / D).
        """
        with torch.no_grad():
            self.hidden.weight.normal_(0, math.sqrt(2), generator=chance)
            self.output.weight.normal_(0, math.sqrt(2 / self.output.in_features), generator=chance)
            self.hidden.bias.zero_()
            self.output.bias.zero_()

    def learned(self, scale: Standardised) -> Head:
        """Return the linear head on the hidden layer, and that layer on raw features."""
        weight, bias = (tensor.detach().numpy().copy() for tensor in (self.output.weight, self.output.bias))
        return Head(weight, bias, "hidden", 0.0, hidden=Hidden(*scale.raw(*_columns(self.hidden))))


TrainedHead = LinearHead | LogitHead | HiddenHead


def new_head(kind: str, width: int, classes: int, *, units: int, dropout: float | None = None) -> TrainedHead:
    """Return a head that has not begun yet.

    Args:
        kind: ``linear``, ``hidden`` or ``logit``.
        width: D, number of features.
        classes: C; 2 for ``logit``.
        units: Of the hidden layer.
        dropout: Share that is left out in training, in [0, 1); None for what `DROPOUT` says.
    """
    share = DROPOUT[kind] if dropout is None else dropout
    if kind == "hidden":
        return HiddenHead(width, units, classes, share)
    return LogitHead(width, share) if kind == "logit" else LinearHead(width, classes, share)


def told(head: TrainedHead, classes: tuple[str, ...], optimiser: str) -> str | None:
    """Return a sentence for the user on how a head begins; None for a linear one, which begins as the probe and ends as one."""
    if isinstance(head, HiddenHead):
        begins = f"Head: {head.hidden.out_features:,} hidden units that begin by chance (He normal), not as the probe, which has none"
        return begins + (f"; {optimiser} moves them slowly, adamw does not" if optimiser in SLOW else "")
    if isinstance(head, LogitHead):
        return f"Head: one logit that begins as the probe; the higher it is, the surer the second class, {classes[1]}"
    return None


def _set(layer: nn.Linear, weight: Tensor, bias: Tensor) -> None:
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)


def _columns(layer: nn.Linear) -> tuple[Double, Double]:
    """Return the weights of a layer, (D, C), and its bias (C,)."""
    return layer.weight.detach().double().numpy().T, layer.bias.detach().double().numpy()
