"""The network that is trained: the upper part of a backbone, its pooled features standardised, and a head."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from seefit.training.solver import Standardised


class TrainedNetwork(nn.Module):
    """Activations, and pooled features from below the boundary, to logits.

    The features are those of the probe, in its order, and the head begins as the fitted probe. It sees features that are
    standardised and divided by the square root of their number: a step of the optimiser, which moves every weight by about its
    rate, then moves a logit by about as much for a head of any width, and one rate suits head and layers.

    Args:
        upper: From the boundary's map to a tuple of maps (N, c, h, w) and vectors (N, d); None when the head alone is trained.
        scale: Mean and spread of the features on the training part.
        weight: (C, D) of the probe, on raw features.
        bias: (C,) of the probe.
        dropout: Share of the features that is left out in training, 0 to 1.
    """

    mean: Tensor
    factor: Tensor

    def __init__(
        self, upper: nn.Module | None, scale: Standardised, weight: NDArray[np.float32], bias: NDArray[np.float32], *, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.upper, self.dropout = upper, nn.Dropout(dropout)
        factor = scale.factor / np.float32(np.sqrt(weight.shape[1]))
        self.register_buffer("mean", torch.from_numpy(scale.mean.copy()))
        self.register_buffer("factor", torch.from_numpy(factor))
        self.head = nn.Linear(weight.shape[1], weight.shape[0])
        spread = np.divide(1, factor, out=np.zeros_like(factor), where=factor > 0)
        with torch.no_grad():
            self.head.weight.copy_(torch.from_numpy(weight * spread))
            self.head.bias.copy_(torch.from_numpy(bias + weight @ scale.mean))

    def forward(self, activation: Tensor, below: Tensor | None = None) -> Tensor:
        """Return logits (N, C) of maps (N, c, h, w) and features from below (N, d)."""
        pieces = [] if below is None else [below]
        for output in self.upper(activation) if self.upper is not None else ():
            pieces.extend([output.mean((2, 3)), output.amax((2, 3))] if output.dim() == 4 else [output])
        features = torch.cat([piece.float() for piece in pieces], 1)
        standardised: Tensor = (features - self.mean) * self.factor
        logits: Tensor = self.head(self.dropout(standardised))
        return logits

    def raw_head(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the head as (C, D) weights and (C,) bias on raw features."""
        scale = Standardised(self.mean.numpy(), self.factor.numpy())
        weight = self.head.weight.detach().double().numpy()
        return scale.raw(weight.T, self.head.bias.detach().double().numpy())


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
