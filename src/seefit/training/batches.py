"""Batches for the training loop: from kept activations, or from images that are streamed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from seefit.bundle.runtime import Reference, in_batches, ordered_map
from seefit.data.dataset import Sample
from seefit.environment import threads
from seefit.training.activations import Activations
from seefit.training.engine import read_image
from seefit.training.finetune import Batch
from seefit.training.kept import Row, View


@dataclass(frozen=True)
class Order:
    """In what order, and in which views, an epoch goes through the images; it follows from (seed, epoch) alone.

    Every image comes once an epoch. Its views take turns: over as many epochs as there are views each one is seen once,
    in an order of the image's own. Where views need not be kept, further epochs have ``fresh`` ones, numbered on from there.

    Attributes:
        images: N.
        views: V, at least 1.
        batch: Images per batch; the last batch joins the one before when it would be smaller than half of that.
        seed: Of the order.
        fresh: Whether no view comes twice.
    """

    images: int
    views: int
    batch: int
    seed: int = 0
    fresh: bool = False

    def rows(self, epoch: int) -> list[Row]:
        """Return (image, view) of an epoch in their order."""
        order = np.random.default_rng([self.seed, 1, epoch]).permutation(self.images)
        round_, turn = divmod(epoch, self.views)
        turns = np.random.default_rng([self.seed, 2, round_]).random((self.images, self.views)).argsort(1)
        views = turns[:, turn] + (round_ * self.views if self.fresh else 0)
        return [(int(i), int(views[i])) for i in order]

    def batches(self, epoch: int) -> list[list[Row]]:
        """Return the rows of each batch."""
        rows = self.rows(epoch)
        starts = list(range(0, len(rows), self.batch))
        if len(starts) > 1 and len(rows) - starts[-1] < self.batch / 2:  # a norm over a handful of images would be off
            starts.pop()
        return [rows[start:end] for start, end in zip(starts, [*starts[1:], len(rows)], strict=True)]

    def __len__(self) -> int:
        """Return how many batches an epoch has."""
        full, rest = divmod(self.images, self.batch)
        return max(1, full + (rest >= self.batch / 2))

    def views_in(self, epochs: int) -> int:
        """Return how many views of an image there are, of which so many epochs show one each."""
        return max(self.views, epochs) if self.fresh else self.views

    def every_row(self) -> list[Row]:
        """Return each image in each view, image by image, where none is fresh."""
        return [(i, view) for i in range(self.images) for view in range(self.views)]


class KeptBatches:
    """Batches of kept activations: the map at the boundary and the pooled features from below.

    Args:
        activations: Filled for every row that the order has.
        order: Of the images.
        targets: (N, C) float32, rows sum to 1.
        weights: (N,) float32.
    """

    def __init__(self, activations: Activations, order: Order, targets: NDArray[np.float32], weights: NDArray[np.float32]) -> None:
        self._activations, self.order = activations, order
        self._targets, self._weights = torch.from_numpy(targets), torch.from_numpy(weights)

    def __len__(self) -> int:
        """Return how many batches an epoch has."""
        return len(self.order)

    def epoch(self, number: int) -> Iterator[Batch]:
        """Yield the batches of an epoch; the next is read while the network works on one."""
        yield from ordered_map(self._batch, self.order.batches(number), workers=1, ahead=1)

    def plain(self) -> list[Batch]:
        """Return every image once, as it is, in its own order: for validation."""
        rows = [(i, 0) for i in range(len(self._weights))]
        return [self._batch(batch) for batch in in_batches(rows, self.order.batch)]

    def _batch(self, rows: Sequence[Row]) -> Batch:
        maps, below = self._activations.read(rows)
        index = torch.tensor([i for i, _ in rows])
        inputs = (torch.from_numpy(maps.astype(np.float32)).contiguous(memory_format=torch.channels_last), torch.from_numpy(below))
        return Batch(inputs, self._targets[index], self._weights[index])


class PixelBatches:
    """Batches of preprocessed pixels, made anew from the images in every epoch.

    Args:
        samples: The images.
        sha256: Of each image's content.
        reference: Gives ``preprocess``.
        view: Makes a view of an image.
        order: Of the images and their views.
        targets: (N, C) float32, rows sum to 1.
        weights: (N,) float32.
        max_pixels: As in `seefit.data.image.decode`.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        sha256: Sequence[str],
        reference: Reference,
        view: View,
        order: Order,
        targets: NDArray[np.float32],
        weights: NDArray[np.float32],
        *,
        max_pixels: int,
    ) -> None:
        self._samples, self._sha256, self._reference, self._view = samples, sha256, reference, view
        self.order, self._max_pixels = order, max_pixels
        self._targets, self._weights = torch.from_numpy(targets), torch.from_numpy(weights)

    def __len__(self) -> int:
        """Return how many batches an epoch has."""
        return len(self.order)

    def epoch(self, number: int) -> Iterator[Batch]:
        """Yield the batches of an epoch; the next images are decoded while the network works."""
        yield from self._stream(self.order.batches(number))

    def plain(self) -> Iterator[Batch]:
        """Yield every image once, as it is, in its own order: for validation."""
        yield from self._stream(in_batches([(i, 0) for i in range(len(self._weights))], self.order.batch))

    def _stream(self, batches: Sequence[Sequence[Row]] | Iterator[list[Row]]) -> Iterator[Batch]:
        planned = list(batches)
        pixels = ordered_map(self._pixels, (row for batch in planned for row in batch), workers=threads(), ahead=self.order.batch)
        for batch in planned:
            stacked = torch.from_numpy(np.stack([next(pixels) for _ in batch])).contiguous(memory_format=torch.channels_last)
            index = torch.tensor([i for i, _ in batch])
            yield Batch((stacked,), self._targets[index], self._weights[index])

    def _pixels(self, row: Row) -> NDArray[np.float32]:
        decoded = read_image(self._samples[row[0]], self._sha256[row[0]], self._max_pixels)
        return self._reference.pixels(self._view(decoded, self._sha256[row[0]], row[1]))
