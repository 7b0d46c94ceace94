"""What happens to pixels, against numpy and Pillow."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor

from seefit.training.changes import (
    COLOURS,
    LARGEST,
    TRIVIAL,
    Pixels,
    box_of,
    cropped,
    erased,
    grey,
    rotation,
    shrunk,
    to_pixels,
    to_tensor,
    turned,
    warped,
    whole,
)


def photo(height: int = 48, width: int = 64) -> Pixels:
    """A real photograph, made small."""
    from skimage import data

    return np.array(Image.fromarray(data.astronaut()).resize((width, height), Image.Resampling.BOX))


def noise(*size: int) -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)


def tensor(height: int = 48, width: int = 64) -> Tensor:
    return to_tensor(photo(height, width))


def difference(first: Tensor, second: Tensor | Image.Image) -> int:
    """The largest difference of two images in grey levels."""
    other = to_pixels(second) if isinstance(second, Tensor) else np.asarray(second)
    return int(np.abs(to_pixels(first).astype(int) - other.astype(int)).max())


def test_pixels_go_to_tensors_and_back() -> None:
    pixels = photo()
    pixels.setflags(write=False)
    image = to_tensor(pixels)
    assert (image.shape, image.dtype) == ((3, 48, 64), torch.uint8)
    image += 1  # its own memory
    assert np.array_equal(to_pixels(image), pixels + np.uint8(1))


def test_large_images_are_averaged_over_whole_boxes() -> None:
    pixels = noise(4000, 4000)
    small = shrunk(pixels)
    assert small.shape == (1000, 1000, 3)
    assert np.abs(small[100, 200] - pixels[400:404, 800:804].mean((0, 1))).max() <= 1
    enough = pixels[:1000, : LARGEST // 1000]
    assert shrunk(enough) is enough


def test_the_eight_orientations() -> None:
    pixels = noise(3, 5)
    assert np.array_equal(turned(pixels, 0, False), pixels)
    assert np.array_equal(turned(pixels, 0, True), pixels[:, ::-1])
    assert np.array_equal(turned(pixels, 2, True), pixels[::-1])
    assert np.array_equal(turned(pixels, 1, False), pixels.transpose(1, 0, 2)[::-1])  # anticlockwise
    square = noise(4, 4)
    assert len({turned(square, quarters, mirrored).tobytes() for quarters in range(4) for mirrored in (False, True)}) == 8
    assert all(turned(pixels, quarters, True).flags.c_contiguous for quarters in range(4))


def test_a_warp_by_nothing_changes_nothing() -> None:
    image = tensor()
    assert torch.equal(warped(image, rotation(0), whole(image)), image)


@pytest.mark.parametrize(("size", "degrees", "quarters"), [((40, 40), 90, 1), ((40, 40), -90, 3), ((40, 57), 180, 2), ((41, 41), 90, 1)])
def test_rotations_by_right_angles_are_exact(size: tuple[int, int], degrees: float, quarters: int) -> None:
    pixels = photo(*size)
    image = warped(to_tensor(pixels), rotation(degrees), (0, 0, *size))
    assert np.array_equal(to_pixels(image), turned(pixels, quarters, False))


def test_a_rotation_agrees_with_pillow_where_the_image_is_seen() -> None:
    pixels = photo(201, 201)
    ours = to_pixels(warped(to_tensor(pixels), rotation(20), (0, 0, 201, 201)))
    theirs = np.asarray(Image.fromarray(pixels).rotate(20, Image.Resampling.BILINEAR))
    middle = slice(50, 150)
    assert np.abs(ours[middle, middle].astype(int) - theirs[middle, middle]).max() <= 1


def test_zoom_in_shows_the_middle_larger_and_zoom_out_all_of_it() -> None:
    image = tensor(40, 40)
    large = warped(image, rotation(0, 2.0), whole(image)).float()
    again = torch.nn.functional.avg_pool2d(large[None], 2)[0]
    assert (again[:, 1:-1, 1:-1] - image[:, 11:29, 11:29]).abs().mean() < 8
    small = warped(image, rotation(0, 0.5), whole(image)).float()
    pooled = torch.nn.functional.avg_pool2d(image[None].float(), 2)[0]
    assert torch.allclose(small[:, 10:30, 10:30], pooled, atol=0.76)  # halfway between four pixels, rounded


def test_places_beyond_the_edge_are_reflected() -> None:
    pixels = photo(20, 30)
    moved = warped(to_tensor(pixels), (1, 0, 7, 0, 1, -4), (0, 0, 20, 30))
    around = np.pad(pixels, ((20, 20), (30, 30), (0, 0)), mode="symmetric")
    assert np.array_equal(to_pixels(moved), around[16:36, 37:67])


def test_a_plain_image_stays_plain_at_any_angle() -> None:
    plain = torch.full((3, 31, 17), 200, dtype=torch.uint8)
    assert all(torch.equal(warped(plain, rotation(angle, 0.3), whole(plain)), plain) for angle in range(0, 180, 7))


def test_to_warp_a_part_is_to_cut_it_out_of_the_whole() -> None:
    image, box = tensor(), (5, 11, 20, 30)
    assert torch.equal(warped(image, rotation(17, 1.2), box), cropped(warped(image, rotation(17, 1.2), whole(image)), box))


@pytest.mark.parametrize("share", [0.01, 0.25, 0.6, 0.99, 1.0])
@pytest.mark.parametrize("ratio", [0.1, 0.75, 1.0, 4 / 3, 10.0])
def test_boxes_have_their_area_and_lie_inside(share: float, ratio: float) -> None:
    for place in (0.0, 0.3, 1.0):
        top, left, height, width = box_of(share, ratio, place, 1 - place, 600, 1000)
        assert height * width / 600_000 == pytest.approx(share, rel=0.03)
        assert 0 <= top <= 600 - height
        assert 0 <= left <= 1000 - width
    if share == 0.25 and 0.5 < ratio < 2:
        assert width / 1000 / (height / 600) == pytest.approx(ratio, rel=0.02)
    assert box_of(share, ratio, 0, 0, 600, 1000)[:2] == (0, 0)
    assert box_of(share, ratio, 0.5, 0.5, 1, 1) == (0, 0, 1, 1)


def test_a_patch_is_painted_in_the_mean_colour() -> None:
    image = tensor()
    kept = image.clone()
    painted = erased(image, (10, 20, 5, 7))
    changed = (painted != image).any(0)
    assert torch.equal(image, kept)
    outside = torch.ones_like(changed)
    outside[10:15, 20:27] = False
    assert not changed[outside].any()
    assert changed.any()
    patch = painted[:, 10:15, 20:27].flatten(1)
    assert torch.equal(patch, image.float().mean((1, 2)).round().to(torch.uint8)[:, None].expand_as(patch))


@pytest.mark.parametrize(
    ("name", "pillow"),
    [("brightness", ImageEnhance.Brightness), ("contrast", ImageEnhance.Contrast), ("saturation", ImageEnhance.Color)],
)
@pytest.mark.parametrize("factor", [0.0, 0.6, 1.0, 1.7])
def test_colours_change_as_in_pillow(name: str, pillow: Callable[..., ImageEnhance.Color], factor: float) -> None:
    expected = pillow(Image.fromarray(photo())).enhance(factor)
    assert difference(COLOURS[name](tensor(), factor), expected) <= 2


def test_hue_goes_round_the_circle() -> None:
    red = torch.tensor([255, 0, 0], dtype=torch.uint8)[:, None, None]
    assert COLOURS["hue"](red, 1 / 3).flatten().tolist() == [0, 255, 0]
    assert COLOURS["hue"](red, -1 / 3).flatten().tolist() == [0, 0, 255]
    assert COLOURS["hue"](red, 0.5).flatten().tolist() == [0, 255, 255]
    assert difference(grey(COLOURS["hue"](tensor(), 0.0)), grey(tensor())) <= 1


def test_grey_has_three_equal_channels() -> None:
    image = grey(tensor())
    assert torch.equal(image[0], image[1])
    assert torch.equal(image[0], image[2])
    assert np.abs(to_pixels(image)[..., 0].astype(int) - np.asarray(Image.fromarray(photo()).convert("L"))).max() <= 1


PILLOW: dict[str, Callable[[Image.Image], Image.Image]] = {
    "brightness": lambda image: ImageEnhance.Brightness(image).enhance(1.495),
    "contrast": lambda image: ImageEnhance.Contrast(image).enhance(1.495),
    "saturation": lambda image: ImageEnhance.Color(image).enhance(1.495),
    "posterize": lambda image: ImageOps.posterize(image, 5),
    "solarize": lambda image: ImageOps.solarize(image, 128),
    "autocontrast": ImageOps.autocontrast,
    "equalize": ImageOps.equalize,
}


@pytest.mark.parametrize("name", PILLOW)
def test_the_colours_of_trivialaugment_are_those_of_pillow(name: str) -> None:
    assert difference(TRIVIAL[name](tensor(), 0.5), PILLOW[name](Image.fromarray(photo()))) <= 2


def test_the_fourteen_changes_of_trivialaugment() -> None:
    image = tensor() // 2 + 20
    assert len(TRIVIAL) == 14
    still = [name for name, change in TRIVIAL.items() if torch.equal(change(image, 0.0), image)]
    assert set(TRIVIAL) - set(still) == {"autocontrast", "equalize"}  # these have one strength
    moved = [name for name, change in TRIVIAL.items() if not torch.equal(change(image, 1.0), image)]
    assert set(TRIVIAL) - set(moved) == {"identity"}
    one_way = [name for name, change in TRIVIAL.items() if torch.equal(change(image, 0.7), change(image, -0.7))]
    assert one_way == ["identity", "posterize", "solarize", "autocontrast", "equalize"]


def test_the_geometry_of_trivialaugment() -> None:
    image = tensor(56, 70)
    pixels = to_pixels(image)
    right = to_pixels(TRIVIAL["translate-x"](image, 1.0))
    assert np.array_equal(right[:, :60], pixels[:, 10:])  # a seventh of the width
    down = to_pixels(TRIVIAL["translate-y"](image, -1.0))
    assert np.array_equal(down[8:], pixels[:48])
    assert torch.equal(TRIVIAL["rotate"](image, 1 / 3), warped(image, rotation(45), whole(image)))
    for name, matrix in {"shear-x": (1, 0.99, -0.99 * 28, 0, 1, 0), "shear-y": (1, 0, 0, 0.99, 1, -0.99 * 35)}.items():
        theirs = np.asarray(Image.fromarray(pixels).transform((70, 56), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR))
        ours = to_pixels(TRIVIAL[name](image, 1.0))
        assert np.abs(ours[20:36, 25:45].astype(int) - theirs[20:36, 25:45]).max() <= 2


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (2, 3)])
@pytest.mark.parametrize("name", TRIVIAL)
def test_every_change_takes_any_size(name: str, size: tuple[int, int]) -> None:
    image = to_tensor(noise(*size))
    for strength in (-1.0, 1.0):
        found = TRIVIAL[name](image, strength)
        assert (found.shape, found.dtype) == (image.shape, torch.uint8)
