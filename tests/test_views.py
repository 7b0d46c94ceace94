"""Views: what is drawn, that it is drawn the same whatever happens around it, and that it does what its name says."""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from seefit.training.augment import AUGMENTATIONS, parse_augmentation
from seefit.training.changes import LARGEST, Pixels, turned
from seefit.training.views import View, make_view

SHA = "a" * 64
OTHER = "b" * 64
ORIENTATIONS = [(quarters, mirrored) for quarters in range(4) for mirrored in (False, True)]


@functools.cache
def photo() -> Pixels:
    """A real photograph, 150 x 226."""
    from skimage import data

    pixels: Pixels = np.ascontiguousarray(data.chelsea()[::2, ::2])
    pixels.setflags(write=False)
    return pixels


def view(value: str, seed: int = 0) -> View:
    return make_view(parse_augmentation(value), seed=seed)


def views(value: str, count: int = 8, *, seed: int = 0, sha256: str = SHA, pixels: Pixels | None = None) -> list[bytes]:
    """Return views 0, 1 … as bytes."""
    make = view(value, seed)
    return [make(photo() if pixels is None else pixels, sha256, number).tobytes() for number in range(count)]


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_number_0_is_the_image_itself(name: str) -> None:
    assert view(name)(photo(), SHA, 0) is photo()


def test_any_way_up_gives_each_symmetry_of_the_square_once_in_eight_views() -> None:
    square = photo()[:120, 50:170]
    all_eight = {turned(square, *orientation).tobytes() for orientation in ORIENTATIONS}
    found = views("any-way-up", 24, pixels=square)
    assert found[0] == square.tobytes()
    assert len(all_eight) == 8
    assert [set(found[first : first + 8]) for first in (0, 8, 16)] == [all_eight] * 3


def test_the_order_of_symmetries_is_the_images_own_and_not_the_seeds() -> None:
    assert views("any-way-up", seed=1) == views("any-way-up", seed=2)
    orders = {tuple(views("any-way-up", sha256=str(i))) for i in range(10)}
    assert len(orders) > 5
    firsts = [views("any-way-up", 2, sha256=str(i))[1] for i in range(100)]
    assert len(set(firsts)) == 7  # with two views an image, the set still shows every way


def test_even_flips_take_turns_and_uneven_ones_are_drawn() -> None:
    flipped = photo()[:, ::-1].tobytes()
    assert views("horizontal_flip=0.5", 4) == [photo().tobytes(), flipped] * 2
    drawn = views("horizontal_flip=0.2", 300)[1:]
    assert 0.12 < sum(pixels == flipped for pixels in drawn) / 299 < 0.28
    assert len(set(views("quarter_turns=on,vertical_flip=0.6", 100))) == 8


@pytest.mark.parametrize("name", ["medium", "strong", "horizontal_flip=0.3"])
def test_seed_image_and_number_decide_and_nothing_else(name: str) -> None:
    found = views(name, 6)
    torch.manual_seed(5)
    np.random.seed(5)
    assert views(name, 6) == found
    assert float(torch.rand(1)) == float(torch.rand(1, generator=torch.Generator().manual_seed(5)))  # nobody drew in between
    assert np.random.random() == np.random.RandomState(5).random()
    if name != "horizontal_flip=0.3":
        assert len(set(found)) == 6
        assert not set(found[1:]) & set(views(name, 6, seed=1))
        assert not set(found[1:]) & set(views(name, 6, sha256=OTHER))


def test_threads_make_the_same_views_in_any_order() -> None:
    make = view("strong")
    images = {SHA: photo()[::3, ::2], OTHER: photo()[::2, ::3]}
    wanted = [(sha256, number) for sha256 in images for number in range(16)]
    alone = {key: make(images[key[0]], *key).tobytes() for key in wanted}
    mixed = [wanted[int(i)] for i in np.random.default_rng(0).permutation(len(wanted))]
    with ThreadPoolExecutor(8) as pool:
        made = pool.map(lambda key: make(images[key[0]], *key).tobytes(), mixed)
        together: dict[tuple[str, int], bytes] = dict(zip(mixed, made, strict=True))
    assert together == alone


def test_what_is_given_is_never_changed() -> None:
    pixels = photo().copy()
    for name in AUGMENTATIONS:
        for number in range(8):
            view(name)(pixels, SHA, number)
    assert np.array_equal(pixels, photo())


def exact(pixels: Pixels) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return pixels.astype(np.float64)


def extremes(pixels: Pixels) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Return the sum of the largest and the smallest channel: the opposite colour is what a colour lacks of it."""
    return np.asarray(exact(pixels).max(2, keepdims=True) + exact(pixels).min(2, keepdims=True))


PARTS: dict[str, Callable[[Pixels, Pixels], bool]] = {
    "rotation=180..180": lambda image, found: np.array_equal(found, image[::-1, ::-1]),
    "horizontal_flip=1": lambda image, found: np.array_equal(found, image[:, ::-1]),
    "vertical_flip=1": lambda image, found: np.array_equal(found, image[::-1]),
    "zoom=2..2": lambda image, found: abs(found.mean() - image[37:113, 56:170].mean()) < 2 and found.shape == image.shape,
    "zoom=0.5..0.5": lambda image, found: abs(found[37:113, 56:170].mean() - image.mean()) < 2 and found.shape == image.shape,
    "crop=0.25..0.25": lambda image, found: found.shape == (75, 113, 3),
    "crop=0.25..0.25,ratio=2..2": lambda image, found: found.shape == (53, 160, 3),
    "brightness=0.5..0.5": lambda image, found: np.abs(exact(found) - image / 2).max() <= 1,
    "contrast=0..0": lambda image, found: len(np.unique(found)) == 1 and abs(found.mean() - image.mean()) < 20,
    "saturation=0..0": lambda image, found: np.array_equal(found[..., 0], found[..., 2]),
    "hue=0.5..0.5": lambda image, found: np.abs(extremes(image) - image - found).max() <= 3,
    "greyscale=1": lambda image, found: np.array_equal(found[..., 0], found[..., 1]),
    "erasing=1": lambda image, found: 0.015 < (found != image).any(2).mean() <= 0.34,
}  # fmt: skip


@pytest.mark.parametrize("value", PARTS)
def test_each_part_does_what_its_name_says(value: str) -> None:
    for number in (1, 2, 3):
        found = view(value)(photo(), SHA, number)
        assert found.dtype == np.uint8
        assert found.flags.c_contiguous
        assert PARTS[value](photo(), found), found.shape


@pytest.mark.parametrize("value", ["rotation=0", "mixup=0.5", "cutmix=1,noise=0.3", "greyscale=0", "crop=1"])
def test_what_is_off_and_what_mixes_batches_makes_no_views(value: str) -> None:
    assert set(views(value)) == {photo().tobytes()}


def test_ranges_are_drawn_from_end_to_end() -> None:
    make = view("crop=0.3..0.9,ratio=0.5..2")
    shapes = np.array([make(photo(), SHA, number).shape[:2] for number in range(1, 400)])
    area = shapes.prod(1) / (150 * 226)
    assert area.min() == pytest.approx(0.3, abs=0.02)
    assert area.max() == pytest.approx(0.9, abs=0.02)
    assert area.mean() == pytest.approx(0.6, abs=0.03)
    ratio = (shapes[:, 1] / 226) / (shapes[:, 0] / 150)
    assert ratio.min() < 0.6
    assert ratio.max() > 1.7
    light = view("brightness=0.5..1.5")
    means = np.array([light(photo()[:40, :40] // 2, SHA, number).mean() for number in range(1, 200)]) / (photo()[:40, :40] // 2).mean()
    assert means.min() < 0.52
    assert means.max() > 1.47
    assert means.mean() == pytest.approx(1, abs=0.06)


def test_to_switch_one_part_leaves_the_others_as_they_were() -> None:
    shapes = {
        value: [view(value)(photo(), SHA, number).shape for number in range(1, 7)]
        for value in ("medium", "medium,hue=0.1,brightness=off", "medium,rotation=off", "medium,erasing=1,trivial=on")
    }
    assert len(set(map(tuple, shapes.values()))) == 1
    assert len(set(shapes["medium"])) > 1


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (2, 2), (7, 3)])
@pytest.mark.parametrize("value", ["medium", "strong", "any-way-up", "rotation=90,zoom=0.9,erasing=1,greyscale=1"])
def test_images_of_any_size_have_views(value: str, size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    for number in range(8):
        found = view(value)(pixels, SHA, number)
        assert found.dtype == np.uint8
        assert found.ndim == 3
        assert found.size >= 3


def test_large_images_are_made_smaller_first_but_only_where_pixels_are_made() -> None:
    large = np.tile(photo(), (28, 18, 1))  # 17 megapixels
    assert large.shape[0] * large.shape[1] > 16_000_000
    found = view("medium")(large, SHA, 1)
    assert 0.5 * LARGEST < found.shape[0] * found.shape[1] < LARGEST
    assert view("any-way-up")(large, SHA, 1).size == large.size
