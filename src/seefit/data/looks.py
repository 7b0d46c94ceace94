"""How a picture looks as a whole: how bright and how sharp it is.

Brightness comes with the scan's fingerprint. Sharpness does not: a thumbnail of 32 pixels tells a blur of 2 in 300 pixels hardly better
than a coin (AUC 0.60, against 0.98 here), and measuring it of every image made the scan 4 to 8 % slower. So it is measured of some, when
it is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from seefit.data.dataset import Sample
from seefit.data.duplicates import SIDE
from seefit.data.image import MAX_PIXELS, Undecodable, Unreadable, decode_with_info, read_file
from seefit.environment import threads

SIDE_PX = 256  # larger pictures are averaged down to about this, so that size alone changes nothing
FLAT = 1.0  # level; spread of a picture below which there is nothing that could be sharp


@dataclass(frozen=True, slots=True)
class Look:
    """What the scan knows of a picture besides its size.

    Attributes:
        format: Of the file, as in `seefit.data.image.Decoded`.
        brightness: Mean grey level, 0 (black) to 1 (white).
    """

    format: str
    brightness: float


def brightness(fingerprint: bytes) -> float:
    """Return the mean grey level, 0 to 1, of the picture that a fingerprint was made from (`seefit.data.duplicates.fingerprint`)."""
    return float(np.frombuffer(fingerprint, np.uint8, SIDE * SIDE).mean()) / 255


def sharpness(picture: Image.Image) -> float:
    """Return how sharp an image is: the spread of its Laplacian (Pertuz et al. 2013, "Analysis of focus measure operators", LAP4).

    It is divided by the spread of the image, so that a pale picture is not called blurred.

    Returns:
        At least 0: near 0 for a blurred picture, 1 and more for a sharp or a noisy one.
    """
    factor = max(picture.size) // SIDE_PX
    grey = np.asarray((picture.reduce(factor) if factor > 1 else picture).convert("L"), np.float32)
    if min(grey.shape) < 3:
        return 0.0
    inner = grey[1:-1, 1:-1]
    bends = 4 * inner - grey[:-2, 1:-1] - grey[2:, 1:-1] - grey[1:-1, :-2] - grey[1:-1, 2:]
    return float(bends.std()) / max(float(grey.std()), FLAT)


def measure_sharpness(samples: Sequence[Sample], most: int, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.float64]:
    """Return the `sharpness` (N,) of images, of at most so many of them, evenly spread; NaN for the others and for what cannot be read.

    Args:
        samples: The images.
        most: How many are decoded.
        max_pixels: Larger images are not decoded.
    """
    found = np.full(len(samples), np.nan)
    index = np.unique(np.linspace(0, len(samples) - 1, min(most, len(samples))).astype(np.intp))
    with ThreadPoolExecutor(threads()) as pool:
        found[index] = list(pool.map(partial(_measure, max_pixels), [samples[i] for i in index]))
    return found


def _measure(max_pixels: int, sample: Sample) -> float:
    try:
        return sharpness(decode_with_info(read_file(sample.path), max_pixels=max_pixels).picture)
    except (Undecodable, Unreadable):
        return float("nan")
