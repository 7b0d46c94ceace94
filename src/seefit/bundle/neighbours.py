"""The gallery of a bundle: training images that a new one can be shown beside, as small pictures, with what they are like as numbers.

It is there only where it was asked for (``seefit train --gallery``), since with it pictures travel with the model. Of each image
``gallery.safetensors`` holds a point, the class, the base name of its file, and a JPEG of at most 128 pixels with nothing but pixels in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seefit.bundle.manifest import damaged
from seefit.bundle.tensors import check_tensors

GALLERY = "gallery.safetensors"
PICTURE_PX = 128  # of the longer side
MAX_PICTURE_BYTES = 2**16
MAX_NAME_BYTES = 1_024
MAX_GALLERY_BYTES = 2**28
_JPEG = b"\xff\xd8\xff"

Float = NDArray[np.float32]


@dataclass(frozen=True)
class Neighbour:
    """One training image that a new one resembles.

    Attributes:
        label: Number of its class.
        name: Base name of its file.
        similarity: Cosine of the standardised features of both, as good as the projection keeps it.
        picture: Bytes of a small JPEG.
    """

    label: int
    name: str
    similarity: float
    picture: bytes


@dataclass(frozen=True)
class Gallery:
    """Training images to compare with.

    Attributes:
        mean: (D,) of the features.
        projection: (D, E) that standardises features and maps them to points.
        points: (N, E) float16 of length one.
        labels: (N,) class numbers.
        names: N base names.
        pictures: N small JPEGs.
    """

    mean: Float
    projection: Float
    points: NDArray[np.float16]
    labels: NDArray[np.int64]
    names: Sequence[str]
    pictures: Sequence[bytes]

    def nearest(self, features: Float, count: int = 4) -> list[Neighbour]:
        """Return the images that are most like a new one, the most alike first.

        Args:
            features: (D,) float32 of the new one, as the graph's output ``features`` has them.
            count: How many are wanted.
        """
        query: Float = directions(np.asarray((features - self.mean) @ self.projection, np.float32))
        similarity: Float = np.matmul(self.points.astype(np.float32), query)
        best = np.argsort(-similarity, kind="stable")[:count]
        return [Neighbour(int(self.labels[i]), self.names[i], round(float(similarity[i]), 4), self.pictures[i]) for i in best]

    def to_bytes(self) -> bytes:
        """Return the file."""
        from safetensors.numpy import save

        names = [name.encode("utf-8", "replace") for name in self.names]
        ends = np.cumsum([[len(item) for item in items] for items in (names, self.pictures)], axis=1, dtype=np.int64)
        blobs = {"names": b"".join(names), "pictures": b"".join(self.pictures)}
        arrays: dict[str, NDArray[Any]] = {name: np.frombuffer(blob, np.uint8) for name, blob in blobs.items()}
        arrays |= {"mean": self.mean, "projection": self.projection, "points": self.points, "labels": self.labels, "ends": ends}
        return save(arrays)


def directions(points: Float) -> Float:
    """Return points (…, E) made one long; a point at the origin stays there."""
    length = np.linalg.norm(points, axis=-1, keepdims=True)
    return np.asarray(points / np.where(length > 0, length, 1), np.float32)


def read_gallery(path: Path, features: int, classes: int) -> Gallery:
    """Read the gallery of a bundle and doubt everything in it.

    Args:
        path: Its file, whose sha256 was checked.
        features: D of the graph.
        classes: C of the bundle.

    Raises:
        ArtefactError: It is not what `Gallery.to_bytes` writes, or does not belong to this graph.
    """
    from safetensors.numpy import load_file

    size = path.stat().st_size
    if size > MAX_GALLERY_BYTES:
        raise damaged(path, f"at most {MAX_GALLERY_BYTES:,} bytes", f"{size:,}")
    shapes = check_tensors(
        path,
        {
            "mean": ("F32", (features,)),
            "projection": ("F32", (features, None)),
            "points": ("F16", (None, None)),
            "labels": ("I64", (None,)),
            "ends": ("I64", (2, None)),
            "names": ("U8", (None,)),
            "pictures": ("U8", (None,)),
        },
    )
    count, width = shapes["points"]
    if not count or (shapes["labels"], shapes["ends"], shapes["projection"]) != ((count,), (2, count), (features, width)):
        raise damaged(path, "a point, a class, a name and a picture of every image", "numbers of them that differ")
    arrays = load_file(path)
    names = _pieces(path, arrays["names"], arrays["ends"][0], MAX_NAME_BYTES)
    pictures = _pieces(path, arrays["pictures"], arrays["ends"][1], MAX_PICTURE_BYTES)
    labels = arrays["labels"]
    if labels.min() < 0 or labels.max() >= classes or not all(picture.startswith(_JPEG) for picture in pictures):
        raise damaged(path, f"JPEGs of {classes} classes", "something else")
    if not all(np.isfinite(arrays[name]).all() for name in ("mean", "projection", "points")):
        raise damaged(path, "finite numbers", "others")
    texts = [name.decode("utf-8", "replace") for name in names]
    return Gallery(arrays["mean"], arrays["projection"], arrays["points"], labels, texts, pictures)


def _pieces(path: Path, blob: NDArray[np.uint8], ends: NDArray[np.int64], longest: int) -> list[bytes]:
    """Cut what stands one after another apart."""
    starts = np.concatenate([[0], ends[:-1]])
    if ends[-1] != len(blob) or ((ends - starts) < 0).any() or ((ends - starts) > longest).any():
        raise damaged(path, f"pieces of at most {longest:,} bytes, one after another", "others")
    data = blob.tobytes()
    return [data[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]
