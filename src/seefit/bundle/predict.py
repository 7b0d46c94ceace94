"""Prediction with a bundle: streams any number of images, decodes beside the network, never imports torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from seefit.bundle.runtime import BATCH, in_batches, ordered_map
from seefit.data.dataset import Sample
from seefit.data.image import MAX_PIXELS, Undecodable, Unreadable, decode
from seefit.data.tables import write_table
from seefit.environment import threads

if TYPE_CHECKING:
    from seefit.bundle.bundle import Bundle

ALL_CLASSES = 100  # up to so many classes, every probability is given; beyond it the best five
TOP = 5


@dataclass(frozen=True)
class Prediction:
    """The answer for one image.

    Attributes:
        sample: The image.
        classes: C names.
        probabilities: (C,) float32, calibrated, summing to 1; zeros when there is an error.
        error: Why there is no answer.
        features: (D,) float32, where they were asked for.
    """

    sample: Sample
    classes: Sequence[str]
    probabilities: NDArray[np.float32]
    error: Undecodable | Unreadable | None = None
    features: NDArray[np.float32] | None = None

    @property
    def label(self) -> str:
        """The most probable class."""
        return self.classes[int(self.probabilities.argmax())]

    def ranked(self) -> list[dict[str, Any]]:
        """Return ``[{"label", "score"}, …]``, best first; beyond 100 classes the best five."""
        order = np.argsort(-self.probabilities, kind="stable")[: len(self.classes) if len(self.classes) <= ALL_CLASSES else TOP]
        return [{"label": self.classes[i], "score": float(self.probabilities[i])} for i in order]


def predict(
    bundle: Bundle,
    samples: Iterable[Sample],
    *,
    max_pixels: int = MAX_PIXELS,
    features: bool = False,
    read: Callable[[Sample], NDArray[np.uint8]] | None = None,
) -> Iterator[Prediction]:
    """Yield a prediction per image, in order; an image that cannot be decoded gives one with an error.

    Args:
        bundle: What to predict with.
        samples: Any number of images.
        max_pixels: As in `seefit.data.image.decode`.
        features: Also give the features that the head saw.
        read: Gives the pixels of an image; when None its file is decoded.
    """
    reference, nothing = bundle.reference, np.zeros(len(bundle.classes), np.float32)
    outputs = ["probabilities", "features"] if features else ["probabilities"]
    load = read or (lambda sample: decode(sample.path, max_pixels=max_pixels))

    def pixels(sample: Sample) -> NDArray[np.float32] | Undecodable | Unreadable:
        try:
            return reference.pixels(load(sample))
        except (Undecodable, Unreadable) as error:
            return error

    def prediction(sample: Sample, probabilities: NDArray[np.float32], seen: NDArray[np.float32] | None = None) -> Prediction:
        return Prediction(sample, bundle.classes, probabilities, features=seen)

    def answer(batch: list[Sample]) -> list[Prediction]:
        items = [pixels(sample) for sample in batch]
        good = [item for item in items if isinstance(item, np.ndarray)]
        answers = iter(zip(*reference.run(np.stack(good), outputs), strict=True) if good else ())
        return [
            prediction(sample, *next(answers)) if isinstance(item, np.ndarray) else Prediction(sample, bundle.classes, nothing, item)
            for sample, item in zip(batch, items, strict=True)
        ]

    for predictions in ordered_map(answer, in_batches(samples, BATCH), workers=threads()):
        yield from predictions


def columns(classes: Sequence[str]) -> list[str]:
    """Return the names of the probability columns of a table of predictions."""
    if len(classes) <= ALL_CLASSES:
        return [f"p:{name}" for name in classes]
    return [name for i in range(1, TOP + 1) for name in (f"top{i}", f"p{i}")]


def cells(classes: Sequence[str], probabilities: NDArray[np.float32]) -> list[str]:
    """Return the cells below `columns` for one image."""
    if len(classes) <= ALL_CLASSES:
        return [f"{p:.6f}" for p in probabilities]
    best = np.argsort(-probabilities, kind="stable")[:TOP]
    return [cell for i in best for cell in (classes[i], f"{probabilities[i]:.6f}")]


def write_predictions(path: Path, classes: Sequence[str], predictions: Iterable[Prediction]) -> int:
    """Write predictions of images without labels as they come: ``path,predicted`` and the probabilities.

    Returns:
        How many images have an answer.
    """
    count = 0

    def rows() -> Iterator[list[str]]:
        nonlocal count
        for prediction in predictions:
            if prediction.error is None:
                count += 1
                yield [prediction.sample.name, prediction.label, *cells(classes, prediction.probabilities)]

    write_table(path, ["path", "predicted", *columns(classes)], rows())
    return count
