"""The network that is trained: the upper part of a backbone, its pooled features standardised, and a head."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from seefit.models.architecture import pooled
from seefit.training.head import Head
from seefit.training.heads import TrainedHead
from seefit.training.solver import Float, Standardised


def unscaled(width: int) -> Standardised:
    """Return the scale with which `TrainedNetwork` leaves (N, width) features as they are."""
    return Standardised(np.zeros(width, np.float32), np.full(width, np.sqrt(width), np.float32))


class TrainedNetwork(nn.Module):
    """Activations, and pooled features from below the boundary, to logits.

    The features are those of the probe, in its order. The head sees them standardised and divided by the square root of their
    number: a step of the optimiser, which moves every weight by about its rate, then moves a logit by about as much for a head
    of any width, and one rate suits head and layers. From scratch it sees them `unscaled`.

    Args:
        upper: From the boundary's map to a tuple of maps (N, c, h, w) and vectors (N, d); None when the head alone is trained.
        scale: Mean and spread of the features on the training part, or `unscaled`.
        head: From (N, D) features to logits (N, C).
    """

    mean: Tensor
    factor: Tensor

    def __init__(self, upper: nn.Module | None, scale: Standardised, head: TrainedHead) -> None:
        super().__init__()
        self.upper, self.head = upper, head
        self.register_buffer("mean", torch.from_numpy(scale.mean.copy()))
        self.register_buffer("factor", torch.from_numpy(scale.factor / np.float32(np.sqrt(len(scale.factor)))))

    def begin(self, weight: Float, bias: Float, *, seed: int) -> None:
        """Give the head its first weights.

        Args:
            weight: (C, D) of the probe, on raw features.
            bias: (C,) of the probe.
            seed: Of what is drawn by chance.
        """
        mean, factor = self.mean.numpy(), self.factor.numpy()
        spread = np.divide(1, factor, out=np.zeros_like(factor), where=factor > 0)
        probe = torch.from_numpy(weight * spread), torch.from_numpy(bias + weight @ mean)
        self.head.begin(*probe, torch.Generator().manual_seed(seed))

    def forward(self, activation: Tensor, below: Tensor | None = None) -> Tensor:
        """Return logits (N, C) of maps (N, c, h, w) and features from below (N, d)."""
        pieces = [] if below is None else [below]
        for output in self.upper(activation) if self.upper is not None else ():
            pieces.extend(pooled(output))
        features = torch.cat([piece.float() for piece in pieces], 1)
        logits: Tensor = self.head((features - self.mean) * self.factor)
        return logits

    def learned_head(self) -> Head:
        """Return the head on raw features."""
        return self.head.learned(Standardised(self.mean.numpy(), self.factor.numpy()))


def rewinder(network: nn.Module) -> Callable[[], None]:
    """Return what takes the network's gradients, the statistics of its norms and torch's chances back to where they are now."""
    gradients = [(parameter, None if parameter.grad is None else parameter.grad.clone()) for parameter in network.parameters()]
    statistics = [(buffer, buffer.clone()) for buffer in network.buffers()]
    chances = torch.get_rng_state()

    def rewind() -> None:
        for parameter, gradient in gradients:
            parameter.grad = None if gradient is None else gradient.clone()
        for buffer, before in statistics:
            buffer.copy_(before)
        torch.set_rng_state(chances)

    return rewind
