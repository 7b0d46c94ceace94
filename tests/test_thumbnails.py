"""Small pictures with nothing but pixels in them."""

from __future__ import annotations

import base64
import hashlib
import io
from pathlib import Path

import numpy as np
from PIL import Image

from seefit.report.thumbnails import thumbnail

LIMIT = 10**8


def opened(address: str) -> Image.Image:
    kind, data = address.split(",", 1)
    assert kind == "data:image/webp;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


def test_a_photograph_becomes_small_and_stays_itself(elpv_cells: dict[str, list[Path]]) -> None:
    path = elpv_cells["functional"][0]
    address, why = thumbnail(path.parent, path.name, hashlib.sha256(path.read_bytes()).hexdigest(), max_pixels=LIMIT)
    picture = opened(address)
    assert why == ""
    assert picture.size == (160, 160)
    assert opened(thumbnail(path.parent, path.name, "", max_pixels=LIMIT, largest_px=96)[0]).size == (96, 96)
    truth = np.asarray(Image.open(path).convert("L").resize((160, 160), Image.Resampling.LANCZOS), np.float64)
    assert np.abs(np.asarray(picture.convert("L"), np.float64) - truth).mean() < 5


def test_exif_is_applied_and_left_behind(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "the photographer's secret"
    Image.new("RGB", (400, 200), "red").save(tmp_path / "a.jpg", exif=exif, comment=b"secret too")
    address, _ = thumbnail(tmp_path, "a.jpg", "", max_pixels=LIMIT)
    picture = opened(address)
    assert picture.size == (80, 160), "turned upright"
    assert not picture.getexif()
    assert b"secret" not in base64.b64decode(address.split(",", 1)[1])


def test_what_cannot_be_shown_says_why(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    Image.new("RGB", (9, 9)).save(tmp_path / "outside.png")
    Image.new("RGB", (9, 9)).save(tmp_path / "data" / "a.png")
    (tmp_path / "data" / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nhalf")
    root = tmp_path / "data"
    assert thumbnail(root, "none.png", "", max_pixels=LIMIT) == ("", "gone")
    assert thumbnail(root, "a.png", "0" * 64, max_pixels=LIMIT) == ("", "changed")
    assert thumbnail(root, "bad.png", "", max_pixels=LIMIT) == ("", "unreadable")
    assert thumbnail(root, "a.png", "", max_pixels=80) == ("", "unreadable")
    assert thumbnail(root, "../outside.png", "", max_pixels=LIMIT) == ("", "gone"), "a run folder cannot pull in other files"
    assert thumbnail(root, str(tmp_path / "outside.png"), "", max_pixels=LIMIT) == ("", "gone")
