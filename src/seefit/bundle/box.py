"""The box that an image is seen through: chosen from the shapes of the training images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from seefit.bundle.graph import Fit


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


def _as_ratio(ratio: float) -> str:
    return f"{ratio:.2f}:1" if ratio >= 1 else f"1:{1 / ratio:.2f}"
