"""How a picture looks as a whole: how bright and how sharp it is, told from a glance that costs the scan next to nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from seefit.data.duplicates import SIDE

LINES = 16  # rows of pixels that are looked at
STEPS = 256  # of the longer side: differences are taken as far apart as one of them, so that size alone changes nothing
QUIET = 1.0  # level; spread of a row below which there is nothing that could be sharp


@dataclass(frozen=True, slots=True)
class Look:
    """What the scan knows of a picture besides its size.

    Attributes:
        format: Of the file, as in `seefit.data.image.Decoded`.
        brightness: Mean grey level, 0 (black) to 1 (white).
        sharpness: As `sharpness` measures it.
    """

    format: str
    brightness: float
    sharpness: float


def brightness(fingerprint: bytes) -> float:
    """Return the mean grey level, 0 to 1, of the picture that a fingerprint was made from (`seefit.data.duplicates.fingerprint`)."""
    return float(np.frombuffer(fingerprint, np.uint8, SIDE * SIDE).mean()) / 255


def sharpness(picture: Image.Image) -> float:
    """Return how sharp an RGB image is: how much it changes within a 256th of its longer side, measured against all its changes.

    The second difference along rows stands for the Laplacian of Pertuz et al. 2013 ("Analysis of focus measure operators", LAP4), taken of
    16 rows alone and divided by their spread, so that a pale picture is not called blurred.

    Returns:
        At least 0: near 0 for a blurred picture, 1 and more for a sharp or a noisy one.
    """
    width, height = picture.size
    step = max(1, round(max(width, height) / STEPS))
    if width <= 2 * step:
        return 0.0
    rows = np.asarray(picture.resize((width, min(height, LINES)), Image.Resampling.NEAREST).convert("L")).astype(np.float32)
    bends = 2 * rows[:, step:-step] - rows[:, : -2 * step] - rows[:, 2 * step :]
    return float(np.sqrt(np.mean(bends * bends)) / max(float(rows.std()), QUIET))
