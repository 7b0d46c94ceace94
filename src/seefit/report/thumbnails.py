"""Small pictures for the report, embedded as data: upright, at most 160 pixels, nothing but pixels in them."""

from __future__ import annotations

import base64
import hashlib
import io
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from seefit.data.image import Undecodable, Unreadable, decode, read_file

LARGEST_PX = 160

Pixels = NDArray[np.uint8]


class Small(NamedTuple):
    """A small copy of a picture, (h, w, 3), and the width and height of the picture itself in pixels."""

    pixels: Pixels
    size: tuple[int, int]


def thumbnail(root: Path, name: str, sha256: str, *, max_pixels: int, largest_px: int = LARGEST_PX) -> tuple[str, str]:
    """Return the small picture of one image of a dataset.

    Args:
        root: The folder that names are relative to.
        name: Path below it with forward slashes; one that leaves it is treated as gone.
        sha256: SHA-256 of the file when it was judged; empty when unknown.
        max_pixels: Larger images are not decoded.
        largest_px: Of its longer side.

    Returns:
        A ``data:`` address and an empty word, or an empty address and why: ``gone``, ``changed`` or ``unreadable``.
    """
    small, why = small_picture(root, name, sha256, max_pixels=max_pixels, largest_px=largest_px)
    return (address(small.pixels) if small else ""), why


def small_picture(root: Path, name: str, sha256: str, *, max_pixels: int, largest_px: int = LARGEST_PX) -> tuple[Small | None, str]:
    """Return a small copy of one image of a dataset.

    Args:
        root: As for `thumbnail`.
        name: Likewise.
        sha256: Likewise.
        max_pixels: Likewise.
        largest_px: Of its longer side.

    Returns:
        The copy and an empty word, or None and why, as `thumbnail` says it.
    """
    place = PurePosixPath(name)
    if place.is_absolute() or ".." in place.parts or not (root / place).is_file():
        return None, "gone"
    try:
        data = read_file(root / place)
        if sha256 and hashlib.sha256(data).hexdigest() != sha256:
            return None, "changed"
        picture = Image.fromarray(decode(data, max_pixels=max_pixels))
    except (Undecodable, Unreadable):
        return None, "unreadable"
    size = picture.size
    picture.thumbnail((largest_px, largest_px), Image.Resampling.LANCZOS)
    return Small(np.asarray(picture), size), ""


def address(pixels: Pixels, *, quality: int = 78) -> str:
    """Return pixels (h, w, 3) as a ``data:`` address of a WebP picture."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "WEBP", quality=quality, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
