"""The grid of training images."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seefit import Dataset
from seefit.errors import DataError, UsageError
from test_listing import touch


def titles(dataset: Dataset, n: int = 9, seed: int = 0) -> list[str]:
    return [axes.get_title() for axes in dataset.show_batch(n, seed=seed).axes]


def drawn(dataset: Dataset, n: int = 9, seed: int = 0) -> list[bytes]:
    return [np.asarray(axes.get_images()[0].get_array()).tobytes() for axes in dataset.show_batch(n, seed=seed).axes]


def test_nine_real_photographs_with_their_labels(photo_folder: Callable[..., Path]) -> None:
    dataset = Dataset.read(photo_folder(8))
    figure = dataset.show_batch()
    assert len(figure.axes) == 9
    assert len({round(axes.get_position().x0, 4) for axes in figure.axes}) == 3
    by_pixels = {np.asarray(Image.open(sample.path).convert("RGB")).tobytes(): sample.label for sample in dataset.samples}
    assert [by_pixels[pixels] for pixels in drawn(dataset)] == titles(dataset)
    assert set(titles(dataset)) == {"defective", "functional"}


def test_the_seed_chooses(photo_folder: Callable[..., Path]) -> None:
    dataset = Dataset.read(photo_folder(8))
    assert drawn(dataset, seed=1) == drawn(dataset, seed=1) != drawn(dataset, seed=2)


@pytest.mark.parametrize(("n", "shown"), [(1, 1), (5, 5), (50, 8)])
def test_any_number(photo_folder: Callable[..., Path], n: int, shown: int) -> None:
    assert len(titles(Dataset.read(photo_folder(4)), n)) == shown


def test_only_training_images_are_shown(photo_folder: Callable[..., Path], tmp_path: Path) -> None:
    photo_folder(1, root=tmp_path / "data/train")
    photo_folder(3, root=tmp_path / "data/test", start=5)
    assert len(titles(Dataset.read(tmp_path / "data"))) == 2


def test_odd_labels_and_broken_images(tmp_path: Path) -> None:
    for name in ("$5_{x", "猫", "<script>\n\x1b[31m" + "x" * 40):
        (tmp_path / name).mkdir()
        Image.new("RGB", (1000, 200), "teal").save(tmp_path / name / "1.png")
    touch(tmp_path, "猫/broken.jpg")
    dataset = Dataset.read(tmp_path)
    figure = dataset.show_batch()
    figure.savefig(tmp_path / "figure.svg")
    assert sorted(titles(dataset)) == ["$5_{x", "<script>\\n\\x1b[31mxxx…", "猫"]
    assert np.asarray(figure.axes[0].get_images()[0].get_array()).shape == (64, 320, 3)


def test_nothing_to_show(tmp_path: Path) -> None:
    touch(tmp_path, "cat/1.jpg", "dog/1.jpg")
    with pytest.raises(DataError, match="Expected at least one training image that can be decoded, got none of 2"):
        Dataset.read(tmp_path).show_batch()
    with pytest.raises(UsageError, match="Expected a whole number of at least 1, got 0"):
        Dataset.read(tmp_path).show_batch(0)


def test_pyplot_stays_out_of_it(photo_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    assert titles(Dataset.read(photo_folder(1)))
