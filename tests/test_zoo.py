"""The table of backbones: its numbers are counted again on the built models."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest

from seefit.models.zoo import LITE, PUBLISHED, ZOO, Model, matching, resolve, weights_here

WITH_WEIGHTS = {"ConvolutionBackward0", "AddmmBackward0", "MmBackward0"}
BY_NAME = {model.name: model for model in ZOO}


def build(timm_name: str) -> Any:
    """Return the model without weights; on the meta device it takes no memory and no time."""
    if timm_name in PUBLISHED:
        from seefit.models.classic import classic

        return classic(timm_name)
    if timm_name.startswith("torchvision/"):
        import torchvision

        extra = {"aux_logits": False, "init_weights": False} if timm_name.endswith("googlenet") else {}
        return torchvision.models.get_model(timm_name.removeprefix("torchvision/"), weights=None, **extra)
    import timm

    return timm.create_model(timm_name, pretrained=False)


def longest_way(output: Any) -> int:
    """Return the most layers with weights on one way from the input to ``output``, from the autograd graph."""
    depth: dict[Any, int] = {}
    stack = [output.grad_fn]
    while stack:
        node = stack[-1]
        before = [earlier for earlier, _ in node.next_functions if earlier is not None]
        waiting = [earlier for earlier in before if earlier not in depth]
        if waiting:
            stack.extend(waiting)
            continue
        stack.pop()
        depth[node] = (node.name() in WITH_WEIGHTS) + max((depth[earlier] for earlier in before), default=0)
    return depth[output.grad_fn]


def count(model: Model) -> tuple[int, int, int]:
    """Return parameters, multiply-adds of convolutions and linear layers, and depth of the built model."""
    import torch

    multiply_adds = 0

    def add(layer: torch.nn.Module, _: Any, output: torch.Tensor) -> None:
        nonlocal multiply_adds
        # Each output number costs one multiply-add per weight of its filter (Conv2d: in/groups x kh x kw).
        multiply_adds += output.numel() * cast(torch.Tensor, layer.weight)[0].numel()

    with torch.device("meta"):
        net = build(model.timm_name).eval()
        for layer in net.modules():
            if isinstance(layer, (torch.nn.Conv2d, torch.nn.Linear)):
                layer.register_forward_hook(add)
        output = net(torch.zeros(1, 3, model.input_px, model.input_px))
    return sum(p.numel() for p in net.parameters()), multiply_adds, longest_way(output)


def test_numbers_known_from_elsewhere() -> None:
    assert BY_NAME["resnet50"].parameters == 25_557_032
    assert BY_NAME["resnet50"].multiply_adds == pytest.approx(4.09e9, rel=0.001)
    assert [BY_NAME[n].depth for n in ("vgg16", "resnet50", "densenet121", "torchvision/googlenet", "torchvision/alexnet")] == [
        16,
        50,
        121,
        22,
        8,
    ]
    assert [(BY_NAME[n].top1, BY_NAME[n].source) for n in ("lite0", "lite1", "lite2")] == [(75.1, LITE), (76.7, LITE), (77.6, LITE)]
    assert [round(BY_NAME[n].parameters / 1e6, 1) for n in ("lite0", "lite1", "lite2")] == [4.7, 5.4, 6.1]


@pytest.mark.parametrize("name", ["lite0", "resnet50", "torchvision/googlenet", *PUBLISHED])
def test_counts_agree_with_the_built_model(name: str) -> None:
    model = BY_NAME[name]
    assert (model.parameters, model.multiply_adds, model.depth) == count(model)


@pytest.mark.slow
@pytest.mark.parametrize("model", ZOO, ids=lambda model: model.name)
def test_every_count_agrees_with_the_built_model(model: Model) -> None:
    assert (model.parameters, model.multiply_adds, model.depth) == count(model)


@pytest.mark.slow
@pytest.mark.parametrize("model", [m for m in ZOO if "/" not in m.timm_name and m.name not in PUBLISHED], ids=lambda model: model.name)
def test_input_and_licence_agree_with_what_timm_loads(model: Model) -> None:
    import timm

    loaded = timm.get_pretrained_cfg(model.timm_name)
    assert loaded is not None
    assert loaded.input_size[-1] == model.input_px
    assert loaded.license.lower() == model.licence.lower()
    assert (loaded.hf_hub_id is None) == (model.source is None)


def test_figures_have_a_source_and_are_per_cent() -> None:
    for model in ZOO:
        assert (model.top1 is None) == (model.source is None), model.name
        assert model.top1 is None or 50 < model.top1 < 90, model.name
        assert model.top5 is None or (model.top1 is not None and model.top1 < model.top5 < 100), model.name


def test_no_spelling_means_two_models() -> None:
    owners = [(spelling, model.name) for model in ZOO for spelling in {model.name, *model.aliases, model.timm_name}]
    assert len({spelling for spelling, _ in owners}) == len(owners)
    assert all(spelling == spelling.lower() for spelling, _ in owners)


def test_resolve() -> None:
    assert [resolve(f"lite{n}") for n in range(3)] == [f"tf_efficientnet_lite{n}" for n in range(3)]
    assert resolve("tf_efficientnet_lite0") == "tf_efficientnet_lite0"
    assert resolve("ResNet50V2") == "resnetv2_50"
    assert resolve("googlenet") == "torchvision/googlenet"
    assert resolve("regnety_032") == "regnety_032"
    assert resolve("MyModel") == "MyModel"


def test_alexnet_stays_the_net_as_published() -> None:
    assert resolve("alexnet") == "alexnet"
    assert resolve("torchvision/alexnet") == "torchvision/alexnet"


def test_matching_looks_at_every_spelling() -> None:
    assert [model.name for model in matching("ResNet1*")] == ["resnet18", "resnet101", "resnet152", "resnetv2_101", "resnetv2_152"]
    assert [model.name for model in matching("tf_efficientnet_lite[01]")] == ["lite0", "lite1"]
    assert matching("regnet*") == ()


def test_weights_here_follows_the_users_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEEFIT_WEIGHTS", str(tmp_path))
    assert weights_here(BY_NAME["lite0"])
    assert not weights_here(BY_NAME["mobilenetv2"])
    (tmp_path / "mobilenetv2_100.safetensors").write_bytes(b"")
    assert weights_here(BY_NAME["mobilenetv2"])


def test_the_table_needs_no_torch() -> None:
    code = "import sys; from seefit.models.zoo import ZOO, weights_here; list(map(weights_here, ZOO)); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
