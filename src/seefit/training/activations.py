"""The boundary cache: what the frozen lower part makes of every image and view is computed once and kept.

A kept value is one image's map at the boundary in half precision, and behind it, in single precision, the pooled
features of the stages up to the boundary, which the head also sees.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from seefit.bundle.graph import Fit, feature_size, features_model, graph_hash, opset_of, preprocess_model
from seefit.bundle.runtime import Reference
from seefit.console import QUIET, Console
from seefit.data.dataset import Sample
from seefit.data.image import MAX_PIXELS
from seefit.models.architecture import FLAT
from seefit.models.backbone import Backbone
from seefit.training.cache import Recipe, library_versions, open_store
from seefit.training.engine import open_engine, run_engine
from seefit.training.kept import KeptViews, Row, View, view_pixels

if TYPE_CHECKING:
    from onnx import ModelProto

HALF_MAX = 65_504.0  # the largest number of half precision


@dataclass(frozen=True)
class Shape:
    """What one kept value holds: a map (channels, side, side), then ``below`` pooled features."""

    channels: int
    side: int
    below: int

    @property
    def map_size(self) -> int:
        """How many numbers the map has."""
        return self.channels * self.side**2

    @property
    def bytes(self) -> int:
        """Size of a kept value."""
        return 2 * self.map_size + 4 * self.below


def shape_of(backbone: Backbone, boundary: str | None, below: Sequence[str]) -> Shape:
    """Return what a kept value of a network that is cut there holds."""
    stage = backbone.stage(boundary) if boundary else None
    return Shape(stage.channels if stage else 0, stage.side if stage else 0, feature_size(backbone, below))


def room() -> int:
    """Return how many bytes of activations may be kept: within the store's limit and nine tenths of the free disk."""
    with open_store() as store:
        return min(store.limit_bytes * 7 // 8, shutil.disk_usage(store.folder).free * 9 // 10)


class Activations:
    """The kept activations of a set of images.

    Args:
        backbone: The network.
        boundary: The stage whose map is kept; None to keep the pooled features alone.
        below: Stages up to the boundary whose pooled features are kept too.
        fit: How the box is chosen.
        samples: The images.
        sha256: Of each image's content.
        view: Makes a view of an image; number 0 is the image itself.
        view_key: Names the view's settings, for the recipe.
        exact: Use the reference instead of the fast engine.
        device: ``auto``, ``cpu`` or ``cuda``.
        max_pixels: As in `seefit.data.image.decode`.
        console: Where to show progress and say what was damaged.
    """

    def __init__(
        self,
        backbone: Backbone,
        boundary: str | None,
        below: Sequence[str],
        fit: Fit,
        samples: Sequence[Sample],
        sha256: Sequence[str],
        *,
        view: View,
        view_key: str,
        exact: bool = False,
        device: str = "auto",
        max_pixels: int = MAX_PIXELS,
        console: Console = QUIET,
    ) -> None:
        self.samples, self.sha256, self._view, self._max_pixels, self._console = samples, sha256, view, max_pixels, console
        self.shape = shape_of(backbone, boundary, below)
        kept = (boundary + FLAT, *below) if boundary else tuple(below)
        lower: ModelProto = features_model(backbone, kept)
        preprocess = preprocess_model(backbone.image_size, backbone.mean, backbone.std, fit, opset=opset_of(lower))
        self._reference = Reference(preprocess, lower)
        self._engine = self._reference if exact else open_engine(backbone, kept, lower, self._reference, device)
        recipe = Recipe(
            backbone=backbone.name,
            image_size=backbone.image_size,
            fit=fit,
            features=(f"map:{boundary or 'none'}", *below, f"views:{view_key}"),
            engine=self._engine.name,
            graph=graph_hash(preprocess, lower),
            libraries=library_versions(self._engine.name),
        )
        self.kept = KeptViews(recipe, sha256, self.shape.bytes, self._compute, title="activations", console=console)

    def __enter__(self) -> Activations:
        return self

    def __exit__(self, *_: object) -> None:
        self.kept.close()

    def read(self, rows: Sequence[Row]) -> tuple[NDArray[np.float16], NDArray[np.float32]]:
        """Return the maps (n, c, side, side) and the pooled features from below (n, d) of rows, computed where they are not kept."""
        values, shape = self.kept.read(rows), self.shape
        maps = np.stack([np.frombuffer(value, np.float16, shape.map_size) for value in values])
        below = np.stack([np.frombuffer(value, np.float32, shape.below, 2 * shape.map_size) for value in values])
        return maps.reshape(len(rows), shape.channels, shape.side, shape.side), below

    def _compute(self, rows: Sequence[Row]) -> Iterator[bytes]:
        ready = view_pixels(rows, self.samples, self.sha256, self._reference, self._view, max_pixels=self._max_pixels)
        for batch in run_engine(self._engine, ready, console=self._console):
            yield from map(self._packed, batch)

    def _packed(self, value: NDArray[np.float32]) -> bytes:
        size = self.shape.map_size
        return np.clip(value[:size], -HALF_MAX, HALF_MAX).astype(np.float16).tobytes() + value[size:].tobytes()
