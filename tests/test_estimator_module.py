"""`ImageClassifier(backbone=module)`: a torch module as an object works as one from a file does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import nn

from seefit.bundle.bundle import load
from seefit.errors import UsageError
from seefit.estimator import ImageClassifier
from seefit.models import backbone as module
from seefit.pipeline import resume
from test_estimator import Labels, make_pictures

FILE = """
import torch
from torch import nn

def make():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 4, 4), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 8, 2, 2), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5),
    )
"""


def make() -> nn.Module:
    scope: dict[str, Any] = {}
    exec(FILE, scope)
    network: nn.Module = scope["make"]()
    return network


@pytest.fixture
def pictures(tmp_path: Path) -> tuple[list[str], Labels]:
    return make_pictures(tmp_path / "pictures", 36)


def same(left: nn.Module, right: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(left.state_dict().values(), right.state_dict().values(), strict=True))


def test_a_module_is_fitted_kept_and_left_as_it_is(
    pictures: tuple[list[str], Labels], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = make().train()
    classifier = ImageClassifier(network, image_size=32)
    assert classifier.get_params()["backbone"] is network
    classifier.fit(*pictures)
    assert network.training and same(network, make())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in network.parameters())
    assert classifier.score(*pictures) > 0.9
    classifier.save(tmp_path / "saved")
    assert load(tmp_path / "saved").manifest["backbone"] == "module:Sequential"

    monkeypatch.setattr(module, "write_onnx", lambda *_: pytest.fail("converted again"))
    again = clone(classifier)
    assert again.backbone is not network and same(again.backbone, network)
    np.testing.assert_array_equal(again.fit(*pictures).predict_proba(pictures[0]), classifier.predict_proba(pictures[0]))


@pytest.mark.parametrize("change", ["weight", "layer", "size"])
def test_another_module_or_size_is_another_backbone(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "write_onnx", lambda *arguments: arguments[-1].write_bytes(b"onnx"))
    network: Any = make()
    first = module.load_module(network, 32)
    assert module.load_module(make(), 32) == first
    if change == "weight":
        with torch.no_grad():
            network[0].bias[0] += 1
    elif change == "layer":
        network[3].stride = (1, 1)
    assert module.load_module(network, 48 if change == "size" else 32).onnx != first.onnx


class Inside(nn.Module):
    """A layer that does not tell what it does."""

    def __init__(self, power: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 4, 4)
        self.power = power  # not in its repr

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.convolution(x).relu() ** self.power
        return found


def test_what_a_layer_does_tells_modules_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "write_onnx", lambda *arguments: arguments[-1].write_bytes(b"onnx"))
    found = []
    for power in (1, 2, 1):
        torch.manual_seed(0)
        found.append(module.load_module(nn.Sequential(Inside(power), nn.Conv2d(4, 5, 2, 2)), 32).weights)
    assert found[0] == found[2] != found[1]


class Uncopied(nn.Module):
    def __deepcopy__(self, memo: object) -> nn.Module:
        raise RuntimeError("holds an open file\nand more")


class Branching(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if x.sum() > 0 else -x


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (Uncopied(), "Cannot use the network: module:Uncopied. Expected a torch.nn.Module that can be copied, "
                     "got RuntimeError (holds an open file)."),
        (Branching(), "Cannot use the backbone: module:Branching. Expected a forward without `if` or `for` over values and shapes, "
                      "got TraceError (symbolically traced variables cannot be used as inputs to control flow)."),
        (nn.Linear(7, 2), "Cannot use the backbone: module:Linear. Expected a network that takes images of 224 pixels a side, "),
        (nn.Linear, "Cannot use the network: backbone. Expected a name or a torch.nn.Module, got a value of type type."),
        (None, "Cannot use the network: backbone. Expected a name or a torch.nn.Module, got a value of type NoneType."),
    ],
)  # fmt: skip
def test_what_cannot_be_a_backbone_is_refused_before_any_image_is_read(network: Any, message: str) -> None:
    for data in ((["nowhere.png"] * 4, list("abab")), ("nowhere",)):
        with pytest.raises(UsageError) as caught:
            ImageClassifier(network).fit(*data)
        assert caught.value.message.startswith(message)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["finetune", "scratch"])
def test_a_run_on_a_module_is_trained_like_any_but_cannot_be_resumed(
    method: str, pictures: tuple[list[str], Labels], tmp_path: Path
) -> None:
    network = make()
    options: dict[str, Any] = {"epochs": 2, "views": 1, "batch": 8, "precision": "fp32", "augment": "none", "lr": "0.01"}
    classifier = ImageClassifier(network, method=method, image_size=32)
    classifier.fit(tmp_path / "pictures", out=tmp_path / "run", **options)
    assert same(network, make())
    assert (tmp_path / "run" / "bundle" / "backbone.safetensors").is_file()
    (tmp_path / "run" / "metrics.json").unlink()
    with pytest.raises(UsageError) as caught:
        resume(tmp_path / "run")
    assert caught.value.message == (
        "Cannot make the network again: module:Sequential. Expected a name, or file.py:function, "
        "got a module that was given as an object in Python."
    )


@pytest.mark.slow
def test_a_module_gives_the_features_that_its_file_gives(pictures: tuple[list[str], Labels], tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(FILE)
    paths, labels = pictures
    by_file = ImageClassifier(f"{tmp_path}/net.py:make", image_size=32).fit(paths, labels)
    by_object = ImageClassifier(make(), image_size=32).fit(paths, labels)
    np.testing.assert_array_equal(by_object.transform(paths), by_file.transform(paths))


def test_networks_are_averaged_by_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "write_onnx", lambda *arguments: arguments[-1].write_bytes(b"onnx"))
    with pytest.raises(UsageError) as caught:
        ImageClassifier(make(), method="finetune", image_size=32).fit(tmp_path, preset="best")
    assert caught.value.message == "Cannot average the network: module:Sequential. Expected names of networks, got a module."
