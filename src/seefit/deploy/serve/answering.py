"""From the bytes of images to the objects that clients get: decoded, predicted and where asked for explained, all in the batch threads."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from seefit.bundle.bundle import Bundle
from seefit.bundle.predict import Prediction, answer_batch
from seefit.data.dataset import Sample
from seefit.data.image import Undecodable, Unreadable, decode
from seefit.errors import ArtefactError

EXPLAINED_PX = 512  # longer side of a picture with a heat map
NEAREST = 4

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Question:
    """What is asked about one image.

    Attributes:
        image: The bytes of a file, or decoded pixels (H, W, 3) uint8.
        explain: Whether to explain the answer, too, and show similar training images.
        label: The class to explain; None for the predicted one.
        max_pixels: As in `seefit.data.image.decode`.
    """

    image: bytes | Pixels
    explain: bool = False
    label: str | None = None
    max_pixels: int = 10**8


@dataclass(frozen=True)
class Answer:
    """What there is to say about one image.

    Attributes:
        prediction: With an error where the image cannot be decoded.
        explanation: ``{"label", "exact", "image"}``; None where it was not asked for or cannot be given.
        nearest: ``[{"label", "name", "similarity", "image"}, …]`` where it was asked for and the bundle has a gallery.
    """

    prediction: Prediction
    explanation: dict[str, Any] | None = None
    nearest: list[dict[str, Any]] | None = None

    def told(self) -> dict[str, Any]:
        """Return the object of a result, without a name."""
        more = {"explanation": self.explanation, "nearest": self.nearest}
        said = {"predictions": self.prediction.ranked(), **self.prediction.trust()}
        return said | {key: value for key, value in more.items() if value is not None}


def answer(bundle: Bundle, questions: Sequence[Question]) -> list[Answer]:
    """Answer a batch of questions; an image that cannot be decoded gives a prediction with an error."""
    pictures = [_decoded(question) for question in questions]
    items = [picture if isinstance(picture, Exception) else bundle.reference.pixels(picture) for picture in pictures]
    asked = [Sample(Path(), "", None)] * len(questions)
    curious = bundle.gallery is not None and any(question.explain for question in questions)
    found = answer_batch(bundle, asked, items, digest=lambda at: _digest(questions[at].image), features=curious)
    return [
        _explained(bundle, question, picture, item, prediction)
        if question.explain and not isinstance(picture, Exception) and not isinstance(item, Exception)
        else Answer(replace(prediction, features=None))
        for question, picture, item, prediction in zip(questions, pictures, items, found, strict=True)
    ]


def _decoded(question: Question) -> Pixels | Undecodable | Unreadable:
    if not isinstance(question.image, bytes):
        return question.image
    try:
        return decode(question.image, max_pixels=question.max_pixels)
    except (Undecodable, Unreadable) as error:
        return error


def _digest(image: bytes | Pixels) -> str:
    return hashlib.sha256(image if isinstance(image, bytes) else image.tobytes()).hexdigest()


def _explained(bundle: Bundle, question: Question, picture: Pixels, pixels: NDArray[np.float32], prediction: Prediction) -> Answer:
    nearest = None
    if bundle.gallery is not None and prediction.features is not None:
        nearest = [
            {
                "label": bundle.classes[near.label],
                "name": near.name,
                "similarity": near.similarity,
                "image": _address(near.picture, "jpeg"),
            }
            for near in bundle.gallery.nearest(prediction.features, NEAREST)
        ]
    return Answer(replace(prediction, features=None), _heat_map(bundle, question.label, picture, pixels), nearest)


def _heat_map(bundle: Bundle, label: str | None, picture: Pixels, pixels: NDArray[np.float32]) -> dict[str, Any] | None:
    from seefit.report.overlay import overlay

    try:
        explainer = bundle.explainer
    except ArtefactError:  # an export whose graph explains nothing
        return None
    found = explainer.explain(pixels, label)
    small = Image.fromarray(picture)
    small.thumbnail((EXPLAINED_PX, EXPLAINED_PX))
    drawn = overlay(np.asarray(small), found.map, bundle.manifest["fit"], (picture.shape[1], picture.shape[0]))
    buffer = io.BytesIO()
    Image.fromarray(drawn).save(buffer, "PNG")
    return {"label": found.label, "exact": found.exact, "image": _address(buffer.getvalue(), "png")}


def _address(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
