"""A part of the data, as far as training may see it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seefit.data.dataset import Sample


@dataclass(frozen=True)
class Part:
    """One part of the data, as far as training may see it."""

    samples: list[Sample]
    sha256: list[str]
    units: NDArray[np.int64]

    def labels(self, classes: tuple[str, ...]) -> NDArray[np.int64]:
        """Return (N,) class numbers."""
        position = {name: i for i, name in enumerate(classes)}
        return np.array([position[sample.label or ""] for sample in self.samples], np.int64)

    def one_hot(self, classes: tuple[str, ...]) -> NDArray[np.float32]:
        """Return (N, C) ones for the labels, zeros elsewhere."""
        targets = np.zeros((len(self.samples), len(classes)), np.float32)
        targets[np.arange(len(self.samples)), self.labels(classes)] = 1
        return targets

    def targets(self, classes: tuple[str, ...]) -> NDArray[np.float32]:
        """Return (N, C) soft targets where the user gave them, else one for the label."""
        targets = self.one_hot(classes)
        for row, sample in enumerate(self.samples):
            if sample.target is not None:
                targets[row] = sample.target
        return targets

    def weights(self) -> NDArray[np.float64]:
        """Return (N,) sample weights."""
        return np.array([sample.weight for sample in self.samples])

    def majority(self, classes: tuple[str, ...]) -> int:
        """Return the number of the commonest class, the first of equals."""
        return int(np.bincount(self.labels(classes), minlength=len(classes)).argmax())

    def subset(self, index: NDArray[np.intp]) -> Part:
        """Return the images at these positions."""
        return Part([self.samples[i] for i in index], [self.sha256[i] for i in index], self.units[index])

    def spread(self, count: int) -> tuple[list[Sample], list[str]]:
        """Return at most ``count`` images, evenly spread over the part, and their sha256."""
        index = np.linspace(0, len(self.samples) - 1, min(count, len(self.samples))).astype(int).tolist()
        return [self.samples[i] for i in index], [self.sha256[i] for i in index]
