"""The one decoder: every kind of file that it takes, refuses and must survive."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import threading
import tracemalloc
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from encoded import Pixels, colour_photo, encode, reason
from seefit.data import image as image_module
from seefit.data.image import SHRINK_ABOVE, Undecodable, Unreadable, decode, decode_with_info, read_file


@pytest.fixture(scope="module")
def photo() -> Pixels:
    return colour_photo()


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png_bomb(side: int) -> bytes:
    """A grey PNG of side x side zeros whose file is tiny."""
    packer = zlib.compressobj(1)
    row = bytes(1 + side)
    body = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_lossless_formats_come_back_as_they_were(photo: Pixels, kind: str) -> None:
    found = decode_with_info(encode(photo, kind))
    assert (found.format, found.mode, found.width, found.height) == (kind, "RGB", 90, 60)
    assert found.pixels.dtype == np.uint8
    assert found.pixels.flags.writeable
    np.testing.assert_array_equal(found.pixels, photo)


@pytest.mark.parametrize(("kind", "name", "off"), [("JPEG", "JPEG", 6), ("WEBP", "WebP", 4), ("GIF", "GIF", 6)])
def test_lossy_formats_come_back_nearly(photo: Pixels, kind: str, name: str, off: float) -> None:
    found = decode_with_info(encode(photo, kind))
    assert found.format == name
    assert np.abs(found.pixels.astype(int) - photo).mean() < off


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_file_cut_short_is_refused(photo: Pixels, kind: str, share: float) -> None:
    data = encode(photo, kind)
    assert reason(data[: int(share * len(data))]).startswith(("truncated", "corrupt"))


def test_half_a_jpeg_says_that_it_is_truncated(photo: Pixels) -> None:
    data = encode(photo, "JPEG")
    assert reason(data[: len(data) // 2]) == "truncated JPEG"


def test_a_png_with_a_bad_checksum_or_no_end_is_refused(photo: Pixels) -> None:
    data = encode(photo, "PNG")
    at = data.index(b"IDAT") - 4
    length = int.from_bytes(data[at : at + 4], "big")
    crc = at + 8 + length
    assert reason(data[:crc] + bytes([data[crc] ^ 1]) + data[crc + 1 :]) == "PNG with a bad checksum"
    assert reason(data[:-12]) == "truncated PNG"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "0 bytes"),
        (b"<!DOCTYPE html><p>404", "HTML page, not an image"),
        (b"\xef\xbb\xbf\n <HTML><body>", "HTML page, not an image"),
        (b"not found\n", "text, not an image"),
        ("déjà vu ".encode() * 300, "text, not an image"),
        (b"%PDF-1.7\n", "PDF document, not an accepted image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "PostScript or EPS, not an accepted image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG, not an accepted image"),
        (b"PK\x03\x04rest", "zip archive, not an accepted image"),
        (b"\x00\x00\x00\x18ftypheic", "HEIC, AVIF or video, not an accepted image"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS pointer, not the image itself"),
        (bytes(range(256)), "no image of a known kind"),
        (b"\xff\xd8\xff", "corrupt JPEG"),
        (b"\x89PNG\r\n\x1a\n", "truncated PNG"),
        (b"RIFF\x00\x00\x00\x00WEBP", "truncated WebP"),
        (b"BMxx", "corrupt BMP"),
    ],
)
def test_what_is_no_image_says_what_it_is(data: bytes, why: str) -> None:
    assert reason(data) == why


def test_formats_outside_the_six_are_never_decoded(photo: Pixels) -> None:
    for kind in ("PPM", "ICO", "TGA", "JPEG2000", "AVIF", "PCX", "SGI"):
        try:
            data = encode(photo, kind)
        except (OSError, KeyError, ValueError):  # this Pillow cannot write it
            continue
        assert "image" in reason(data)


def test_eps_starts_no_child_process(photo: Pixels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise AssertionError(f"a child process was started: {args}")

    for module, name in ((subprocess, "Popen"), (os, "system"), (os, "posix_spawn"), (os, "fork")):
        monkeypatch.setattr(module, name, refuse)
    path = tmp_path / "drawing.jpg"
    path.write_bytes(encode(photo, "EPS"))
    with pytest.raises(Undecodable, match="PostScript or EPS"):
        decode(path)


def test_the_error_names_the_file_and_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "empty.jpg"
    path.touch()
    with pytest.raises(Undecodable) as caught:
        decode(path)
    assert (
        caught.value.message == f"Cannot decode the image: {path}. Expected a whole JPEG, PNG, WebP, GIF, BMP or TIFF image, got 0 bytes."
    )
    assert caught.value.hint == "Replace or remove the file."
    assert caught.value.exit_code == 3


# Sizes


def test_a_bomb_is_refused_from_its_header_and_memory_does_not_grow() -> None:
    data = png_bomb(13_000)
    assert len(data) < 1_000_000
    tracemalloc.start()
    before = _resident_bytes()
    assert reason(data) == "13000x13000 = 169 megapixels, over the limit of 100 megapixels (--max-pixels)"
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000
    assert _resident_bytes() - before < 30_000_000


def _resident_bytes() -> int:
    with open("/proc/self/statm") as handle:
        return int(handle.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _headers(width: int, height: int) -> dict[str, bytes]:
    """Files of each format that claim a size and hold next to nothing."""
    one = Image.new("RGB", (1, 1))
    jpeg = bytearray(encode(one, "JPEG"))
    at = jpeg.index(b"\xff\xc0") + 5
    jpeg[at : at + 4] = struct.pack(">HH", height, width)
    gif = bytearray(encode(one, "GIF"))
    gif[6:10] = struct.pack("<HH", width, height)
    bmp = bytearray(encode(one, "BMP"))
    bmp[18:26] = struct.pack("<ii", width, height)
    tags = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: width * height}
    tiff = (
        b"II*\x00\x08\x00\x00\x00"
        + struct.pack("<H", len(tags))
        + b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    )
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) + chunk(b"IEND", b"")
    return {"JPEG": bytes(jpeg), "GIF": bytes(gif), "BMP": bytes(bmp), "PNG": png, "TIFF": tiff + bytes(4)}


@pytest.mark.parametrize("kind", ["JPEG", "GIF", "BMP", "PNG", "TIFF"])
def test_the_limit_holds_in_every_format(kind: str) -> None:
    assert reason(_headers(30_000, 30_000)[kind]) == "30000x30000 = 900 megapixels, over the limit of 100 megapixels (--max-pixels)"


@pytest.mark.parametrize("kind", ["VP8X", "VP8L", "VP8 "])
def test_the_limit_holds_in_every_kind_of_webp(kind: str) -> None:
    side = 12_000
    body = {
        "VP8X": bytes(4) + (side - 1).to_bytes(3, "little") * 2,
        "VP8L": b"\x2f" + ((side - 1) | (side - 1) << 14).to_bytes(4, "little") + bytes(8),
        "VP8 ": b"\x00\x00\x00\x9d\x01\x2a" + struct.pack("<HH", side, side),
    }[kind]
    data = b"RIFF" + struct.pack("<I", 12 + len(body)) + b"WEBP" + kind.encode() + struct.pack("<I", len(body)) + body
    assert reason(data) == "12000x12000 = 144 megapixels, over the limit of 100 megapixels (--max-pixels)"


def test_the_limit_is_the_callers(photo: Pixels) -> None:
    data = encode(photo, "PNG")
    assert decode(data, max_pixels=5_400).shape == (60, 90, 3)
    assert reason(data, max_pixels=5_399) == "90x60 = 0.0054 megapixels, over the limit of 0.0054 megapixels (--max-pixels)"


def test_pillows_own_limit_is_neither_used_nor_changed(photo: Pixels, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert decode(encode(photo, "JPEG")).shape == photo.shape
    assert Image.MAX_IMAGE_PIXELS == 10


def test_a_line_of_pixels_has_an_end() -> None:
    def png(width: int, height: int) -> bytes:
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IEND", b"")

    assert reason(png(65_536, 1)) == "65536x1 pixels, over the limit of 65535 a side"
    assert reason(png(1, 70_000)) == "1x70000 pixels, over the limit of 65535 a side"
    assert "side" not in reason(png(65_535, 1))


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_over_16_megapixels_whole_boxes_are_averaged(monkeypatch: pytest.MonkeyPatch, photo: Pixels, kind: str) -> None:
    monkeypatch.setattr(image_module, "SHRINK_ABOVE", 1_000)  # 5,400 pixels: the smallest factor that suffices is 3
    data = encode(photo, kind)
    found = decode_with_info(data)
    assert (found.width, found.height) == (90, 60)
    whole = np.asarray(Image.open(BytesIO(data)).convert("RGB")).astype(float)
    means = whole.reshape(20, 3, 30, 3, 3).mean(axis=(1, 3))
    assert found.pixels.shape == (20, 30, 3)
    assert np.abs(found.pixels - means).max() < 0.6  # Pillow rounds within this


def test_sixteen_megapixels_are_the_limit() -> None:
    assert SHRINK_ABOVE == 16_000_000
    assert decode(encode(Image.new("L", (4_001, 4_000)), "PNG")).shape == (2_000, 2_001, 3)


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1)])
def test_tiny_and_long_images_are_decoded(size: tuple[int, int]) -> None:
    assert decode(encode(Image.new("RGB", size, "red"), "PNG")).shape == (size[1], size[0], 3)


# Files


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    pipe, folder = tmp_path / "pipe.jpg", tmp_path / "folder.jpg"
    os.mkfifo(pipe)
    folder.mkdir()
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(tmp_path / "s.jpg"))
    wanted = {pipe: "named pipe", folder: "folder", tmp_path / "s.jpg": "socket", Path("/dev/null"): "device"}
    for path, kind in wanted.items():
        with pytest.raises(Undecodable) as caught:
            read_file(path)
        assert caught.value.reason == f"{kind}, not a regular file"
    server.close()
    with pytest.raises(Undecodable, match="no such file"):
        read_file(tmp_path / "gone.jpg")


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.tif"
    with open(path, "wb") as handle:
        handle.truncate(2**30 + 1)
    with pytest.raises(Undecodable, match="file of 1,073,741,825 bytes, over the limit"):
        read_file(path)


def test_a_refusal_of_the_system_is_not_a_corrupt_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret.jpg"
    path.write_bytes(b"x")

    def refuse(*args: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(Unreadable) as caught:
        decode(path)
    assert caught.value.message == f"Cannot read the file: {path}. Expected a file that may be read, got Permission denied."


# Warnings and threads


def test_no_warning_of_pillow_escapes_and_the_filters_stay_as_they_were(photo: Pixels) -> None:
    data = bytearray(encode(photo, "TIFF"))
    offset = int.from_bytes(data[4:8], "little")
    data[offset + 2 + 4 : offset + 2 + 8] = b"\xff\xff\xff\x7f"  # a tag larger than the file: Pillow warns
    before = list(warnings.filters)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with ThreadPoolExecutor(4) as pool:
            assert set(pool.map(reason, [bytes(data)] * 40)) == {"corrupt TIFF"}
        assert not caught
    assert list(warnings.filters) == before


def test_huge_images_are_decoded_one_at_a_time(photo: Pixels, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_module, "HUGE_ABOVE", 100)
    inside, most, lock = 0, 0, threading.Lock()
    load = image_module._load

    def counted(*args: Any) -> image_module.Decoded:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        found = load(*args)
        with lock:
            inside -= 1
        return found

    monkeypatch.setattr(image_module, "_load", counted)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(decode, [encode(photo, "PNG")] * 40))
    assert most == 1
