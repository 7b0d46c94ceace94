"""Golden images: the same bytes and pixels each time, one of every odd kind."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from seefit.bundle.golden import SIDE, golden_images
from seefit.data.image import decode, decode_with_info

KINDS = {  # format, colour model, (height, width) and the start of the sha256 of the decoded pixels
    "rgb.png": ("PNG", "RGB", (48, 48), "11d018fa9c2dff73"),
    "grey.png": ("PNG", "L", (48, 48), "b17557ac7494c11c"),
    "grey-16-bit.png": ("PNG", "I;16", (48, 48), "d06dc3a08b5117f3"),
    "alpha.png": ("PNG", "RGBA", (48, 48), "71802b22f541ef0c"),
    "palette.png": ("PNG", "P", (48, 48), "7d15a38afaf500cb"),
    "one-bit.png": ("PNG", "1", (48, 48), "7e6a03643152e57b"),
    "turned.png": ("PNG", "RGB", (40, 24), "42f524183e078ba0"),
    "cmyk.tiff": ("TIFF", "CMYK", (48, 48), "11d018fa9c2dff73"),
    "tall.png": ("PNG", "RGB", (48, 5), "5f4fcfcdb5114d37"),
    "dot.png": ("PNG", "RGB", (1, 1), "87ff8797d720b66c"),
}


def test_the_same_bytes_each_time() -> None:
    assert golden_images() == golden_images()


def test_every_kind_is_there() -> None:
    assert list(golden_images()) == list(KINDS)


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_decodes_to_the_pixels_it_always_had(name: str) -> None:
    decoded = decode_with_info(golden_images()[name])
    pixels = decoded.pixels
    assert (decoded.format, decoded.mode, pixels.shape[:2], hashlib.sha256(pixels.tobytes()).hexdigest()[:16]) == KINDS[name]


def test_what_makes_each_kind_odd_is_in_its_pixels() -> None:
    images = {name: decode(data).astype(int) for name, data in golden_images().items()}
    colour = images["rgb.png"]
    assert (images["turned.png"] == np.rot90(colour[:24, :40], -1)).all()
    assert (images["cmyk.tiff"] == colour).all()
    assert (images["alpha.png"][:, 0] == 255).all()  # wholly see-through on the left: the white paper
    assert (images["alpha.png"][:, -1] == colour[:, -1]).all()
    wide = np.add.outer(np.arange(SIDE) * 600, np.arange(SIDE) * 700)
    assert abs(images["grey-16-bit.png"][..., 0] - wide * 255 / 65535).max() <= 0.5
    assert len(np.unique(images["palette.png"].reshape(-1, 3), axis=0)) == 16
    assert set(np.unique(images["one-bit.png"])) == {0, 255}
