"""A backbone with a head as timm's own classifier."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from seefit.models.backbone import load_backbone
from seefit.models.classifier import timm_classifier, timm_config


def test_logits_are_those_of_the_head_on_the_pooled_output(little: Path) -> None:
    backbone = load_backbone("test_efficientnet")
    rng = np.random.default_rng(0)
    width = backbone.stage("pooled").channels
    weight, bias = rng.normal(size=(5, width)).astype(np.float32), rng.normal(size=5).astype(np.float32)
    model: Any = timm_classifier(backbone, weight, bias)
    pixels = torch.randn(2, 3, backbone.image_size, backbone.image_size)
    with torch.no_grad():
        pooled = model.forward_head(model.forward_features(pixels), pre_logits=True)
        assert torch.allclose(model(pixels), pooled @ torch.from_numpy(weight).T + torch.from_numpy(bias), atol=1e-4)
    assert timm_classifier(backbone, weight[:, :-1], bias) is None


@pytest.mark.parametrize(("fit", "mode"), [("crop", "center"), ("squash", "squash"), ("pad", "border")])
def test_the_config_tells_timm_how_pictures_are_framed(little: Path, fit: str, mode: str) -> None:
    backbone = load_backbone("test_efficientnet")
    width = backbone.stage("pooled").channels
    model = timm_classifier(backbone, np.zeros((2, width), np.float32), np.zeros(2, np.float32))
    config = timm_config(backbone, model, ["a", "b"], fit)
    assert (config["architecture"], config["num_classes"], config["label_names"]) == ("test_efficientnet", 2, ["a", "b"])
    about = config["pretrained_cfg"]
    assert (about["crop_mode"], about["crop_pct"], about["input_size"]) == (mode, 1.0, [3, backbone.image_size, backbone.image_size])
