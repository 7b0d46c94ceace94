"""Near-duplicates: copies are found, look-alikes and chains are not glued together."""

from __future__ import annotations

import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance

from seefit.data.duplicates import FINGERPRINT_BYTES, fingerprint, star_clusters


def jpeg(picture: Image.Image, quality: int) -> Image.Image:
    buffer = BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


@pytest.fixture(scope="module")
def photos(elpv_cells: dict[str, list[Path]]) -> list[Image.Image]:
    """Three colour photographs and three solar cells."""
    from skimage import data

    colour = [Image.fromarray(picture()) for picture in (data.astronaut, data.coffee, data.chelsea)]
    return colour + [Image.open(path).convert("RGB") for path in elpv_cells["functional"][:3]]


COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "as it is": lambda p: p,
    "JPEG 60": lambda p: jpeg(p, 60),
    "half size": lambda p: p.resize((p.width // 2, p.height // 2)),
    "224 px": lambda p: p.resize((224, 224)),
    "brighter": lambda p: ImageEnhance.Brightness(p).enhance(1.05),
    "darker": lambda p: ImageEnhance.Brightness(p).enhance(0.92),
    "small JPEG": lambda p: jpeg(p.resize((p.width * 2 // 3, p.height * 2 // 3)), 70),
}


@pytest.mark.parametrize("name", COPIES)
def test_copies_are_found(photos: list[Image.Image], name: str) -> None:
    copies = [COPIES[name](photo) for photo in photos]
    stands_for = star_clusters([fingerprint(p) for p in [*photos, *copies]])
    assert stands_for.tolist() == [0, 1, 2, 3, 4, 5] * 2


def test_a_fingerprint_is_small() -> None:
    assert len(fingerprint(Image.new("RGB", (400, 300)))) == FINGERPRINT_BYTES == 1152


def test_look_alike_solar_cells_are_not_merged(elpv_cells: dict[str, list[Path]]) -> None:
    paths = [*elpv_cells["functional"][:300], *elpv_cells["defective"][:100]]
    stands_for = star_clusters([fingerprint(Image.open(path).convert("RGB")) for path in paths])
    assert stands_for.tolist() == list(range(400))


def test_a_small_object_makes_another_picture(photos: list[Image.Image]) -> None:
    with_spot = photos[0].copy()
    ImageDraw.Draw(with_spot).ellipse((240, 240, 270, 270), fill="white")
    assert star_clusters([fingerprint(photos[0]), fingerprint(with_spot)]).tolist() == [0, 1]


def test_the_same_shape_in_another_colour_is_another_picture() -> None:
    pictures = []
    for colour in ((200, 60, 60), (60, 130, 60)):  # nearly the same grey
        picture = Image.new("RGB", (64, 64), (30, 30, 30))
        ImageDraw.Draw(picture).rectangle((16, 20, 48, 44), fill=colour)
        pictures.append(fingerprint(picture))
    assert star_clusters(pictures).tolist() == [0, 1]


def test_images_that_show_nothing_are_not_compared() -> None:
    blank = [fingerprint(Image.new("RGB", (9, 9), (level, level, level))) for level in (0, 128, 128, 255)]
    assert star_clusters(blank).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_to_compare(count: int) -> None:
    assert star_clusters([bytes(FINGERPRINT_BYTES)] * count).tolist() == list(range(count))


def drifting(frames: int) -> list[bytes]:
    """A chain: each frame is hardly different from the next, the first and the last are not alike."""
    ramp = np.linspace(0, np.pi, 32)
    waves = [np.sin(ramp[:, None] + 2 * ramp[None] + 2 * np.pi * t / frames) for t in range(frames)]
    return [(wave * 100 + 128).astype(np.uint8).tobytes() + bytes([128]) * 128 for wave in waves]


def test_a_chain_of_look_alikes_never_becomes_one_cluster() -> None:
    frames = drifting(600)
    stands_for = star_clusters(frames)
    sizes = np.bincount(stands_for, minlength=600)
    assert sizes.max() > 2  # neighbours do match ...
    assert sizes.max() < 30  # ... but the film falls into many clusters
    grey = np.frombuffer(b"".join(frames), np.uint8).reshape(600, -1)[:, :1024].astype(float)
    grey = (grey - grey.mean(axis=1, keepdims=True)) / grey.std(axis=1, keepdims=True)
    distance = np.sqrt(((grey - grey[stands_for]) ** 2).mean(axis=1))
    assert distance.max() <= 0.05  # every member matches the one that stands for it


def test_a_large_group_of_copies_becomes_one_cluster(photos: list[Image.Image]) -> None:
    one = np.frombuffer(fingerprint(photos[2]), np.uint8)
    noise = np.random.default_rng(0).integers(0, 2, (500, len(one)), np.uint8)
    assert set(star_clusters([row.tobytes() for row in one + noise]).tolist()) == {0}


def test_many_images_take_seconds_and_all_pairs_are_found() -> None:
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (4_000, 36), np.uint8)
    grey = np.stack([np.asarray(Image.fromarray(c.reshape(6, 6)).resize((32, 32), Image.Resampling.BICUBIC)) for c in coarse])
    first = np.concatenate([grey.reshape(4_000, -1), np.full((4_000, 128), 128, np.uint8)], axis=1)
    second = np.clip(first.astype(int) + random.integers(-2, 3, first.shape), 0, 255).astype(np.uint8)
    started = time.process_time()
    stands_for = star_clusters([row.tobytes() for row in np.concatenate([first, second])])
    assert time.process_time() - started < 10
    np.testing.assert_array_equal(stands_for[4_000:], stands_for[:4_000])
    np.testing.assert_array_equal(stands_for[:4_000], np.arange(4_000))
