"""Every odd kind is among the pictures that an export is proven on, and seefit reads each of them."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from seefit.bundle.golden import golden_images
from seefit.data.image import SHRINK_ABOVE, decode
from seefit.deploy.odd_images import LONG, odd_images


def test_every_kind_is_there_and_is_read() -> None:
    images = odd_images()
    opened = {name: Image.open(io.BytesIO(data)) for name, data in images.items()}
    assert set(golden_images()) < set(images)
    assert {"RGB", "RGBA", "L", "LA", "P", "1", "CMYK"} <= {image.mode for image in opened.values()}
    assert any(image.mode.startswith("I;16") for image in opened.values())
    assert any(image.mode == "P" and "transparency" in image.info for image in opened.values())
    assert {image.getexif().get(274, 1) for image in opened.values()} == set(range(1, 9))
    assert {(1, LONG), (LONG, 1), (1, 1)} <= {image.size for image in opened.values()}
    assert max(image.width * image.height for image in opened.values()) > SHRINK_ABOVE
    for name, data in images.items():
        pixels = decode(data)
        assert pixels.dtype == np.uint8, name
        assert pixels.shape[0] * pixels.shape[1] <= SHRINK_ABOVE, name


def test_orientations_are_not_all_the_same_picture() -> None:
    turned = [decode(data) for name, data in odd_images().items() if name.startswith("orientation")]
    assert len({(picture.shape, picture.tobytes()) for picture in turned}) == 8
