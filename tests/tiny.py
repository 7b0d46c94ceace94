"""A backbone of three small layers and what is built on it: the whole path in milliseconds instead of seconds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from seefit.bundle.bundle import Parts, save_bundle
from seefit.bundle.graph import Fit, feature_size, features_model, opset_of, preprocess_model
from seefit.files import sha256_file
from seefit.models.backbone import Backbone, Stage, _describe, _description
from seefit.models.weights import find_weights

if TYPE_CHECKING:
    from onnx import ModelProto

SIDE = 32  # pixels
STAGES = (Stage("blocks.0", 4, 8), Stage("blocks.1", 8, 4), Stage("pooled", 8, 0))
MEAN = STD = (0.5, 0.5, 0.5)
CLASSES = ("defective", "functional")


def tiny_network(seed: int = 0) -> ModelProto:
    """Return a network of two convolutions and a pooling, with the outputs that `STAGES` names."""
    from onnx import numpy_helper, parser

    model = parser.parse_model(f"""
    <ir_version: 10, opset_import: ["" : 20]>
    network (float[N, 3, {SIDE}, {SIDE}] pixels) => (float[N, 4, 8, 8] "blocks.0", float[N, 8, 4, 4] "blocks.1", float[N, 8] pooled) {{
      low = Conv<strides = [4, 4]>(pixels, weight0)
      "blocks.0" = Relu(low)
      high = Conv<strides = [2, 2]>("blocks.0", weight1)
      "blocks.1" = Relu(high)
      mean = GlobalAveragePool("blocks.1")
      pooled = Flatten(mean)
    }}""")
    rng = np.random.default_rng(seed)
    for name, shape in (("weight0", (4, 3, 4, 4)), ("weight1", (8, 4, 2, 2))):
        weight = rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]))
        model.graph.initializer.append(numpy_helper.from_array(weight.astype(np.float32), name))
    return model


def make_backbone(onnx_file: Path, name: str = "tiny", seed: int = 0, weights: str = "seed 0") -> Backbone:
    """Write the tiny network to a file and return it as a backbone."""
    onnx_file.parent.mkdir(parents=True, exist_ok=True)
    onnx_file.write_bytes(tiny_network(seed).SerializeToString())
    return Backbone(name, SIDE, MEAN, STD, STAGES, weights, onnx_file, sha256_file(onnx_file))


def plant_tiny(name: str = "tf_efficientnet_lite0", image_size: int | None = None, seed: int = 0) -> Backbone:
    """Keep the tiny network in the cache folder (``SEEFIT_CACHE``) under the name of a real backbone, which then need not be converted."""
    weights = find_weights(name)
    description = _description(name, image_size, weights)
    backbone = make_backbone(description.with_suffix(".onnx"), name, seed, weights=weights.identity)
    _describe(backbone)
    return backbone


def make_parts(
    backbone: Backbone,
    classes: Sequence[str] = CLASSES,
    *,
    fit: Fit = "squash",
    stages: Sequence[str] = ("blocks.0", "blocks.1"),
    temperature: float = 1.5,
    weight: NDArray[np.float32] | None = None,
    **about: Any,
) -> Parts:
    """Return what a bundle is made of, with a random head unless one is given."""
    network = features_model(backbone, stages)
    preprocess = preprocess_model(backbone.image_size, backbone.mean, backbone.std, fit, opset=opset_of(network))
    rng = np.random.default_rng(1)
    if weight is None:
        weight = rng.normal(size=(len(classes), feature_size(backbone, stages))).astype(np.float32)
    bias = np.linspace(-0.5, 0.5, len(classes)).astype(np.float32)
    facts: dict[str, Any] = {
        "seefit_version": "0.1.0",
        "backbone": backbone.name,
        "weights": backbone.weights,
        "image_size": backbone.image_size,
        "fit": fit,
        "features": list(stages),
        "mean": list(backbone.mean),
        "std": list(backbone.std),
        "method": "probe",
        "head": "logistic",
        "data_sha256": "0" * 64,
    }
    return Parts(preprocess, network, weight, bias, temperature, tuple(classes), facts | about)


def make_bundle(folder: Path, backbone: Backbone, classes: Sequence[str] = CLASSES, **options: Any) -> Path:
    """Write a bundle on the tiny backbone; options as in `make_parts`."""
    save_bundle(folder, make_parts(backbone, classes, **options))
    return folder


def plant_little(folder: Path, name: str = "test_efficientnet") -> str:
    """Write weights by chance for a little network of timm's own tests, whose real ones are on a hub: see ``SEEFIT_WEIGHTS``."""
    import torch
    from safetensors.torch import save_file

    from seefit.models.backbone import create

    torch.manual_seed(0)
    save_file(create(name).state_dict(), folder / f"{name}.safetensors")
    return name
