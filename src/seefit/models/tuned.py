"""Backbones with weights that were trained here: their files last as long as somebody holds the backbone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seefit.environment import gone_with, passing_folder
from seefit.files import write_bytes
from seefit.models.backbone import Backbone, with_state

if TYPE_CHECKING:
    import torch


def tuned_backbone(backbone: Backbone, state: dict[str, torch.Tensor]) -> Backbone:
    """Return a backbone with other weights, turned into ONNX.

    Weights and network lie in a folder of this process below the cache folder, which goes when nothing holds the backbone any more. What
    killed processes left there goes first.

    Args:
        backbone: The network.
        state: Its whole state dict.

    Raises:
        ResourceError: The disk is full or the place cannot be written to.
    """
    from safetensors.torch import save

    folder = passing_folder()
    write_bytes(folder / "backbone.safetensors", save(state))
    return gone_with(with_state(backbone, folder / "backbone.safetensors"), folder)
