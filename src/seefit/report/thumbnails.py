"""Small pictures for the report, embedded as data: upright, at most 160 pixels, nothing but pixels in them."""

from __future__ import annotations

import base64
import hashlib
import io
from pathlib import Path, PurePosixPath

from PIL import Image

from seefit.data.image import Undecodable, Unreadable, decode, read_file

LARGEST_PX = 160


def thumbnail(root: Path, name: str, sha256: str, *, max_pixels: int, side_px: int = LARGEST_PX) -> tuple[str, str]:
    """Return the small picture of one image of a dataset.

    Args:
        root: The folder that names are relative to.
        name: Path below it with forward slashes; one that leaves it is treated as gone.
        sha256: SHA-256 of the file when it was judged; empty when unknown.
        max_pixels: Larger images are not decoded.
        side_px: The longer side is no longer than this.

    Returns:
        A ``data:`` address and an empty word, or an empty address and why: ``gone``, ``changed`` or ``unreadable``.
    """
    place = PurePosixPath(name)
    if place.is_absolute() or ".." in place.parts or not (root / place).is_file():
        return "", "gone"
    try:
        data = read_file(root / place)
        if sha256 and hashlib.sha256(data).hexdigest() != sha256:
            return "", "changed"
        picture = Image.fromarray(decode(data, max_pixels=max_pixels))
    except (Undecodable, Unreadable):
        return "", "unreadable"
    picture.thumbnail((side_px, side_px), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=78, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii"), ""
