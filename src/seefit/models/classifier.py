"""A backbone with a linear head on its own pooled output as one model of timm's, and the folder that timm reads it from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from seefit.models.architecture import size_option
from seefit.models.backbone import Backbone, torch_model
from seefit.models.convert import quietly

if TYPE_CHECKING:
    import torch

CROP_MODES = {"crop": "center", "squash": "squash", "pad": "border"}  # what timm calls them
_KEPT = ("pool_size", "first_conv", "classifier", "fixed_input_size", "paper_ids", "license")  # of what timm says of the network


def timm_classifier(backbone: Backbone, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> torch.nn.Module | None:
    """Return a network of timm's with a head as its classifier, in evaluation mode.

    Args:
        backbone: The network.
        weight: (C, D) float32 on its pooled output.
        bias: (C,) float32.

    Returns:
        The model; None where timm's own classifier is no linear layer on that output.
    """
    import torch

    model: Any = torch_model(backbone)
    model.reset_classifier(len(bias))
    layer = model.get_classifier()
    if not isinstance(layer, torch.nn.Linear) or layer.weight.shape != weight.shape or layer.bias is None:
        return None
    layer.load_state_dict({"weight": torch.from_numpy(weight.copy()), "bias": torch.from_numpy(bias.copy())})
    return model.eval()  # type: ignore[no-any-return]


def timm_config(backbone: Backbone, model: Any, classes: Sequence[str], fit: str) -> dict[str, Any]:
    """Return the content of ``config.json`` as timm reads it.

    Args:
        backbone: The network.
        model: From `timm_classifier`.
        classes: Names, in the order of the outputs.
        fit: How the box on a picture is chosen.
    """
    known = dict(model.pretrained_cfg)
    about = {key: known[key] for key in _KEPT if known.get(key) is not None}
    side = backbone.image_size
    about |= {"tag": "seefit", "input_size": [3, side, side], "interpolation": "bilinear", "crop_pct": 1.0, "crop_mode": CROP_MODES[fit]}
    about |= {"mean": list(backbone.mean), "std": list(backbone.std), "num_classes": len(classes)}
    options = size_option(backbone.name, side)
    return {
        "architecture": known.get("architecture", backbone.name.partition(".")[0]),
        "num_classes": len(classes),
        "num_features": int(model.num_features),
        "label_names": list(classes),
        **({"model_args": options} if options else {}),
        "pretrained_cfg": about,
    }


def load_folder(folder: Path) -> torch.nn.Module:
    """Return the model that timm makes of a folder with ``config.json`` and ``model.safetensors``, in evaluation mode."""
    import timm

    with quietly():
        model: torch.nn.Module = timm.create_model(f"local-dir:{folder}", pretrained=True)
    return model.eval()
