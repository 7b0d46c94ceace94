"""Networks by name: timm's, torchvision's, the published ones and a user's own, all usable as backbones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from seefit.bundle.runtime import open_session
from seefit.errors import ArtefactError, ResourceError, UsageError
from seefit.models import backbone as module
from seefit.models.architecture import build, build_probed, check_name, create_foreign, first_head, is_foreign, size_option
from seefit.models.backbone import Stage, create, load_backbone, tower
from seefit.models.cut import upper_part
from seefit.models.weights import find_weights

OWN = """
from torch import nn

def make(classes=4):
    return nn.Sequential(nn.Conv2d(3, 6, 3, 2), nn.ReLU(), nn.Conv2d(6, 8, 3, 2), nn.ReLU(),
                         nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, classes))
"""


@pytest.fixture
def own(tmp_path: Path) -> str:
    """Write a user's network and return its name."""
    (tmp_path / "net.py").write_text(OWN)
    return f"{tmp_path}/net.py:make"


def test_which_networks_are_not_timms(own: str) -> None:
    assert all(map(is_foreign, ("alexnet", "lenet5", "torchvision/alexnet", own)))
    assert not any(map(is_foreign, ("resnet50", "tf_efficientnet_lite0", "nonsense")))


def test_unknown_names_get_the_closest() -> None:
    with pytest.raises(UsageError) as caught:
        check_name("torchvision/alexnett")
    assert caught.value.message == "Unknown backbone: torchvision/alexnett. Expected a known backbone, got 'torchvision/alexnett'."
    assert caught.value.hint.startswith("Did you mean 'torchvision/alexnet'?")
    with pytest.raises(UsageError) as caught:
        check_name("alexnett")
    assert caught.value.hint.startswith("Did you mean 'alexnet'?")
    check_name("torchvision/vgg11")


def test_a_network_is_built_without_weights_or_memory(own: str) -> None:
    for name, classes, image_size, side in (
        ("alexnet", None, None, 227), ("lenet5", 3, 64, 64), ("torchvision/googlenet", 5, None, 224), ("resnet18", 5, 96, 96),
        ("vit_small_patch16_224", 2, 96, 96),
    ):  # fmt: skip
        network, found = build(name, classes=classes, image_size=image_size)
        assert found == side
        assert {parameter.device.type for parameter in network.parameters()} == {"meta"}
        with torch.device("meta"):
            assert network(torch.zeros(1, 3, side, side)).shape == (1, classes or 1000)
    network, side = build(own, classes=9)
    assert (side, {parameter.device.type for parameter in network.parameters()}) == (224, {"cpu"})
    assert network(torch.zeros(1, 3, side, side)).shape == (1, 9)


def test_a_network_that_computes_while_it_is_built_is_built_for_real() -> None:
    network, side = build("torchvision/regnet_y_400mf", classes=2)
    assert {parameter.device.type for parameter in network.parameters()} == {"cpu"}
    assert (side, sum(parameter.numel() for parameter in network.parameters())) == (224, 4_344_144 - 998 * 441)


def test_a_size_is_an_option_only_where_a_network_is_built_for_one() -> None:
    assert size_option("vit_small_patch16_224", 96) == {"img_size": 96}
    assert size_option("vit_small_patch16_224", None) == {}
    assert size_option("resnet18", 96) == {}


def test_stages_of_torchvisions_networks() -> None:
    alexnet: Any = create_foreign("torchvision/alexnet")
    assert [(info["module"], info["num_chs"]) for info in alexnet.feature_info] == [
        ("features.1", 64), ("features.4", 192), ("features.11", 256), ("avgpool", 256),
    ]  # fmt: skip
    assert alexnet.num_features == 4096
    assert alexnet.pretrained_cfg == {"input_size": (3, 224, 224), "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    googlenet: Any = create_foreign("torchvision/googlenet", image_size=128)
    assert [(info["module"], info["num_chs"]) for info in googlenet.feature_info] == [
        ("conv1", 64), ("conv3", 192), ("inception3b", 480), ("inception4e", 832), ("inception5b", 1024),
    ]  # fmt: skip
    assert googlenet.num_features == 1024
    assert not any(key.startswith("fc.") for key in googlenet.state_dict())


def test_stages_of_the_published_networks() -> None:
    lenet5: Any = create("lenet5")
    assert [(info["module"], info["num_chs"]) for info in lenet5.feature_info] == [
        ("squash1", 6), ("squash2", 6), ("squash3", 16), ("squash4", 16),
    ]  # fmt: skip
    assert (lenet5.num_features, lenet5.pretrained_cfg["input_size"]) == (84, (3, 32, 32))
    small: Any = create("small", image_size=64)
    assert [(info["module"], info["num_chs"]) for info in small.feature_info] == [("relu1", 64), ("relu2", 32), ("pool2", 32)]
    assert small.num_features == 128


def test_a_user_s_network_is_a_backbone(own: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        module, "write_onnx", lambda *arguments: arguments[-1].write_bytes(b"onnx")
    )  # takes seconds; see the slow test below
    backbone = load_backbone(own, 48)
    assert backbone.stages == (Stage("1", 6, 23), Stage("3", 8, 11), Stage("pooled", 8, 0))
    assert (backbone.name, backbone.mean, backbone.std) == (own, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert load_backbone(own, 48) == backbone
    with torch.inference_mode():
        outputs = tower(backbone)(torch.zeros(2, 3, 48, 48))
    assert [tuple(output.shape) for output in outputs] == [(2, 6, 23, 23), (2, 8, 11, 11), (2, 8)]
    Path(own.rpartition(":")[0]).write_text(OWN.replace("Conv2d(6, 8, 3, 2)", "Conv2d(6, 8, 3, 1)"))
    assert find_weights(own).identity != backbone.weights
    assert load_backbone(own, 48).stages[1] == Stage("3", 8, 21)


CHOOSY = """
from torch import nn

class Block(nn.Module):
    def __init__(self, before, after):
        super().__init__()
        self.conv = nn.Conv2d(before, after, 3, 2, 1)

    def forward(self, x):
        return self.conv(x) if x.shape[1] == 3 else self.conv(x).relu()

def make():
    return nn.Sequential(Block(3, 4), Block(4, 6), Block(6, 8), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2))
"""


def test_a_user_s_network_can_be_cut_between_blocks_whatever_they_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "write_onnx", lambda *arguments: arguments[-1].write_bytes(b"onnx"))
    (tmp_path / "net.py").write_text(CHOOSY)
    backbone = load_backbone(f"{tmp_path}/net.py:make", 32)
    assert [stage.name for stage in backbone.stages] == ["0", "1", "2", "pooled"]
    part = upper_part(backbone, "0", ["1", "pooled"])
    assert [name for name, _ in part.named_parameters()] == [
        f"model.{block}.conv.{kind}" for block in (1, 2) for kind in ("weight", "bias")
    ]
    with torch.inference_mode():
        whole = tower(backbone)(torch.rand(2, 3, 32, 32))
        for ours, theirs in zip(part(whole[0]), (whole[1], whole[3]), strict=True):
            torch.testing.assert_close(ours, theirs)


def test_own_weights_of_a_published_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ResourceError) as caught:
        load_backbone("lenet5")
    assert caught.value.message == (
        "No pretrained weights: lenet5. Expected weights on this machine or a network to fetch them, "
        "got none here, and none were ever published."
    )
    assert caught.value.hint.startswith(
        "Use --method scratch, which trains all of it, or put weights of your own at <folder>/lenet5.safetensors and set SEEFIT_WEIGHTS"
    )
    network, _ = build("lenet5")
    state = {key: torch.full(tensor.shape, 0.25) for key, tensor in network.state_dict().items()}
    save_file(state, tmp_path / "lenet5.safetensors")
    monkeypatch.setenv("SEEFIT_WEIGHTS", str(tmp_path))
    loaded = create("lenet5", find_weights("lenet5"))
    assert {float(parameter.detach().mean()) for parameter in loaded.parameters()} == {0.25}
    with pytest.raises(ArtefactError, match=r"tensors of seefit's lenet5, got 1 missing or of another shape, such as c5\.weight"):
        create("lenet5", find_weights("lenet5"), image_size=64)


@pytest.mark.parametrize(
    ("name", "width", "spread", "shift"),
    [
        ("lenet5", 84, 2.4 / 84 / 3**0.5, None),  # evenly up to 2.4 / 84
        ("alexnet", 4096, 0.01, 0.0),
        ("small", 128, (2 / (128 + 700)) ** 0.5, 0.0),
        ("resnetv2_50", 2048, 0.01, 0.0),  # a convolution in timm
    ],
)
def test_a_head_begins_as_its_makers_say(name: str, width: int, spread: float, shift: float | None) -> None:
    size = {"alexnet": 67, "small": 64}.get(name)
    weight, bias = first_head(name, 700, width, seed=0, image_size=size)
    assert weight.shape == (700, width)
    assert float(weight.std()) == pytest.approx(spread, rel=0.02)
    assert shift is None or set(bias.tolist()) == {shift}
    assert not np.array_equal(weight, first_head(name, 700, width, seed=1, image_size=size)[0])


def test_a_network_for_another_number_of_classes_gets_a_head_of_torch_s_own(own: str) -> None:
    weight, bias = first_head(own, 7, 8, seed=0)
    assert (weight.shape, bias.shape) == ((7, 8), (7,))
    assert 0.2 < float(np.abs(weight).max()) <= 1 / 8**0.5


def test_a_probe_has_the_stages_that_it_looks_at() -> None:
    network = build_probed("resnet18", 64, ["layer2", "layer4", "pooled"], lambda width: torch.nn.Linear(width, 5))
    parameters = dict(network.named_parameters())
    assert tuple(parameters["probe.weight"].shape) == (5, 2 * 128 + 2 * 512 + 512)
    assert not any(name.startswith("fc.") for name in parameters)
    with torch.device("meta"):
        assert network(torch.zeros(2, 3, 64, 64)).shape == (2, 5)
    foreign = build_probed("torchvision/alexnet", 224, ["avgpool", "pooled"], lambda width: torch.nn.Linear(width, 2))
    assert tuple(dict(foreign.named_parameters())["probe.weight"].shape) == (2, 2 * 256 + 4096)
    flat = build_probed("resnet18", 64, ["layer4/flat"], lambda width: torch.nn.Linear(width, 2))
    assert tuple(dict(flat.named_parameters())["probe.weight"].shape) == (2, 512 * 2 * 2)


def put_weights(name: str, folder: Path) -> None:
    """Write small random weights where ``SEEFIT_WEIGHTS`` looks for them."""
    torch.manual_seed(0)
    state = {key: torch.rand(tensor.shape).mul(0.02).to(tensor.dtype) for key, tensor in build(name)[0].state_dict().items()}
    (folder / name).parent.mkdir(exist_ok=True)
    save_file(state, folder / f"{name}.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["torchvision/alexnet", "torchvision/googlenet", "alexnet", "zfnet", "lenet5", "small", "own"])
def test_each_can_be_written_as_onnx(name: str, own: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "own":
        name = own
    else:
        put_weights(name, tmp_path)
        monkeypatch.setenv("SEEFIT_WEIGHTS", str(tmp_path))
    backbone = load_backbone(name)
    pixels = np.random.default_rng(0).normal(size=(2, 3, backbone.image_size, backbone.image_size)).astype(np.float32)
    found = open_session(backbone.onnx.read_bytes(), intra_threads=2).run(None, {"pixels": pixels})
    with torch.inference_mode():
        expected = tower(backbone)(torch.from_numpy(pixels))
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=0, atol=2e-4 * max(1.0, float(theirs.abs().max())))
