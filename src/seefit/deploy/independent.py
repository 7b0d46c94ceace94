"""A second way from pixels to probabilities, in torch and in no part that of the exported graph: what exports are held against.

Box and resize are done in float64 by torch's own antialiased interpolation, the network is the torch module itself with the run's
weights in fp32, and head and temperature are those of the bundle's files. Only the decoder is the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from seefit.bundle.averaging import View, views_in
from seefit.bundle.box import box_of
from seefit.bundle.graph import Fit
from seefit.bundling import weights_file
from seefit.deploy.finished import Finished
from seefit.errors import ArtefactError, UsageError
from seefit.evaluation.calibrate import softmax
from seefit.files import sha256_file
from seefit.models.backbone import Backbone, load_backbone
from seefit.training.engine import TorchEngine

if TYPE_CHECKING:
    from onnx import ModelProto

Float = NDArray[np.float32]


@dataclass(frozen=True)
class _Member:
    """One network: what computes its features, its colours, and a hidden layer where it has one."""

    engine: TorchEngine
    mean: Sequence[float]
    std: Sequence[float]
    hidden: tuple[Float, Float] | None

    def features(self, squares: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        """Return (N, D) what the linear head sees of squares (3, S, S), RGB in [0, 1]."""
        found = next(self.engine.forward([[normalised(square, self.mean, self.std) for square in squares]])).astype(np.float64)
        if self.hidden is None:
            return found
        weight, bias = self.hidden
        return np.maximum(found @ weight.T.astype(np.float64) + bias, 0)


def normalised(square: NDArray[np.float64], mean: Sequence[float], std: Sequence[float]) -> Float:
    """Return (3, S, S) float32 pixels of a square, RGB in [0, 1]."""
    centre, spread = (np.reshape(np.asarray(values), (3, 1, 1)) for values in (mean, std))
    return np.ascontiguousarray((square - centre) / spread, np.float32)


class Independent:
    """The model of a run in torch.

    Args:
        finished: The run.

    Raises:
        ArtefactError: Its network cannot be made in torch again, so that nothing can be proven.
        ResourceError: Weights are needed that are not here.
    """

    def __init__(self, finished: Finished) -> None:
        bundle, about = finished.bundle, finished.bundle.manifest
        network = bundle.network()
        self.fit: Fit = about["fit"]
        self.side, self.temperature = int(about["image_size"]), float(about["temperature"])
        self.mean: Sequence[float] = about["mean"]
        self.std: Sequence[float] = about["std"]
        self.views: list[View] = views_in(network) or [()]
        self.weight, self.bias = (array.astype(np.float64) for array in bundle.head())
        said = about.get("members") or [about]
        prefixes = [f"member-{number}/" for number in range(len(said))] if "members" in about else [""]
        self.members = [_member(finished, one, network, prefix) for one, prefix in zip(said, prefixes, strict=True)]

    def probabilities(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float64]:
        """Return (N, C) calibrated probabilities of decoded images (H, W, 3)."""
        squares = [self.square(image) for image in images]
        seen = [[np.flip(square, tuple(axis - 1 for axis in view)) for square in squares] for view in self.views]
        features = [np.mean([member.features(view) for view in seen], axis=0) for member in self.members]
        return softmax(np.concatenate(features, axis=1) @ self.weight.T + self.bias, self.temperature)

    def pixels(self, image: NDArray[np.uint8]) -> Float:
        """Return (3, S, S) float32 of an image, normalised."""
        return normalised(self.square(image), self.mean, self.std)

    def square(self, image: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return what the network sees of an image, (3, S, S) RGB in [0, 1]: the box, resized with a triangle filter."""
        import torch

        height, width = image.shape[:2]
        box = box_of(self.fit, width, height)
        planes = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))).double() / 255
        if self.fit == "crop":
            planes = planes[:, box.top : box.top + box.height, box.left : box.left + box.width]
        if self.fit == "pad":
            paper = torch.tensor(self.mean, dtype=torch.float64).reshape(3, 1, 1).repeat(1, box.height, box.width)
            paper[:, -box.top : height - box.top, -box.left : width - box.left] = planes
            planes = paper
        options: dict[str, Any] = {"mode": "bilinear", "antialias": True, "align_corners": False}
        resized = torch.nn.functional.interpolate(planes[None], size=(self.side, self.side), **options)[0]
        return np.asarray(resized.numpy(), np.float64)


def _member(finished: Finished, said: dict[str, Any], network: ModelProto, prefix: str) -> _Member:
    from onnx import numpy_helper

    engine = TorchEngine(torch_backbone(finished, said), said["features"], "cpu")
    layer = {tensor.name: numpy_helper.to_array(tensor) for tensor in network.graph.initializer if "hidden/" in tensor.name}
    hidden = (layer[f"{prefix}hidden/weight"], layer[f"{prefix}hidden/bias"]) if f"{prefix}hidden/weight" in layer else None
    return _Member(engine, said["mean"], said["std"], hidden)


def torch_backbone(finished: Finished, said: dict[str, Any]) -> Backbone:
    """Return a network of a run with its very weights, as far as torch is concerned; its ONNX file is that of the weights it began with.

    Args:
        finished: The run.
        said: The manifest of its bundle, or what that says of one of several networks.

    Raises:
        ArtefactError: No name stands for the network any more, or it has other weights here.
    """
    settings, name = finished.settings, str(said["backbone"])
    try:
        backbone = load_backbone(name, settings.image_size, seed=settings.weights_seed)
    except UsageError as error:
        got = f"{name}, which cannot be made again here ({error.message.rstrip('.')})"
        hint = "Train with the name of a network, or with one of your own as file.py:function"
        raise ArtefactError(
            "The export cannot be proven", where=finished.run, expected="a network with a name", got=got, hint=hint
        ) from error
    state = _state(finished, said)
    if state is not None:
        backbone = replace(backbone, state=state, weights=sha256_file(state))
    if backbone.weights != said["weights"]:
        hint = "Put the weights back that the run was trained with, or train again"
        expected, got = f"{name} with the weights {said['weights'][:60]}", f"with {backbone.weights[:60]}"
        raise ArtefactError("The export cannot be proven", where=finished.run, expected=expected, got=got, hint=hint)
    return backbone


def _state(finished: Finished, said: dict[str, Any]) -> Path | None:
    """Return the file with the trained weights of a network; None when they are those that its name stands for."""
    name = str(said.get("file") if "file" in said else weights_file(0))
    return finished.bundle.folder / name if name in finished.bundle.manifest["files"] else None
