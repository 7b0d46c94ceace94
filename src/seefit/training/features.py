"""Images in, feature matrix out: the backbone, its choice of stages, the two parts of the graph and the engine together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from seefit.bundle.bundle import Bundle
from seefit.bundle.graph import Fit, feature_size, features_model, features_part, graph_hash, opset_of, preprocess_model, split
from seefit.bundle.runtime import Reference, in_batches
from seefit.console import QUIET, Console
from seefit.data.dataset import Sample
from seefit.data.image import MAX_PIXELS
from seefit.errors import UsageError
from seefit.models.architecture import FLAT
from seefit.models.backbone import Backbone, Stage
from seefit.training.cache import CHUNK, Recipe, cached_features, kept_features, library_versions
from seefit.training.engine import Engine, open_engine

if TYPE_CHECKING:
    from onnx import ModelProto

CHOICES = ("auto", "stages", "pooled", "flatten")
LATE_MAPS = 4  # how many of the last maps `stages` pools


def choose_parts(backbone: Backbone, choice: str) -> tuple[str, ...]:
    """Return the names of the stages that give the features.

    ``stages`` pools the last maps, mean and maximum; ``pooled`` is the backbone's own pooled output. ``auto`` is
    ``stages`` for networks whose maps shrink (CNNs, Swin) and ``pooled`` for plain transformers, whose pooled
    output is a trained token that pooling of maps would miss. ``flatten`` is every place of the last map.

    Raises:
        UsageError: There is no map to flatten.
    """
    maps = [stage for stage in backbone.stages if stage.side]
    if choice == "flatten":
        return (_last_map(backbone, maps) + FLAT,)
    shrinks = bool(maps) and maps[0].side > maps[-1].side
    if choice == "pooled" or (choice == "auto" and not shrinks):
        return ("pooled",)
    return tuple(stage.name for stage in maps[-LATE_MAPS:])


def _last_map(backbone: Backbone, maps: Sequence[Stage]) -> str:
    if not maps:
        hint = "Use --features pooled"
        raise UsageError("Nothing to flatten", where=backbone.name, expected="a network that gives maps", got="none", hint=hint)
    return maps[-1].name


class FeatureExtractor:
    """A backbone ready to turn images into features, by the reference or by the fast engine.

    Args:
        backbone: The frozen network.
        parts: Names of stages, from `choose_parts`.
        fit: How the box is chosen.
        device: ``auto``, ``cpu`` or ``cuda``.
        max_pixels: As in `seefit.data.image.decode`.
    """

    def __init__(self, backbone: Backbone, parts: Sequence[str], fit: Fit, *, device: str = "auto", max_pixels: int = MAX_PIXELS) -> None:
        self.backbone, self.parts, self.fit, self.max_pixels, self.device = backbone, tuple(parts), fit, max_pixels, device
        self.network: ModelProto = features_model(backbone, parts)
        self.preprocess: ModelProto = preprocess_model(backbone.image_size, backbone.mean, backbone.std, fit, opset=opset_of(self.network))
        self.width = feature_size(backbone, parts)
        self.reference = Reference(self.preprocess, self.network)
        self.engine = open_engine(backbone, parts, self.network, self.reference, device)
        self._graph = graph_hash(self.preprocess, self.network)

    def extract(
        self, samples: Sequence[Sample], sha256: Sequence[str], *, exact: bool = False, console: Console = QUIET, label: str = "Features"
    ) -> NDArray[np.float32]:
        """Return the features of images, kept or computed.

        Args:
            samples: The images.
            sha256: The sha256 of each file's content.
            exact: Use the reference in fp32 instead of the fast engine.
            console: Where to show progress.
            label: What the bar says.

        Returns:
            (N, D) float32.
        """
        engine: Engine = self.reference if exact else self.engine
        return cached_features(
            samples,
            sha256,
            self._recipe(engine),
            self.reference,
            engine,
            width=self.width,
            max_pixels=self.max_pixels,
            console=console,
            label=label,
        )

    def kept(self, sha256: Sequence[str], *, exact: bool = False) -> list[bool]:
        """Return whether the features of contents are kept, those of the fast engine or (``exact``) of the reference."""
        recipe = self._recipe(self.reference if exact else self.engine)
        return [features is not None for chunk in in_batches(sha256, CHUNK) for features in kept_features(chunk, recipe)]

    def use_reference(self) -> None:
        """Compute with the reference from now on: the fast engine was found to differ too much."""
        self.engine = self.reference

    def _recipe(self, engine: Engine) -> Recipe:
        return Recipe(
            backbone=self.backbone.name,
            image_size=self.backbone.image_size,
            fit=self.fit,
            features=self.parts,
            engine=engine.name,
            graph=self._graph,
            libraries=library_versions(engine.name),
        )


def reference_recipe(bundle: Bundle) -> Recipe:
    """Return the recipe of the features in a bundle's own graph: the one that its extractor had for the reference."""
    import onnx

    preprocess, network = split(onnx.load(bundle.folder / "model.onnx"))
    about, engine = bundle.manifest, bundle.reference.name
    return Recipe(
        backbone=about["backbone"],
        image_size=about["image_size"],
        fit=about["fit"],
        features=tuple(about["features"]),
        engine=engine,
        graph=graph_hash(preprocess, features_part(network)),
        libraries=library_versions(engine),
    )
