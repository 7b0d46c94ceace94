"""Features kept by content: 100 new images cost 100 forwards, and labels are never in it.

A shelf of the store holds one recipe: decoder version, graph hash, feature choice and engine. The key within
it is the sha256 of the image file, so a file that moves to another class, folder or data set is found again,
and one that changes is not.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seefit.bundle.runtime import Reference
from seefit.console import QUIET, Console
from seefit.data.dataset import Sample
from seefit.data.image import DECODER_VERSION
from seefit.environment import cache_folder
from seefit.store import Store
from seefit.training.engine import Engine, frozen_forward

CHUNK = 256  # images per transaction: what a crash can cost
SPOT_CHECK = 16  # images looked for under other recipes, to say why there is nothing kept


@dataclass(frozen=True)
class Recipe:
    """Everything besides an image's content that its features depend on.

    Attributes:
        backbone: timm's name.
        image_size: Side of the input in pixels.
        fit: How the box is chosen.
        features: Names of the stages.
        engine: What computes the network, with its precision.
        graph: sha256 of ``preprocess`` and ``network`` up to the features.
        libraries: Versions of the libraries that decode and compute.
        decoder: Version of the decoder.
    """

    backbone: str
    image_size: int
    fit: str
    features: tuple[str, ...]
    engine: str
    graph: str
    libraries: str
    decoder: int = DECODER_VERSION

    @property
    def shelf(self) -> str:
        """The name of the shelf that holds this recipe's features."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:32]


@functools.cache
def library_versions(engine: str) -> str:
    """Return the versions that features depend on: Pillow, ONNX Runtime and the engine's own library."""
    from importlib.metadata import version

    names = ["pillow", "onnxruntime"] + [name for name in ("openvino", "torch") if engine.startswith(name)]
    return " ".join(f"{name}-{version(name)}" for name in names)


def open_store() -> Store:
    """Open the store that all processes of this user share."""
    return Store(cache_folder("features"))


def cached_features(
    samples: Sequence[Sample],
    sha256: Sequence[str],
    recipe: Recipe,
    reference: Reference,
    engine: Engine,
    *,
    width: int,
    max_pixels: int,
    console: Console = QUIET,
    label: str = "Features",
) -> NDArray[np.float32]:
    """Return the features of images, computing those that are not kept.

    Args:
        samples: The images.
        sha256: The sha256 of each file's content.
        recipe: What the features depend on.
        reference: Gives ``preprocess``.
        engine: Gives ``network``; its name is the recipe's.
        width: D, the number of features per image.
        max_pixels: As in `seefit.data.image.decode`.
        console: Where to show progress and say why there was nothing kept.
        label: What the bar says.

    Returns:
        (N, D) float32 in the order of the samples.
    """
    features = np.empty((len(samples), width), np.float32)
    keys = [bytes.fromhex(digest) for digest in sha256]
    with open_store() as store:
        missing, misshapen = _fill_kept(features, keys, recipe, store)
        if store.damaged or misshapen:
            console.warn(f"{store.damaged + misshapen} kept features were damaged and are computed again")
        if missing:
            _say_why([keys[i] for i in missing], len(samples), recipe, store, console)
            store.describe(recipe.shelf, asdict(recipe))
            _fill_missing(features, missing, samples, sha256, recipe, reference, engine, store, max_pixels, console, label)
        elif samples:
            store.describe(recipe.shelf, asdict(recipe))
    return features


def kept_features(sha256: Sequence[str], recipe: Recipe) -> list[NDArray[np.float32] | None]:
    """Return the features (D,) that are kept of contents, None where there are none."""
    with open_store() as store:
        values = store.get(recipe.shelf, [bytes.fromhex(digest) for digest in sha256])
    return [None if value is None else np.frombuffer(value, np.float32) for value in values]


def keep_features(sha256: Sequence[str], features: Sequence[NDArray[np.float32]], recipe: Recipe) -> None:
    """Keep features (D,) that were computed elsewhere by a recipe.

    Raises:
        ResourceError: The disk is full or the cache folder cannot be written to.
    """
    with open_store() as store:
        store.describe(recipe.shelf, asdict(recipe))
        store.put(recipe.shelf, [(bytes.fromhex(digest), row.tobytes()) for digest, row in zip(sha256, features, strict=True)])


def _fill_kept(features: NDArray[np.float32], keys: Sequence[bytes], recipe: Recipe, store: Store) -> tuple[list[int], int]:
    """Copy what is kept into ``features``; return the rows that are not, and how many of them are kept in another size."""
    missing, misshapen = [], 0
    size = features.shape[1] * 4
    for start in range(0, len(keys), CHUNK):
        for row, value in enumerate(store.get(recipe.shelf, keys[start : start + CHUNK]), start):
            if value is not None and len(value) == size:
                features[row] = np.frombuffer(value, np.float32)
                continue
            missing.append(row)
            misshapen += value is not None
    return missing, misshapen


def _fill_missing(
    features: NDArray[np.float32],
    missing: Sequence[int],
    samples: Sequence[Sample],
    sha256: Sequence[str],
    recipe: Recipe,
    reference: Reference,
    engine: Engine,
    store: Store,
    max_pixels: int,
    console: Console,
    label: str,
) -> None:
    """Compute the missing rows, keeping each chunk as soon as it is whole."""
    images = [samples[i] for i in missing], [sha256[i] for i in missing]
    batches = frozen_forward(*images, reference, engine, max_pixels=max_pixels, console=console)
    done = kept = 0
    with console.bar(label, len(missing)) as advance:
        for batch in batches:
            rows = missing[done : done + len(batch)]
            features[rows] = batch
            done += len(batch)
            advance(len(batch))
            if done - kept >= CHUNK or done == len(missing):
                store.put(recipe.shelf, ((bytes.fromhex(sha256[i]), features[i].tobytes()) for i in missing[kept:done]))
                kept = done


def _say_why(missing: Sequence[bytes], total: int, recipe: Recipe, store: Store, console: Console) -> None:
    """Say how many images are new, and when none is kept, what differs from the recipe that this engine kept them by."""
    if len(missing) < total:
        console.say(f"{total - len(missing):,} of {total:,} images have kept features; {len(missing):,} are new")
        return
    mine: dict[str, Any] = json.loads(json.dumps(asdict(recipe)))
    shelves = {name: entry["about"] for name, entry in store.shelves().items() if entry["entries"]}
    shelves = {name: about for name, about in shelves.items() if name != recipe.shelf and about.get("engine") == recipe.engine}
    close = sorted(shelves, key=lambda name: len(_differing(mine, shelves[name])))
    other = next((name for name in close if any(store.get(name, missing[:SPOT_CHECK]))), None)
    if other is not None:
        differing = [key for key in _differing(mine, shelves[other]) if key != "graph"]
        told = "; ".join(f"{key} {shelves[other].get(key)} → {mine[key]}" for key in differing)
        reason = "Kept features do not fit: " + (told or "the network was trained or converted since")
        console.say_once(reason, "kept features")  # later ones of a run follow from the first: the reference, the trained network


def _differing(mine: dict[str, Any], other: dict[str, Any]) -> list[str]:
    return [key for key in mine if mine[key] != other.get(key)]
