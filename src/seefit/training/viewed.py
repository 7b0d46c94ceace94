"""Frozen features of augmented views: what a probe with augmentation is fitted on, computed once per image and view and kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from seefit.bundle.runtime import in_batches
from seefit.console import QUIET, Console
from seefit.data.dataset import Sample
from seefit.training.augment import parse_augmentation
from seefit.training.solver import Float

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from seefit.training.activations import Activations
    from seefit.training.features import FeatureExtractor

CHUNK = 256  # views read at a time
LOOKED_AT = 100  # views that tell how many are kept


def count_views(augment: str | Mapping[str, Any], most: int) -> int:
    """Return how many different views of an image there are, its own among them, at most so many."""
    return min(most, parse_augmentation(augment).distinct_views or most)


def viewed_features(
    extractor: FeatureExtractor,
    samples: Sequence[Sample],
    sha256: Sequence[str],
    augment: str | Mapping[str, Any],
    views: int,
    *,
    seed: int,
    console: Console = QUIET,
) -> Float:
    """Return the features of images and of their augmented views, by the extractor's engine.

    Args:
        extractor: Of the frozen network.
        samples: The images.
        sha256: Of each image's content.
        augment: As in `seefit.training.augment.parse_augmentation`.
        views: V, from `count_views`.
        seed: Of the views.
        console: Where to show progress, and how long it will take.

    Returns:
        (N V, D) float32, the V views of an image one after another, first the image itself.
    """
    own = extractor.extract(samples, sha256, console=console)
    if views == 1:
        return own
    found = np.empty((len(samples), views, extractor.width), np.float32)
    found[:, 0] = own
    rows = _changed(len(samples), views)
    with _open(extractor, samples, sha256, augment, seed, console) as kept:
        words = parse_augmentation(augment).describe()
        kept.kept.fill_and_tell(rows, f"Features of {len(samples):,} images in {views - 1} more views ({words})")
        for chunk in in_batches(rows, CHUNK):
            images, numbers = zip(*chunk, strict=True)
            found[list(images), list(numbers)] = kept.read(chunk)[1]
    return found.reshape(-1, extractor.width)


def share_missing(
    extractor: FeatureExtractor,
    samples: Sequence[Sample],
    sha256: Sequence[str],
    augment: str | Mapping[str, Any],
    views: int,
    *,
    seed: int,
) -> float:
    """Return the share of changed views whose features are not kept yet, 0 to 1; a few of them tell.

    Args:
        extractor: As for `viewed_features`.
        samples: Likewise.
        sha256: Likewise.
        augment: Likewise.
        views: Likewise.
        seed: Likewise.
    """
    rows = _changed(len(samples), views)
    if not rows:
        return 0.0
    some = rows[:: len(rows) // LOOKED_AT | 1]  # an odd step: all numbers of views come
    with _open(extractor, samples, sha256, augment, seed, QUIET) as kept:
        return len(kept.kept.missing(some)) / len(some)


def _changed(images: int, views: int) -> list[tuple[int, int]]:
    return [(image, view) for image in range(images) for view in range(1, views)]


def _open(
    extractor: FeatureExtractor,
    samples: Sequence[Sample],
    sha256: Sequence[str],
    augment: str | Mapping[str, Any],
    seed: int,
    console: Console,
) -> Activations:
    from seefit.training.activations import Activations
    from seefit.training.views import make_view  # brings torch

    augmentation = parse_augmentation(augment)
    return Activations(
        extractor.backbone,
        None,
        extractor.parts,
        extractor.fit,
        samples,
        sha256,
        view=make_view(augmentation, seed=seed),
        view_key=augmentation.key(seed=seed),
        exact=extractor.engine is extractor.reference,
        device=extractor.device,
        max_pixels=extractor.max_pixels,
        console=console,
    )
