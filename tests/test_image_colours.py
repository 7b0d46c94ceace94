"""What the decoder makes of colour models, alpha, frames and orientations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from encoded import Pixels, colour_photo, encode, reason
from seefit.data.image import Undecodable, decode, decode_with_info


@pytest.fixture(scope="module")
def photo() -> Pixels:
    return colour_photo()


def test_a_16_bit_ramp_is_scaled_and_never_clipped() -> None:
    ramp = np.linspace(0, 65_535, 256 * 64).round().astype(np.uint16).reshape(64, 256)
    expected = np.floor(ramp / 257 + 0.5)
    for data in (
        encode(Image.fromarray(ramp), "PNG"),
        encode(Image.fromarray(ramp), "TIFF"),
        encode(Image.fromarray(ramp.astype(">u2")), "TIFF"),
    ):
        grey = decode(data)
        np.testing.assert_array_equal(grey[..., 0], expected)
        np.testing.assert_array_equal(grey[..., 0], grey[..., 2])
        assert abs(grey.mean() - 127.5) < 0.1


def test_32_bit_grey_is_taken_as_16_bits_or_refused() -> None:
    values = np.array([[0, 257, 65_535]], np.int32)
    np.testing.assert_array_equal(decode(encode(Image.fromarray(values), "TIFF"))[0, :, 0], [0, 1, 255])
    for wrong in ([[0, 70_000]], [[-1, 3]]):
        bad = Image.fromarray(np.array(wrong, np.int32))
        assert reason(encode(bad, "TIFF")) == f"32-bit grey with values from {wrong[0][0]} to {wrong[0][1]}, outside 0 to 65535"


def test_16_bit_tiff_with_white_as_zero_is_turned_round() -> None:
    values = Image.fromarray(np.array([[0, 65_535]], np.uint16))
    data = encode(values, "TIFF", tiffinfo={262: 0})
    np.testing.assert_array_equal(decode(data)[0, :, 0], [255, 0])


def test_float_images_are_refused_with_the_reason() -> None:
    assert reason(encode(Image.new("F", (4, 4), 0.5), "TIFF")) == "float image: its range is not defined"


def retagged(tiff: bytes, tag: int, value: int) -> bytes:
    """Change a number in the directory of a little-endian TIFF."""
    start = int.from_bytes(tiff[4:8], "little") + 2
    entry = next(at for at in range(start, len(tiff), 12) if int.from_bytes(tiff[at : at + 2], "little") == tag)
    return tiff[: entry + 8] + value.to_bytes(4, "little") + tiff[entry + 12 :]


@pytest.mark.parametrize(
    ("tag", "value", "trait"),
    [
        (258, 64, "bit depth or channels"),
        (262, 32_803, "bit depth or channels"),  # the mosaic of a camera's sensor
        (277, 9, "number of channels"),
        (259, 34_712, "compression 34712"),  # JPEG 2000
    ],
)
def test_a_sound_tiff_of_a_kind_that_pillow_lacks_is_not_called_corrupt(tag: int, value: int, trait: str) -> None:
    sound = encode(Image.new("RGB" if tag == 277 else "L", (4, 4)), "TIFF")
    assert not decode(sound).any()
    with pytest.raises(Undecodable) as caught:
        decode(retagged(sound, tag, value))
    assert caught.value.reason == f"TIFF of a kind that is not supported: {trait}"
    assert caught.value.hint == "Save it as PNG or JPEG, or remove it."


def test_a_palette_that_is_missing_is_damage_and_no_kind_of_its_own() -> None:
    palette = encode(Image.new("P", (4, 4)), "TIFF")
    at = palette.index((320).to_bytes(2, "little"))
    assert reason(palette[:at] + b"\x41\x01" + palette[at + 2 :]) == "corrupt TIFF"


def test_a_jpeg_of_12_bits_is_not_called_corrupt(photo: Pixels) -> None:
    data = encode(photo, "JPEG")
    depth = data.index(b"\xff\xc0") + 4  # ITU-T T.81, B.2.2
    assert reason(data[:depth] + b"\x0c" + data[depth + 1 :]) == "JPEG of a kind that is not supported: bit depth or channels"


@pytest.mark.parametrize(
    ("mode", "kind"), [("RGBA", "PNG"), ("RGBA", "TIFF"), ("RGBA", "WEBP"), ("LA", "PNG"), ("LA", "TIFF"), ("PA", "TIFF")]
)
def test_alpha_is_composed_on_white(mode: str, kind: str) -> None:
    picture = Image.new("RGBA", (3, 1), (100, 100, 100, 0))
    picture.putpixel((1, 0), (100, 100, 100, 51))
    picture.putpixel((2, 0), (100, 100, 100, 255))
    alpha = [255, 224, 100]
    if mode == "PA":
        picture = Image.merge("PA", [Image.new("L", (3, 1), 7), picture.getchannel("A")])
        picture.putpalette([100] * 768)
    elif mode == "LA":
        picture = picture.convert("LA")
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    pixels = decode(encode(picture, kind, **options))
    np.testing.assert_array_equal(pixels[0, :, 1], alpha)


def test_transparent_palettes_and_colours_are_white() -> None:
    palette = Image.new("P", (2, 1), 0)
    palette.putpixel((1, 0), 1)
    palette.putpalette([10, 20, 30, 40, 50, 60])
    for transparency in (0, b"\x00\xff"):
        np.testing.assert_array_equal(decode(encode(palette, "PNG", transparency=transparency))[0], [[255, 255, 255], [40, 50, 60]])
    np.testing.assert_array_equal(decode(encode(palette, "GIF", transparency=0))[0], [[255, 255, 255], [40, 50, 60]])
    colour = Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8))
    np.testing.assert_array_equal(decode(encode(colour, "PNG", transparency=(1, 2, 3)))[0], [[255] * 3, [4, 5, 6]])


def test_one_bit_grey_palette_and_ycbcr_become_colour(photo: Pixels) -> None:
    picture = Image.fromarray(photo)
    grey = np.asarray(picture.convert("L"))
    np.testing.assert_array_equal(decode(encode(grey, "PNG")), np.stack([grey] * 3, axis=2))
    bits = picture.convert("1")
    np.testing.assert_array_equal(decode(encode(bits, "PNG"))[..., 1], np.asarray(bits) * 255)
    palette = picture.convert("P")
    np.testing.assert_array_equal(decode(encode(palette, "PNG")), np.asarray(palette.convert("RGB")))
    assert np.abs(decode(encode(picture.convert("YCbCr"), "TIFF")).astype(int) - photo).max() <= 4


def test_cmyk_is_converted_from_tiff_and_from_inverted_jpeg(photo: Pixels) -> None:
    cmyk = Image.fromarray(photo).convert("CMYK")
    np.testing.assert_array_equal(decode(encode(cmyk, "TIFF")), photo)
    found = decode_with_info(encode(cmyk, "JPEG", quality=95))
    assert found.mode == "CMYK"
    assert np.abs(found.pixels.astype(int) - photo).mean() < 4


def test_lab_is_converted(photo: Pixels) -> None:
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    lab = ImageCms.applyTransform(Image.fromarray(photo), to_lab)
    assert lab is not None
    assert np.abs(decode(encode(lab, "TIFF")).astype(int) - photo).mean() < 3


# Frames and orientation


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "WEBP", "PNG", "MPO"])
def test_only_the_first_frame_counts(kind: str) -> None:
    red, blue = Image.new("RGB", (8, 8), "red"), Image.new("RGB", (8, 8), "blue")
    options = {"lossless": True} if kind == "WEBP" else {}
    found = decode_with_info(encode(red, kind, save_all=True, append_images=[blue], **options))
    assert found.format == {"WEBP": "WebP", "MPO": "JPEG"}.get(kind, kind)
    assert np.abs(found.pixels.astype(int) - [255, 0, 0]).max() <= 2


_TO_STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,  # stored turned to the left, to be turned to the right
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "JPEG"])
@pytest.mark.parametrize("tag", range(1, 9))
def test_all_eight_orientations_give_the_upright_image(photo: Pixels, kind: str, tag: int) -> None:
    upright = Image.fromarray(np.kron(photo[:6, :9], np.ones((16, 16, 1), np.uint8)))  # flat 16x16 blocks: JPEG keeps them
    turn = _TO_STORED[tag]
    stored = upright if turn is None else upright.transpose(turn)
    exif = Image.Exif()
    exif[274] = tag
    options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {"quality": 100, "subsampling": 0} if kind == "JPEG" else {}
    found = decode_with_info(encode(stored, kind, exif=exif, **options))
    assert (found.width, found.height) == upright.size
    assert np.abs(found.pixels.astype(int) - np.asarray(upright)).max() <= (3 if kind == "JPEG" else 0)


@pytest.mark.parametrize("tag", [0, 9, 77])
def test_an_orientation_that_does_not_exist_is_ignored(photo: Pixels, tag: int) -> None:
    exif = Image.Exif()
    exif[274] = tag
    np.testing.assert_array_equal(decode(encode(photo, "PNG", exif=exif)), photo)


def test_damaged_metadata_does_not_spoil_a_sound_picture(photo: Pixels) -> None:
    data = encode(photo, "JPEG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\x7f nonsense")
    assert decode(data).shape == photo.shape
