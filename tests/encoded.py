"""Image files made in memory, for the tests of the decoder."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from seefit.data.image import Undecodable, decode

Pixels = NDArray[np.uint8]


def colour_photo() -> Pixels:
    """Return a colour photograph, 60x90 pixels."""
    from skimage import data

    return np.asarray(Image.fromarray(data.chelsea()).resize((90, 60)))


def encode(pixels: Pixels | Image.Image, kind: str, **options: Any) -> bytes:
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    buffer = BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def reason(data: bytes, **options: Any) -> str:
    with pytest.raises(Undecodable) as caught:
        decode(data, **options)
    return caught.value.reason
