"""Pictures of every odd kind that a decoder may meet, made by this script: what an export is proven on beside the user's own."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from seefit.bundle.golden import golden_images
from seefit.data.image import SHRINK_ABOVE

LONG = 5_000  # pixels of a line


def odd_images() -> dict[str, bytes]:
    """Return file names and contents: the golden images of a bundle, and kinds that would make each bundle larger."""
    colour = Image.open(io.BytesIO(golden_images()["rgb.png"])).convert("RGB")
    seen = Image.new("L", colour.size, 90)
    grey, clear = colour.convert("L"), colour.quantize(16)
    grey.putalpha(seen)
    clear.info["transparency"] = 3
    line = colour.resize((LONG, 1))
    side = int(np.ceil(np.sqrt(SHRINK_ABOVE))) + 3
    found = {
        "grey-alpha.png": _png(grey),
        "palette-clear.png": _png(clear, transparency=3),
        "wide.png": _png(colour.crop((0, 0, colour.width, 5))),
        "long-line.png": _png(line),
        "high-line.png": _png(line.transpose(Image.Transpose.ROTATE_90)),
        "above-16-megapixels.png": _png(colour.resize((side, side)), compress_level=1),
    }
    return golden_images() | found | {f"orientation-{number}.png": _turned(colour, number) for number in range(1, 9)}


def _turned(colour: Image.Image, number: int) -> bytes:
    exif = Image.Exif()
    exif[274] = number
    return _png(colour.crop((0, 0, 40, 24)), exif=exif)


def _png(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    return buffer.getvalue()
