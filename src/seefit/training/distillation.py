"""Distillation: a network learns from its labels and from what a teacher, a larger bundle, says of the same images.

The teacher sees the very views that the network is trained on. Its answers are computed once and kept; they travel behind the
targets of a batch, so that what mixes targets mixes them too, and the loss takes them apart again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seefit.bundle.bundle import Bundle
from seefit.bundle.runtime import ordered_map
from seefit.console import QUIET, Console
from seefit.data.dataset import Sample
from seefit.environment import threads
from seefit.training.batches import KeptBatches, PixelBatches
from seefit.training.cache import Recipe, library_versions
from seefit.training.finetune import Batch
from seefit.training.kept import KeptViews, Row, View, view_pixels
from seefit.training.losses import Loss


def distilled(loss: Loss, weight: float, temperature: float) -> Loss:
    """Return a loss that also pulls towards the teacher: ``(1 - weight) loss + weight T² KL(teacher || network)``, both at temperature T.

    The square of the temperature makes up for what it takes off the gradient (Hinton et al. 2015, section 2).

    Args:
        loss: Of the labels.
        weight: Share of the teacher, 0 to 1.
        temperature: Softens the network's answers as `TaughtBatches` softens the teacher's; above 0.

    Returns:
        A loss of logits (B, C) and targets (B, 2 C): the labels' C columns, then the teacher's. In nats, (B,) float32.
    """

    def both(logits: Tensor, targets: Tensor) -> Tensor:
        labels, taught = targets.chunk(2, 1)
        learnt = (logits.float() / temperature).log_softmax(1)
        divergence = (torch.xlogy(taught, taught) - taught * learnt).sum(1)
        return (1 - weight) * loss(logits, labels) + weight * temperature**2 * divergence

    return both


class Answers:
    """What a teacher says of the views of a set of images: computed once by its reference graph, and kept.

    Args:
        teacher: The bundle.
        classes: Names, in the order that the answers are wanted in; all are the teacher's.
        samples: The images.
        sha256: Of each image's content.
        view: Makes a view of an image; number 0 is the image itself.
        view_key: Names the view's settings, for the recipe.
        max_pixels: As in `seefit.data.image.decode`.
        console: Where to show progress and say what was damaged.
    """

    def __init__(
        self,
        teacher: Bundle,
        classes: Sequence[str],
        samples: Sequence[Sample],
        sha256: Sequence[str],
        *,
        view: View,
        view_key: str,
        max_pixels: int,
        console: Console = QUIET,
    ) -> None:
        self._samples, self._sha256, self._view, self._max_pixels = samples, sha256, view, max_pixels
        self._reference = teacher.reference
        position = {name: i for i, name in enumerate(teacher.classes)}
        self._columns = [position[name] for name in classes]
        recipe = Recipe(
            backbone=teacher.manifest["backbone"],
            image_size=teacher.manifest["image_size"],
            fit=teacher.manifest["fit"],
            features=("answers", f"views:{view_key}"),
            engine=self._reference.name,
            graph=teacher.hash,
            libraries=library_versions(self._reference.name),
        )
        self.kept = KeptViews(recipe, sha256, 4 * len(position), self._compute, title="teacher's answers", console=console)

    def __enter__(self) -> Answers:
        return self

    def __exit__(self, *_: object) -> None:
        self.kept.close()

    def read(self, rows: Sequence[Row]) -> NDArray[np.float32]:
        """Return the teacher's calibrated probabilities (n, C) of rows, computed where they are not kept."""
        values = [np.frombuffer(value, np.float32) for value in self.kept.read(rows)]
        return np.ascontiguousarray(np.stack(values)[:, self._columns])

    def _compute(self, rows: Sequence[Row]) -> Iterator[bytes]:
        """Yield the answer to each row, which does not depend on what other rows are missing: one image a run."""
        ready = view_pixels(rows, self._samples, self._sha256, self._reference, self._view, max_pixels=self._max_pixels)
        yield from ordered_map(self._answer, ready, workers=threads(), ahead=1)

    def _answer(self, pixels: NDArray[np.float32]) -> bytes:
        answer: bytes = self._reference.run(pixels[np.newaxis], ["probabilities"])[0].tobytes()
        return answer


class TaughtBatches:
    """Batches whose targets (B, 2 C) are those of the labels and, behind them, the teacher's softened answers.

    Args:
        batches: Of the images.
        answers: To every row that they have.
        temperature: What the logarithms of the teacher's probabilities are divided by; above 0.
    """

    def __init__(self, batches: KeptBatches | PixelBatches, answers: Answers, temperature: float) -> None:
        self._batches, self._answers, self._temperature = batches, answers, temperature

    def __len__(self) -> int:
        """Return how many batches an epoch has."""
        return len(self._batches)

    def epoch(self, number: int) -> Iterator[Batch]:
        """Yield the batches of an epoch."""
        rows = self._batches.order.batches(number)
        for batch, own in zip(self._batches.epoch(number), rows, strict=True):
            taught = softened(torch.from_numpy(self._answers.read(own)), self._temperature)
            yield replace(batch, targets=torch.cat([batch.targets, taught], 1))


def softened(probabilities: Tensor, temperature: float) -> Tensor:
    """Return the probabilities (N, C) of a softmax at another temperature than 1, at which these came about."""
    return (probabilities.clamp_min(torch.finfo(torch.float32).tiny).log() / temperature).softmax(1)
