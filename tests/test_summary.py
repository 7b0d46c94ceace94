"""The layer table and its totals: against figures known from elsewhere, and against sums by hand."""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from seefit.models.architecture import build
from seefit.models.summary import Layer, Summary, summarise, trunk
from seefit.models.zoo import ZOO, resolve


@functools.cache
def of(name: str, side: int | None = None, **options: Any) -> Summary:
    network, own = build(resolve(name), **options)
    return summarise(network, (3, side or own, side or own))


@pytest.fixture(scope="module")
def resnet50() -> Summary:
    return of("resnet50")


def torchvisions(name: str) -> Summary:
    with torch.device("meta"):
        return summarise(torchvision.models.get_model(name, weights=None), (3, 224, 224))


def test_resnet50(resnet50: Summary) -> None:
    assert resnet50.parameters == resnet50.trainable == 25_557_032
    assert resnet50.multiply_adds == 4_089_184_256  # 4.09 G
    assert of("resnet50", 196).multiply_adds == pytest.approx(3.47e9, rel=0.002)
    assert (resnet50.frozen, resnet50.attention, resnet50.input) == (0, 0, (3, 224, 224))


def test_the_small_net_and_two_classes() -> None:
    assert of("small").parameters == 2_740_706
    assert of("resnet50", classes=2).parameters == 25_557_032 - 998 * 2049


def as_its_authors_count(name: str, side: int) -> int:
    """Return the multiply-adds of an EfficientNet-Lite with three for each number that a norm gives and one for each that is added."""
    found = of(name, side)
    norms = sum(math.prod(layer.output) for layer in found.layers if "Norm" in layer.type)
    blocks = [found.outputs[block] for block in trunk(found.types) if block.startswith("blocks.")]
    added = sum(math.prod(after) for before, after in itertools.pairwise(blocks) if before == after)  # only these have a way around
    return found.multiply_adds + 3 * norms + added


def test_lite_and_what_its_authors_print() -> None:
    """Their way of counting is not written down; this one gives their figures but for Lite0, of which they print 407 M."""
    assert of("lite0").multiply_adds == 385_187_552
    assert round(as_its_authors_count("lite1", 240) / 1e6) == 631
    assert as_its_authors_count("lite0", 224) == 405_610_752


@pytest.mark.slow
@pytest.mark.parametrize(("name", "side", "printed"), [("lite2", 260, 0.899), ("lite3", 280, 1.44), ("lite4", 300, 2.64)])
def test_the_larger_lites_and_what_their_authors_print(name: str, side: int, printed: float) -> None:
    assert round(as_its_authors_count(name, side) / 1e9, 2 if printed > 1 else 3) == printed


@pytest.mark.parametrize("name", ["lite0", "torchvision/googlenet", "lenet5", "alexnet", "zfnet", "small", "vit_small"])
def test_the_table_of_backbones_says_the_same(name: str) -> None:
    (row,) = [model for model in ZOO if model.name == name]
    found = of(name)
    assert (found.parameters, found.multiply_adds, found.input[1]) == (row.parameters, row.multiply_adds, row.input_px)


@pytest.mark.slow
@pytest.mark.parametrize("name", [model.name for model in ZOO])
def test_the_whole_table_of_backbones_says_the_same(name: str) -> None:
    test_the_table_of_backbones_says_the_same(name)


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("resnet18", (0.57, 62.79, 44.59, 107.96)),
        ("resnet50", (0.57, 286.56, 97.49, 384.62)),
        ("vgg16", (0.57, 218.78, 527.79, 747.15)),
    ],
)
def test_sizes_are_those_that_torchsummary_prints(name: str, sizes: tuple[float, ...]) -> None:
    found = torchvisions(name)
    assert tuple(round(size, 2) for size in (found.input_mb, found.activations_mb, found.parameters_mb, found.total_mb)) == sizes


def test_the_table_sums_by_hand() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5))
    network[0].requires_grad_(False)
    found = summarise(network, (3, 8, 8))
    assert list(found.layers) == [
        Layer("0", "Conv2d", (4, 6, 6), 4 * 27 + 4, 0, 36 * 4 * 27),
        Layer("1", "BatchNorm2d", (4, 6, 6), 8, 8, 0),
        Layer("2", "ReLU", (4, 6, 6), 0, 0, 0),
        Layer("3", "Flatten", (144,), 0, 0, 0),
        Layer("4", "Linear", (5,), 725, 725, 720),
    ]
    assert (found.parameters, found.trainable, found.frozen) == (845, 733, 112)
    assert found.activations_mb == 2 * 4 * (3 * 144 + 144 + 5) / 2**20
    assert found.input_mb == 3 * 64 * 4 / 2**20
    assert found.total_mb == pytest.approx(found.input_mb + found.activations_mb + 845 * 4 / 2**20)


class Odd(nn.Module):
    """Weights of its own, a product without a layer, a layer used twice, weights used twice, and a layer that never runs."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(6, 4))
        self.first, self.act, self.second, self.idle = nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.Linear(2, 2)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(self.act(self.second(self.act(self.first(x)))), self.scale)


def test_what_no_layer_does_is_counted_and_what_is_shared_counts_once() -> None:
    network = Odd()
    found = summarise(network, (4,))
    assert list(found.layers) == [
        Layer("", "Odd", (), 24, 24, 24),
        Layer("first", "Linear", (4,), 20, 20, 16),
        Layer("act", "ReLU", (4,), 0, 0, 0),
        Layer("second", "Linear", (4,), 4, 4, 16),
        Layer("idle", "Linear", (), 6, 6, 0),
    ]
    assert found.parameters == sum(parameter.numel() for parameter in network.parameters())
    assert found.activations == 4 * 4


def test_products_inside_attention_are_counted_apart() -> None:
    found = of("vit_small")
    assert found.multiply_adds == 4_241_218_560
    assert found.attention == 12 * 2 * 197 * 197 * 384  # blocks x (scores, mixing)
    layer = nn.MultiheadAttention(8, 2, batch_first=True)

    class Attend(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, x: Tensor) -> Tensor:
            result: Tensor = self.layer(x, x, x)[0]
            return result

    plain = summarise(Attend(), (5, 8))
    assert (plain.multiply_adds, plain.attention) == (5 * 8 * 8 * 4, 2 * 5 * 5 * 8)


def test_the_network_is_left_as_it_was() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout())
    network.train()
    network[1].eval()
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    summarise(network, (3, 8, 8))
    assert [part.training for part in network.modules()] == [True, True, False, True]
    assert all(torch.equal(before[key], tensor) for key, tensor in network.state_dict().items())
    with pytest.raises(RuntimeError):
        summarise(network, (4, 8, 8))
    assert [part.training for part in network.modules()] == [True, True, False, True]
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in network.modules())


def test_folding_keeps_the_sums(resnet50: Summary) -> None:
    by_stage = resnet50.fold(1)
    assert [(row.name, row.type, row.output) for row in by_stage] == [
        ("conv1", "Conv2d", (64, 112, 112)), ("bn1", "BatchNorm2d", (64, 112, 112)), ("act1", "ReLU", (64, 112, 112)),
        ("maxpool", "MaxPool2d", (64, 56, 56)), ("layer1", "3 x Bottleneck", (256, 56, 56)), ("layer2", "4 x Bottleneck", (512, 28, 28)),
        ("layer3", "6 x Bottleneck", (1024, 14, 14)), ("layer4", "3 x Bottleneck", (2048, 7, 7)),
        ("global_pool", "SelectAdaptivePool2d", (2048,)), ("fc", "Linear", (1000,)),
    ]  # fmt: skip
    for depth in range(1, resnet50.depth + 1):
        rows = resnet50.fold(depth)
        assert sum(row.parameters for row in rows) == resnet50.parameters
        assert sum(row.multiply_adds for row in rows) == resnet50.multiply_adds
    assert resnet50.fold(resnet50.depth) == list(resnet50.layers)
    with pytest.raises(ValueError, match="at least 1"):
        resnet50.fold(0)


def test_the_trunk_looks_through_sequences_and_wrappers(resnet50: Summary) -> None:
    blocks = trunk(resnet50.types)
    assert [name for name in blocks if name.startswith("layer1")] == ["layer1.0", "layer1.1", "layer1.2"]
    assert blocks[0] == "conv1"
    wrapped = nn.Sequential(nn.Sequential(nn.Conv2d(1, 1, 1), nn.Sequential(nn.ReLU())))
    assert trunk({name: type(part).__name__ for name, part in wrapped.named_modules()}) == ["0.0", "0.1.0"]
    assert trunk({"": "Linear"}) == []
