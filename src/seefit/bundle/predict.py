"""Prediction with a bundle: streams any number of images, decodes beside the network, never imports torch."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from seefit.bundle.confidence import TOLD, Confidence
from seefit.bundle.runtime import BATCH, in_batches, ordered_map
from seefit.bundle.sets import content_draws
from seefit.bundle.unknown import LIMIT, OUTPUT
from seefit.data.dataset import Sample
from seefit.data.image import MAX_PIXELS, Undecodable, Unreadable, decode
from seefit.data.tables import write_table
from seefit.environment import threads
from seefit.files import sha256_file

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
        unknown: How unlike the training images it is: 0 as the model knows them, above 1 it should be refused; None where the bundle
            cannot tell.
        members: The classes that may be meant, likeliest first: the set that holds the true one as often as the bundle states;
            None without such sets.
        confidence: What images that the model did not learn from told of scores; None for a bundle that says nothing of it.
    """

    sample: Sample
    classes: Sequence[str]
    probabilities: NDArray[np.float32]
    error: Undecodable | Unreadable | None = None
    features: NDArray[np.float32] | None = None
    unknown: float | None = None
    members: tuple[str, ...] | None = None
    confidence: Confidence | None = None

    @property
    def none_of_these(self) -> bool:
        """Whether the image is so unlike the training images that its class should not be believed."""
        return self.unknown is not None and self.unknown > LIMIT

    @property
    def label(self) -> str:
        """The most probable class."""
        return self.classes[int(self.probabilities.argmax())]

    def ranked(self) -> list[dict[str, Any]]:
        """Return ``[{"label", "score"}, …]``, best first; beyond 100 classes the best five."""
        order = np.argsort(-self.probabilities, kind="stable")[: len(self.classes) if len(self.classes) <= ALL_CLASSES else TOP]
        return [{"label": self.classes[i], "score": float(self.probabilities[i])} for i in order]

    def trust(self) -> dict[str, Any]:
        """Return ``{"none_of_these", "unknown", "set"}`` and the keys of `confidence.TOLD`, as far as the bundle tells them."""
        told: dict[str, Any] = {} if self.unknown is None else {"none_of_these": self.none_of_these, "unknown": self.unknown}
        told |= {} if self.members is None else {"set": list(self.members)}
        return told if self.confidence is None else told | self.confidence.of(float(self.probabilities.max()))


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
    reference, load = bundle.reference, read or (lambda sample: decode(sample.path, max_pixels=max_pixels))

    def pixels(sample: Sample) -> NDArray[np.float32] | Undecodable | Unreadable:
        try:
            return reference.pixels(load(sample))
        except (Undecodable, Unreadable) as error:
            return error

    def answer(batch: list[Sample]) -> list[Prediction]:
        digest = (lambda at: sha256_file(batch[at].path)) if read is None else None
        return answer_batch(bundle, batch, [pixels(sample) for sample in batch], digest=digest, features=features)

    for predictions in ordered_map(answer, in_batches(samples, BATCH), workers=threads()):
        yield from predictions


def answer_batch(
    bundle: Bundle,
    samples: Sequence[Sample],
    items: Sequence[NDArray[np.float32] | Undecodable | Unreadable],
    *,
    digest: Callable[[int], str] | None = None,
    features: bool = False,
) -> list[Prediction]:
    """Return the predictions of one batch.

    Args:
        bundle: What to predict with.
        samples: N images.
        items: Per image its preprocessed pixels (3, S, S), or why there are none.
        digest: Gives the sha256 of the file of the image at a place, which sets of classes are drawn by; None for answers without sets.
        features: As in `predict`.
    """
    nothing = np.zeros(len(bundle.classes), np.float32)
    wanted = ["probabilities", *(["features"] if features else []), *([OUTPUT] if bundle.refuses else [])]
    good = [item for item in items if isinstance(item, np.ndarray)]
    answers = iter(zip(*bundle.reference.run(np.stack(good), wanted), strict=True) if good else ())
    found = []
    for at, (sample, item) in enumerate(zip(samples, items, strict=True)):
        if not isinstance(item, np.ndarray):
            found.append(Prediction(sample, bundle.classes, nothing, item))
            continue
        answer = dict(zip(wanted, next(answers), strict=True))
        unknown, probabilities = answer.get(OUTPUT), answer["probabilities"]
        members = None if digest is None else _members(bundle, probabilities, digest, at)
        seen = answer.get("features")
        strange = None if unknown is None else float(unknown)
        found.append(Prediction(sample, bundle.classes, probabilities, None, seen, strange, members, bundle.confidence))
    return found


def _members(bundle: Bundle, probabilities: NDArray[np.float32], digest: Callable[[int], str], at: int) -> tuple[str, ...] | None:
    """Return the classes of an image's set, likeliest first; the draw in it comes from the content of the file."""
    if bundle.sets is None:
        return None
    inside = bundle.sets.sets(probabilities[np.newaxis], content_draws([digest(at)]))[0]
    return tuple(bundle.classes[i] for i in np.argsort(-probabilities, kind="stable") if inside[i])


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


def trust_columns(bundle: Bundle) -> list[str]:
    """Return the names of what `Prediction.trust` tells with this bundle: columns of a table of predictions."""
    return [
        *(["none_of_these", OUTPUT] if bundle.refuses else []),
        *(["set"] if bundle.sets is not None else []),
        *(TOLD if bundle.confidence is not None else []),
    ]


def write_predictions(path: Path, classes: Sequence[str], predictions: Iterable[Prediction], *, trust: Sequence[str] = ()) -> int:
    """Write predictions of images without labels as they come: ``path,predicted``, the probabilities, and what tells how far to trust.

    Args:
        path: The CSV file.
        classes: C names.
        predictions: Any number.
        trust: From `trust_columns`; a set is written as a JSON list.

    Returns:
        How many images have an answer.
    """
    count = 0

    def rows() -> Iterator[list[str]]:
        nonlocal count
        for prediction in predictions:
            if prediction.error is None:
                count += 1
                told = prediction.trust()
                more = [json.dumps(told[name], ensure_ascii=False) for name in trust]
                yield [prediction.sample.name, prediction.label, *cells(classes, prediction.probabilities), *more]

    write_table(path, ["path", "predicted", *columns(classes), *trust], rows())
    return count
