"""The one decoder: bytes of a JPEG, PNG, WebP, GIF, BMP or TIFF file to upright 8-bit RGB pixels.

Whatever seefit looks at, in training, prediction or serving, comes through `decode`. What it does to an image:

1. Only the first frame counts; the EXIF orientation is applied.
2. 16-bit grey is divided by the range of its type (65,535), never clipped; float images are refused.
3. Every other colour model (grey, palette, CMYK, YCbCr, LAB, 1-bit) becomes RGB; alpha is composed on white.
4. Above 16 megapixels the pixels are averaged over whole k x k boxes, with the smallest k that suffices.

`DECODER_VERSION` is part of every cache key: raise it with any change of what comes out.
"""

from __future__ import annotations

import contextlib
import stat
import struct
import threading
import warnings
import zlib
from codecs import getincrementaldecoder
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from math import ceil, sqrt
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import BmpImagePlugin, GifImagePlugin, Image, ImageFile, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin

from seefit.errors import DataError

DECODER_VERSION = 1
MAX_PIXELS = 10**8
SHRINK_ABOVE = 16_000_000
HUGE_ABOVE = 40_000_000
MAX_SIDE = 65_535  # what a JPEG can have; a longer line of pixels would take the resize gigabytes
MAX_FILE_BYTES = 2**30
ACCEPTED = "JPEG, PNG, WebP, GIF, BMP or TIFF"

# The plugin classes are used directly and not through Image.open: no other decoder can be reached, and
# Image.open would apply a pixel limit that is a global variable of Pillow.
_PLUGINS: dict[str, type[ImageFile.ImageFile]] = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "WebP": WebPImagePlugin.WebPImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
}
_MAGIC = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"BM": "BMP",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
    b"II+\x00": "TIFF",
    b"MM\x00+": "TIFF",
}
_FOREIGN = {
    b"%PDF": "PDF document",
    b"%!PS": "PostScript or EPS",
    b"\xc5\xd0\xd3\xc6": "EPS",
    b"PK\x03\x04": "zip archive",
    b"\x1f\x8b": "gzip archive",
    b"8BPS": "Photoshop document",
    b"\x00\x00\x00\x0cjP  ": "JPEG 2000 image",
    b"\x00\x00\x00\x0cJXL ": "JPEG XL image",
    b"\xff\x0a": "JPEG XL image",
    b"\x00\x00\x01\x00": "icon file",
    b"version https://git-lfs": "Git LFS pointer, not the image itself",
}
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION_TAG, _BITS_TAG, _PHOTOMETRIC_TAG, _COLOURS_TAG = 274, 258, 262, 320
_UNSUPPORTED = "a kind that is not supported"
_TRAITS = {  # by what Pillow says of sound files that it cannot read
    "unknown pixel mode": "bit depth or channels",
    "samples per pixel": "number of channels",
    "raw mode": "bit depth or channels",
    "windows media photo": "compression",
    "cannot handle": "bit depth or channels",
}
_FILE_KINDS = ((stat.S_ISDIR, "folder"), (stat.S_ISFIFO, "named pipe"), (stat.S_ISSOCK, "socket"))


class Undecodable(DataError):
    """A file that holds no image seefit can use; ``reason`` says why in a few words."""

    def __init__(self, reason: str, *, where: object = "the given bytes") -> None:
        self.reason = reason
        super().__init__(
            "Cannot decode the image",
            where=where,
            expected=f"a whole {ACCEPTED} image",
            got=reason,
            hint=_hint(reason),
        )


def _hint(reason: str) -> str:
    if "--max-pixels" in reason:
        return "Raise --max-pixels to accept it"
    return "Save it as PNG or JPEG, or remove it" if _UNSUPPORTED in reason else "Replace or remove the file"


class Unreadable(DataError):
    """A file that the system does not let us read: a matter of permissions or of the disk, not of the image."""

    def __init__(self, path: Path, error: OSError) -> None:
        self.reason = error.strerror or str(error)
        super().__init__(
            "Cannot read the file",
            where=path,
            expected="a file that may be read",
            got=self.reason,
            hint="Change the permissions of the file, or leave it out",
        )


@dataclass(frozen=True, slots=True)
class Decoded:
    """A decoded image and what the file said of itself.

    Attributes:
        picture: RGB, upright, at most ``SHRINK_ABOVE`` pixels.
        format: ``JPEG``, ``PNG``, ``WebP``, ``GIF``, ``BMP`` or ``TIFF``, from the content and not the name.
        mode: Pillow's name of the colour model in the file: ``RGB``, ``L``, ``P``, ``CMYK``, ``I;16`` …
        width: Of the upright image, before any shrinking, in pixels.
        height: Likewise.
    """

    picture: Image.Image
    format: str
    mode: str
    width: int
    height: int

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """The picture as a new array, (H, W, 3) uint8."""
        return np.array(self.picture)


def decode(source: Path | bytes, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Decode one image file to RGB pixels.

    Args:
        source: A path, or the bytes of a file.
        max_pixels: Images with more pixels are refused from their header.

    Returns:
        (H, W, 3) uint8 RGB, upright; averaged over whole boxes where the file has over 16 megapixels.

    Raises:
        Undecodable: The file holds no whole image of an accepted kind, or too large a one.
        Unreadable: The file cannot be read, for example for its permissions.
    """
    if isinstance(source, bytes):
        return decode_with_info(source, max_pixels=max_pixels).pixels
    try:
        return decode_with_info(read_file(source), max_pixels=max_pixels).pixels
    except Undecodable as error:
        raise Undecodable(error.reason, where=source) from error


def read_file(path: Path) -> bytes:
    """Return the bytes of a regular file; anything else (a pipe, a socket, a device) is never opened.

    Raises:
        Undecodable: There is no such file, it is not a regular file, or it has over 1 GiB.
        Unreadable: The system refuses.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            kind = next((name for test, name in _FILE_KINDS if test(status.st_mode)), "device")
            raise Undecodable(f"{kind}, not a regular file", where=path)
        if status.st_size > MAX_FILE_BYTES:
            raise Undecodable(f"file of {status.st_size:,} bytes, over the limit of {MAX_FILE_BYTES:,}", where=path)
        with open(path, "rb") as handle:
            return handle.read()
    except FileNotFoundError as error:
        raise Undecodable("no such file", where=path) from error
    except OSError as error:
        raise Unreadable(path, error) from error


def decode_with_info(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Decoded:
    """Decode the bytes of one image file and say what they were.

    Args:
        data: The bytes of a file.
        max_pixels: Images with more pixels are refused from their header.

    Raises:
        Undecodable: The bytes hold no whole image of an accepted kind, or too large a one.
    """
    kind = _kind(data)
    if kind == "PNG":
        _check_png(data)
    elif kind == "WebP":  # its decoder takes memory for the whole picture as soon as it is made
        _check_size(*_webp_size(data), max_pixels)
    with _pillow_silenced():
        try:
            image = _PLUGINS[kind](BytesIO(data))
            _check_size(*image.size, max_pixels)
            with _one_at_a_time if image.width * image.height > HUGE_ABOVE else contextlib.nullcontext():
                return _load(image, kind)
        except (Undecodable, MemoryError):
            raise
        except Exception as error:  # on damaged files Pillow raises nearly every kind there is
            raise Undecodable(_reason(kind, error)) from error


def _load(image: ImageFile.ImageFile, kind: str) -> Decoded:
    mode = image.mode
    image.load()
    upright = _upright(_to_rgb(image), image)
    width, height = upright.size
    factor = ceil(sqrt(width * height / SHRINK_ABOVE))
    return Decoded(upright.reduce(factor) if factor > 1 else upright, kind, mode, width, height)


def _kind(data: bytes) -> str:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    for magic, kind in _MAGIC.items():
        if data.startswith(magic):
            return kind
    raise Undecodable(_what_else(data))


def _what_else(data: bytes) -> str:
    if not data:
        return "0 bytes"
    for magic, kind in _FOREIGN.items():
        if data.startswith(magic):
            return kind if kind.endswith("itself") else f"{kind}, not an accepted image"
    if data[4:8] == b"ftyp":
        return "HEIC, AVIF or video, not an accepted image"
    return _kind_of_text(data[:1024])


def _kind_of_text(start: bytes) -> str:
    try:
        getincrementaldecoder("utf-8")().decode(start)  # incremental: the last character may be cut
    except UnicodeDecodeError:
        return "no image of a known kind"
    if any(byte < 9 or 13 < byte < 32 for byte in start):
        return "no image of a known kind"
    words = start.lower()
    if b"<html" in words or b"<!doctype html" in words:
        return "HTML page, not an image"
    if b"<svg" in words:
        return "SVG, not an accepted image"
    return "text, not an image"


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width < 1 or height < 1:
        raise Undecodable(f"image of {width}x{height} pixels")
    if width * height > max_pixels:
        size, limit = (f"{n / 1e6:,.3g}" if n < 1e9 else f"{n / 1e6:,.0f}" for n in (width * height, max_pixels))
        raise Undecodable(f"{width}x{height} = {size} megapixels, over the limit of {limit} megapixels (--max-pixels)")
    if max(width, height) > MAX_SIDE:
        raise Undecodable(f"{width}x{height} pixels, over the limit of {MAX_SIDE} a side")


def _check_png(data: bytes) -> None:
    """Check what Pillow skips: the checksums of the chunks that make the picture, and that the file has its end."""
    position = 8
    while position + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, position)
        end = position + 8 + length
        if end + 4 > len(data):
            break
        critical = name[0] & 32 == 0
        if critical and zlib.crc32(memoryview(data)[position + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            raise Undecodable("PNG with a bad checksum")
        if name == b"IEND":
            return
        position = end + 4
    raise Undecodable("truncated PNG")


def _webp_size(data: bytes) -> tuple[int, int]:
    """Return width and height from the first chunk of a WebP file (RFC 9649, sections 2.5 to 2.7)."""
    if len(data) < 30:
        raise Undecodable("truncated WebP")
    match data[12:16]:
        case b"VP8X":
            return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
        case b"VP8L":
            bits = int.from_bytes(data[21:25], "little")
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8 ":
            width, height = struct.unpack_from("<HH", data, 26)
            return width & 0x3FFF, height & 0x3FFF
    raise Undecodable("corrupt WebP")


def _reason(kind: str, error: Exception) -> str:
    text = str(error).lower()
    if isinstance(error, EOFError) or any(word in text for word in ("truncat", "not enough", "unexpected end", "eof")):
        return f"truncated {kind}"
    if isinstance(error, Image.DecompressionBombError):
        return f"{kind} of more pixels than its decoder accepts"
    trait = _unsupported_trait(kind, error)
    return f"corrupt {kind}" if trait is None else f"{kind} of {_UNSUPPORTED}: {trait}"


def _unsupported_trait(kind: str, error: Exception) -> str | None:
    """Return what it is about a sound image that Pillow cannot read, None for damage."""
    missed = error.__cause__.args[0] if isinstance(error.__cause__, KeyError) else None  # in a table of what TIFF can be
    if kind == "TIFF" and isinstance(missed, int) and missed != _COLOURS_TAG:
        return f"compression {missed}"
    return next((trait for words, trait in _TRAITS.items() if words in str(error).lower()), None)


def _to_rgb(image: ImageFile.ImageFile) -> Image.Image:
    if image.mode.startswith("I"):
        return Image.fromarray(_wide_grey(image)).convert("RGB")
    if image.mode == "F":
        raise Undecodable("float image: its range is not defined")
    if image.mode in {"RGBA", "LA", "PA", "La", "RGBa"} or "transparency" in image.info:
        plain: Image.Image = image.convert("LA") if image.mode == "La" else image
        paper = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(paper, plain.convert("RGBA")).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _wide_grey(image: ImageFile.ImageFile) -> NDArray[np.uint8]:
    """Scale grey of 9 to 16 bits to 8 bits by the range of its type."""
    tags = image.tag_v2 if isinstance(image, TiffImagePlugin.TiffImageFile) else {}
    bits = tags.get(_BITS_TAG, (16,))[0]
    top = 2 ** min(bits, 16) - 1
    values = np.asarray(image)
    if values.min() < 0 or values.max() > top:
        raise Undecodable(f"{bits}-bit grey with values from {values.min()} to {values.max()}, outside 0 to {top}")
    levels = ((np.arange(top + 1) * 255 + top // 2) // top).astype(np.uint8)
    if tags.get(_PHOTOMETRIC_TAG) == 0:  # "white is zero", which Pillow leaves as it is at this depth
        levels = levels[::-1]
    clear = image.info.get("transparency")
    if isinstance(clear, int):
        levels[clear] = 255
    scaled: NDArray[np.uint8] = levels[values]
    return scaled


def _upright(pixels: Image.Image, image: ImageFile.ImageFile) -> Image.Image:
    try:
        turn = _TURNS.get(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # damaged metadata beside a sound picture
        turn = None
    return pixels if turn is None else pixels.transpose(turn)


# An image of 100 megapixels takes up to 1.6 GB while it is decoded: threads must not do that at the same time.
_one_at_a_time = threading.Lock()
_silence_lock = threading.Lock()
_silence_depth = 0


@contextlib.contextmanager
def _pillow_silenced() -> Iterator[None]:
    """Ignore warnings from Pillow's modules while any thread is inside.

    ``warnings.catch_warnings`` swaps the whole list of filters and is not safe with threads; here one filter
    is put in by the first thread and taken out by the last.
    """
    global _silence_depth  # noqa: PLW0603
    with _silence_lock:
        _silence_depth += 1
        warnings.filterwarnings("ignore", module=r"PIL\.")
        mine = warnings.filters[0]
    try:
        yield
    finally:
        with _silence_lock:
            _silence_depth -= 1
            if not _silence_depth and mine in warnings.filters:
                warnings.filters.remove(mine)  # type: ignore[attr-defined]
