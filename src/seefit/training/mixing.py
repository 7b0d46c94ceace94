"""Mixing: what is done to a whole batch while training, on pixels or on kept activations.

Mixup and cutmix make one image of two and its target of both targets; noise is added on top. All of it is drawn from one
`torch.Generator`, so that a run that goes on from a checkpoint draws what the unbroken run would have drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Mixing:
    """What is done to a batch; all zeros leave it as it is.

    With both mixup and cutmix, each batch gets one of the two, at even chances.

    Attributes:
        mixup: Alpha of Beta(alpha, alpha), from which the share of the first image is drawn (Zhang et al. 2018, equation 1
            and section 3); 0 for none.
        cutmix: Likewise for the area that stays of the first image (Yun et al. 2019, section 3.1); 0 for none.
        noise: Standard deviation of Gaussian noise, in standard deviations of the tensor it is added to.
    """

    mixup: float = 0.0
    cutmix: float = 0.0
    noise: float = 0.0

    @property
    def acts(self) -> bool:
        """Whether anything is done at all."""
        return self != Mixing()

    def __call__(self, inputs: tuple[Tensor, ...], targets: Tensor, generator: torch.Generator) -> tuple[tuple[Tensor, ...], Tensor]:
        """Mix one batch. What is given is never changed in place.

        Args:
            inputs: The first (B, c, h, w), any others (B, d); floating point.
            targets: (B, C) float32, rows sum to 1.
            generator: What chance is drawn from.

        Returns:
            Inputs and targets of the same shapes and types.
        """
        if self.mixup or self.cutmix:
            inputs, targets = self._pairs(inputs, targets, generator)
        if self.noise:
            inputs = tuple(_noisy(x, self.noise, generator) for x in inputs)
        return inputs, targets

    def _pairs(self, inputs: tuple[Tensor, ...], targets: Tensor, generator: torch.Generator) -> tuple[tuple[Tensor, ...], Tensor]:
        """Mix each image with another of the batch, by mixup or by cutmix."""
        rng = _chance(generator)
        patch = bool(self.cutmix) and (not self.mixup or rng.random() < 0.5)
        alpha = self.cutmix if patch else self.mixup
        share, order = float(rng.beta(alpha, alpha)), _order(len(targets), rng, targets)
        first, *others = inputs
        if patch and first.dim() == 4:
            first, share = _patched(first, order, share, rng)
        else:
            first = _blended(first, order, share)
        return (first, *(_blended(x, order, share) for x in others)), _blended(targets, order, share)


def _chance(generator: torch.Generator) -> np.random.Generator:
    """Return numpy's generator, which knows the Beta distribution, seeded by a draw from torch's."""
    import torch

    return np.random.default_rng(int(torch.randint(2**62, (), generator=generator, device=generator.device)))


def _order(count: int, rng: np.random.Generator, like: Tensor) -> Tensor:
    """Return (B,) which image each is mixed with."""
    import torch

    return torch.from_numpy(rng.permutation(count)).to(like.device)


def _blended(x: Tensor, order: Tensor, share: float) -> Tensor:
    return x.mul(share).add_(x[order], alpha=1 - share)


def _patched(x: Tensor, order: Tensor, share: float, rng: np.random.Generator) -> tuple[Tensor, float]:
    """Put a box of another image into each; return the maps and the share of the area that is each image's own."""
    height, width = x.shape[-2:]
    top, bottom = _span(height, share, rng)
    left, right = _span(width, share, rng)
    mixed = x.clone()
    mixed[:, :, top:bottom, left:right] = x[order, :, top:bottom, left:right]
    return mixed, 1 - (bottom - top) * (right - left) / (height * width)


def _span(length: int, share: float, rng: np.random.Generator) -> tuple[int, int]:
    """Return where the box begins and ends on one axis: its centre is anywhere, and the edges cut it off."""
    side = round(length * float(np.sqrt(1 - share)))
    begin = int(rng.integers(length)) - side // 2
    return max(begin, 0), min(begin + side, length)


def _noisy(x: Tensor, noise: float, generator: torch.Generator) -> Tensor:
    import torch

    drawn = torch.randn(x.shape, generator=generator, device=generator.device).to(x)
    return x + drawn * (noise * x.float().std(correction=0)).to(x.dtype)
