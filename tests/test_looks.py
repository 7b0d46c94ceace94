"""A glance tells how bright and how sharp a picture is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from seefit.data.dataset import Sample
from seefit.data.duplicates import fingerprint
from seefit.data.looks import brightness, measure_sharpness, sharpness


def grey(level: int, size: tuple[int, int] = (40, 30)) -> Image.Image:
    return Image.new("RGB", size, (level, level, level))


def test_brightness_is_the_mean_level() -> None:
    assert [round(brightness(fingerprint(grey(level))), 2) for level in (0, 51, 255)] == [0.0, 0.2, 1.0]


def test_blur_makes_a_photograph_less_sharp_and_size_changes_little(elpv_cells: dict[str, list[Path]]) -> None:
    for path in elpv_cells["functional"][:5]:
        photo = Image.open(path).convert("RGB")
        sharp = sharpness(photo)
        blurred = [sharpness(photo.filter(ImageFilter.GaussianBlur(radius))) for radius in (1, 3)]
        assert sharp > blurred[0] > blurred[1]
        assert sharpness(photo.resize((1200, 1200), Image.Resampling.BICUBIC)) == pytest.approx(sharp, rel=0.5)


def test_noise_is_sharp_and_what_shows_nothing_is_not() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    assert sharpness(Image.fromarray(noise)) > 1
    assert sharpness(Image.fromarray(noise // 4 + 90)) == pytest.approx(sharpness(Image.fromarray(noise)), rel=0.02), "pale is not blurred"
    assert [sharpness(grey(90, size)) for size in ((40, 30), (1, 1), (2, 4000), (4000, 1))] == [0, 0, 0, 0]


def test_some_images_are_measured_and_others_are_unknown(elpv_cells: dict[str, list[Path]], tmp_path: Path) -> None:
    samples = [Sample(path, path.name, None) for path in elpv_cells["functional"][:9]]
    found = measure_sharpness(samples, 5)
    assert np.isfinite(found).tolist() == [True, False] * 4 + [True]
    assert found[2] == sharpness(Image.open(samples[2].path).convert("RGB"))
    (tmp_path / "bad.png").write_bytes(b"")
    bad = [Sample(tmp_path / name, name, None) for name in ("bad.png", "gone.png")]
    assert np.isnan(measure_sharpness([*bad, *samples], 100)).tolist() == [True, True] + [False] * 9
    assert len(measure_sharpness([], 5)) == 0
