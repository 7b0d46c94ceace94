"""The box that an image is seen through: chosen from the shapes of the training images, and found again on a picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seefit.bundle.graph import Fit

Float = NDArray[np.float32]


@dataclass(frozen=True)
class Box:
    """Where the square that a network sees lies on a picture, in pixels; with ``pad`` it reaches beyond.

    Attributes:
        left: Of its left edge, from that of the picture.
        top: Of its upper edge.
        width: Of what becomes the square.
        height: Likewise.
    """

    left: int
    top: int
    width: int
    height: int


def choose_fit(sizes: NDArray[np.int64]) -> tuple[Fit, str]:
    """Choose the box from the shapes of the training images, and say why.

    Nearly square images are cropped (nothing of note is lost). Images within 3:4 to 4:3, the distortion that ImageNet training
    itself applies (the default ratio of a random resized crop), and images that all have one shape up to 2:1 are squashed:
    nothing is lost and all are distorted alike. Anything else is padded.

    Args:
        sizes: (N, 2) width and height in pixels.
    """
    ratio = sizes[:, 0] / sizes[:, 1]
    long_side = float(np.quantile(np.maximum(ratio, 1 / ratio), 0.95))
    low, high = np.quantile(ratio, [0.05, 0.95])
    if long_side <= 1.05:
        return "crop", "the images are square or nearly so"
    if long_side <= 4 / 3 + 1e-6:
        return "squash", "the images lie between 3:4 and 4:3"
    if high / low <= 1.1 and long_side <= 2:
        return "squash", f"the images all have one shape, about {_as_ratio(float(np.median(ratio)))}"
    shapes = "all have one long shape, about" if high / low <= 1.1 else "have different shapes, up to"
    return "pad", f"the images {shapes} {long_side:.1f}:1"


def box_of(fit: Fit, width: int, height: int) -> Box:
    """Return the box on a picture, as `seefit.bundle.graph.preprocess_model` takes it: in the middle.

    Args:
        fit: How the box is chosen.
        width: Of the upright picture, in pixels.
        height: Likewise.

    Example:
        >>> box_of("crop", 30, 21), box_of("pad", 30, 21)
        (Box(left=4, top=0, width=21, height=21), Box(left=0, top=-4, width=30, height=30))
    """
    if fit == "squash":
        return Box(0, 0, width, height)
    side = min(width, height) if fit == "crop" else max(width, height)
    left, top = (int((length - side) / 2) for length in (width, height))  # towards zero, as the graph divides
    return Box(left, top, side, side)


def on_picture(values: Float, fit: Fit, size: tuple[int, int], shape: tuple[int, int]) -> tuple[Float, NDArray[np.bool_]]:
    """Lay a map of the square that a network sees on the picture that it was made from.

    Args:
        values: (G, G).
        fit: How the box was chosen.
        size: Width and height of the upright picture in pixels.
        shape: Rows R and columns K of what is wanted, such as those of a smaller copy.

    Returns:
        (R, K) values between those of the places, linearly; and (R, K) whether the network saw anything of the pixel, 0 where not.
    """
    box = box_of(fit, *size)
    rows, rows_seen = _between(len(values), box.top, box.height, size[1], shape[0])
    columns, columns_seen = _between(len(values), box.left, box.width, size[0], shape[1])
    return np.asarray(rows @ values @ columns.T, np.float32), np.logical_and.outer(rows_seen, columns_seen)


def _between(places: int, start: int, length: int, size: int, pixels: int) -> tuple[Float, NDArray[np.bool_]]:
    """Return how much of each place a pixel takes on one axis, (pixels, places), and whether the pixel is in the box."""
    at = ((np.arange(pixels) + 0.5) * size / pixels - start) / length
    seen = (at >= 0) & (at < 1)
    offset = np.abs(np.clip(at * places - 0.5, 0, places - 1)[:, None] - np.arange(places))
    return np.asarray(np.maximum(0, 1 - offset) * seen[:, None], np.float32), seen


def _as_ratio(ratio: float) -> str:
    return f"{ratio:.2f}:1" if ratio >= 1 else f"1:{1 / ratio:.2f}"
