"""The gallery of a bundle (``seefit train --gallery``): small pictures of training images, to be shown beside new ones that are like them.

It holds the images that "none of these" compares with, at most 2,048 spread evenly over the classes, since their features by the final
network are there already. Images of other parts than the training part never travel with a model.
"""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from seefit.bundle.neighbours import PICTURE_PX, Gallery, directions
from seefit.console import QUIET, Console
from seefit.evaluation.familiar import gallery_rows
from seefit.evaluation.lookalikes import embed
from seefit.fitting import Fitted
from seefit.parts import Part
from seefit.report.thumbnails import small_picture
from seefit.training.solver import Standardised
from seefit.trusting import compared_features

QUALITY = 80  # of the JPEGs


def fit_gallery(fitted: Fitted, classes: tuple[str, ...], train: Part, *, max_pixels: int, console: Console = QUIET) -> Gallery | None:
    """Choose training images and make what new ones are compared with and shown beside.

    Args:
        fitted: What fitting made.
        classes: Names, in the order of the outputs.
        train: What was trained on.
        max_pixels: Larger images are not decoded.
        console: Where to say that pictures travel with the model.

    Returns:
        The gallery; None where no file of the training images is there any more.
    """
    labels = train.labels(classes)
    rows = gallery_rows(labels)
    features = compared_features(fitted, train, rows)
    pictures = [_picture(train, row, max_pixels) for row in rows.tolist()]
    there = [i for i, picture in enumerate(pictures) if picture is not None]
    if not there:
        console.warn("No gallery: the files of the training images are gone")
        return None
    scale = Standardised.of(features)
    whole = np.eye(features.shape[1], dtype=np.float32)
    turn = embed(whole, Standardised(np.zeros(len(whole), np.float32), np.ones(len(whole), np.float32)))
    projection = np.ascontiguousarray(scale.factor[:, np.newaxis] * turn)
    points = directions((features[there] - scale.mean) @ projection).astype(np.float16)
    console.say(f"Gallery: {len(there):,} small pictures of training images travel with the model, with the names of their files")
    names = [train.samples[row].path.name for row in rows[there].tolist()]
    return Gallery(scale.mean, projection, points, labels[rows[there]], names, [picture for picture in pictures if picture is not None])


def _picture(train: Part, row: int, max_pixels: int) -> bytes | None:
    """Return a small JPEG that holds nothing but pixels; None where the file is gone or changed."""
    path = train.samples[row].path
    small, _ = small_picture(path.parent, path.name, train.sha256[row], max_pixels=max_pixels, largest_px=PICTURE_PX)
    return None if small is None else _to_jpeg(small.pixels)


def _to_jpeg(pixels: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()
