"""Golden images: small files of every odd kind, made by this script, kept in each bundle with its answers.

When a bundle is opened elsewhere, `Bundle.verify` asks it again: another decoder or runtime that answers
differently shows at once.
"""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 48


def golden_images() -> dict[str, bytes]:
    """Return file names and contents; the pixels are the same on every machine."""
    colour = _pattern()
    grey = colour.convert("L")
    alpha = Image.fromarray(np.tile(np.linspace(0, 255, SIDE).astype(np.uint8), (SIDE, 1)))
    wide = Image.fromarray(np.add.outer(np.arange(SIDE) * 600, np.arange(SIDE) * 700).astype(np.uint16))
    see_through = colour.copy()
    see_through.putalpha(alpha)
    turned = Image.Exif()
    turned[274] = 6
    return {
        "rgb.png": _save(colour, "PNG"),
        "grey.png": _save(grey, "PNG"),
        "grey-16-bit.png": _save(wide, "PNG"),
        "alpha.png": _save(see_through, "PNG"),
        "palette.png": _save(colour.quantize(16), "PNG"),
        "one-bit.png": _save(grey.convert("1"), "PNG"),
        "turned.png": _save(colour.crop((0, 0, 40, 24)), "PNG", exif=turned),
        "cmyk.tiff": _save(colour.convert("CMYK"), "TIFF"),
        "tall.png": _save(colour.crop((0, 0, 5, SIDE)), "PNG"),
        "dot.png": _save(colour.crop((0, 0, 1, 1)), "PNG"),
    }


def _pattern() -> Image.Image:
    """Draw rings, a ramp and a checkerboard in whole numbers, so that no rounding differs between machines."""
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.int64)
    rings = ((x - 20) ** 2 + (y - 30) ** 2) % 256
    ramp = x * 5
    board = ((x // 6 + y // 6) % 2) * 200 + 20
    planes: NDArray[np.uint8] = np.stack([rings, ramp, board], -1).astype(np.uint8)
    return Image.fromarray(planes)


def _save(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
