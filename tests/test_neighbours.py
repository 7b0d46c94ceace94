"""The gallery of a bundle: what is written is read again, and nothing else is."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file

from seefit.bundle import neighbours as module
from seefit.bundle.neighbours import Float, Gallery, directions, read_gallery
from seefit.errors import ArtefactError

NAMES = ["a.png", "裂纹 <b>.png", "c.png", "d.png", "e.png"]


def jpeg(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (value, value, value)).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture
def features() -> Float:
    return np.random.default_rng(0).normal(2, 3, (5, 6)).astype(np.float32)


@pytest.fixture
def gallery(features: Float) -> Gallery:
    mean, projection = np.asarray(features.mean(0), np.float32), np.full((6, 6), 1 / 3, np.float32) * np.eye(6, dtype=np.float32)
    points = directions(np.asarray((features - mean) @ projection, np.float32)).astype(np.float16)
    return Gallery(mean, projection, points, np.array([0, 1, 0, 1, 1]), NAMES, [jpeg(40 * i) for i in range(5)])


@pytest.fixture
def file(gallery: Gallery, tmp_path: Path) -> Path:
    path = tmp_path / "gallery.safetensors"
    path.write_bytes(gallery.to_bytes())
    return path


def test_an_image_is_nearest_to_itself_and_the_others_follow_by_their_cosine(file: Path, features: Float) -> None:
    read = read_gallery(file, 6, 2)
    assert (list(read.names), list(read.pictures)) == (NAMES, [jpeg(40 * i) for i in range(5)])
    for row, label in enumerate([0, 1, 0, 1, 1]):
        first = read.nearest(features[row], 1)[0]
        assert (first.name, first.label, first.picture) == (NAMES[row], label, jpeg(40 * row))
        assert first.similarity == pytest.approx(1, abs=1e-3)
    centred = features - features.mean(0)
    length = np.linalg.norm(centred, axis=1)
    cosines = np.sort(centred @ centred[0] / length / length[0])[::-1]
    assert [one.similarity for one in read.nearest(features[0], 9)] == pytest.approx(cosines.tolist(), abs=2e-3)


def test_the_same_gallery_is_the_same_file(gallery: Gallery, file: Path) -> None:
    assert gallery.to_bytes() == file.read_bytes()


def forged(file: Path, **arrays: Any) -> Path:
    """Write the file again with other arrays in it."""
    save_file({**load_file(file), **arrays}, file)
    return file


FORGED: dict[str, tuple[dict[str, Any], str]] = {
    "another graph": ({"mean": np.zeros(7, np.float32)}, "Expected ends int64 (2, any), labels int64 (any,), mean float32 (6,), "),
    "labels of more images": ({"labels": np.zeros(6, np.int64)}, "Expected a point, a class, a name and a picture of every image, got "),
    "no image": (
        {"points": np.zeros((0, 6), np.float16), "labels": np.zeros(0, np.int64), "ends": np.zeros((2, 0), np.int64)},
        "Expected a point, a class, a name and a picture of every image, got ",
    ),
    "a class too many": ({"labels": np.array([0, 1, 2, 0, 0])}, "Expected JPEGs of 2 classes, got something else."),
    "a class below none": ({"labels": np.array([0, 1, -1, 0, 0])}, "Expected JPEGs of 2 classes, got something else."),
    "no JPEG": ({"pictures": np.zeros(5, np.uint8), "ends": np.array([[1, 2, 3, 4, 5]] * 2)}, "Expected "),
    "ends that go back": (
        {"ends": np.array([[9, 2, 3, 4, 5]] * 2)},
        "Expected pieces of at most 1,024 bytes, one after another, got others.",
    ),
    "an end past the end": ({"ends": np.array([[1, 2, 3, 4, 2**60]] * 2)}, "Expected pieces of at most 1,024 bytes, one after another, "),
    "nothing finite": ({"mean": np.full(6, np.nan, np.float32)}, "Expected finite numbers, got others."),
    "infinite points": ({"points": np.full((5, 6), np.inf, np.float16)}, "Expected finite numbers, got others."),
}


@pytest.mark.parametrize("kind", FORGED)
def test_what_is_forged_is_refused(file: Path, kind: str) -> None:
    arrays, said = FORGED[kind]
    with pytest.raises(ArtefactError) as caught:
        read_gallery(forged(file, **arrays), 6, 2)
    assert caught.value.message.startswith(f"The bundle is damaged: {file}. {said}")


def test_a_picture_or_a_file_that_is_too_large_is_refused(gallery: Gallery, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    large = [*gallery.pictures[:4], gallery.pictures[4] + b"0" * 2**16]
    file.write_bytes(replace(gallery, pictures=large).to_bytes())
    with pytest.raises(ArtefactError, match=r"Expected pieces of at most 65,536 bytes, one after another, got others\."):
        read_gallery(file, 6, 2)
    monkeypatch.setattr(module, "MAX_GALLERY_BYTES", 1_000)
    with pytest.raises(ArtefactError, match=r"Expected at most 1,000 bytes, got "):
        read_gallery(file, 6, 2)
