"""The published networks: layer by layer what their papers count, shapes, connections, and the weights they begin with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from seefit.errors import UsageError
from seefit.models.classic import CLASSIC, FOURS, THREES, Grey, SameConv2d, Squash, Subsample, TableConv, classic
from seefit.models.zoo import PUBLISHED


def on_paper(name: str, classes: int | None = None, image_size: int | None = None) -> Any:
    """Return a network whose weights take no memory."""
    with torch.device("meta"):
        return classic(name, classes, image_size)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def sides(name: str, image_size: int | None = None) -> dict[str, tuple[int, ...]]:
    """Return the shape of every layer's output."""
    network = on_paper(name, image_size=image_size)
    size = image_size or CLASSIC[name].image_size
    found = {}
    with torch.device("meta"):
        x = torch.zeros(1, 3, size, size)
        for layer, module in network.named_children():
            x = module(x)
            found[layer] = tuple(x.shape[1:])
    return found


def test_the_table_of_backbones_names_the_same_networks() -> None:
    assert tuple(CLASSIC) == PUBLISHED


def test_lenet5_counts_as_its_paper_does() -> None:
    network = on_paper("lenet5")
    layers = {"c1": 156, "s2": 12, "c3": 1_516, "s4": 32, "c5": 48_120, "f6": 10_164, "output": 850}
    assert {name: count(network.get_submodule(name)) for name in layers} == layers
    assert count(network) == sum(layers.values()) == 60_850


def test_lenet5_has_the_maps_of_figure_2() -> None:
    shapes = sides("lenet5")
    named = {name: shapes[name] for name in ("c1", "s2", "c3", "s4", "c5", "f6", "output")}
    assert named == {
        "c1": (6, 28, 28), "s2": (6, 14, 14), "c3": (16, 10, 10), "s4": (16, 5, 5), "c5": (120, 1, 1), "f6": (84,), "output": (10,),
    }  # fmt: skip


def test_c3_sees_what_table_1_says() -> None:
    layer = TableConv()
    x = torch.rand(1, 6, 6, 6)
    plain = layer(x)
    table = np.zeros((6, 16), bool)
    for below in range(6):
        other = x.clone()
        other[:, below] += 1
        table[below] = (layer(other) != plain).flatten(2).any(2)[0].numpy()
    printed = """
        X...XXX..XXXX.XX
        XX...XXX..XXXX.X
        XXX...XXX..X.XXX
        .XXX..XXXX..X.XX
        ..XXX..XXXX.XX.X
        ...XXX..XXXX.XXX"""
    assert ["".join(".X"[int(cell)] for cell in row) for row in table] == printed.split()
    assert len(set(THREES)) == 6
    assert len(set(FOURS)) == 9


def test_subsampling_sums_squares_and_squashing_keeps_one() -> None:
    layer = Subsample(2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([1.0, 2.0]))
        layer.bias.copy_(torch.tensor([0.0, 5.0]))
        found = layer(torch.arange(8.0).view(1, 2, 2, 2))
    assert found.flatten().tolist() == [0 + 1 + 2 + 3, 2 * (4 + 5 + 6 + 7) + 5]
    assert Squash()(torch.tensor([1.0, -1.0, 100.0])).tolist() == pytest.approx([1, -1, 1.7159], abs=1e-4)


def test_grey_is_what_a_television_shows() -> None:
    assert Grey()(torch.tensor([1.0, 0.5, 0.25]).view(1, 3, 1, 1)).item() == pytest.approx(0.299 + 0.587 / 2 + 0.114 / 4)


def test_alexnet_counts_as_its_paper_does() -> None:
    network = on_paper("alexnet")
    layers = {"conv1": 34_944, "conv2": 307_456, "conv3": 885_120, "conv4": 663_936, "conv5": 442_624}
    layers |= {"fc6": 37_752_832, "fc7": 16_781_312, "fc8": 4_097_000}
    assert {name: count(network.get_submodule(name)) for name in layers} == layers
    assert count(network) == 60_965_224
    assert [network.get_submodule(f"conv{n}").groups for n in range(1, 6)] == [1, 2, 1, 2, 2]


def test_alexnet_and_zfnet_have_the_maps_of_their_papers() -> None:
    alexnet, zfnet = sides("alexnet"), sides("zfnet")
    assert [alexnet[name] for name in ("conv1", "conv2", "conv3", "pool5")] == [(96, 55, 55), (256, 27, 27), (384, 13, 13), (256, 6, 6)]
    named = [zfnet[name] for name in ("conv1", "pool1", "conv2", "pool2", "conv3", "pool5", "fc8")]
    assert named == [(96, 110, 110), (96, 55, 55), (256, 26, 26), (256, 13, 13), (384, 13, 13), (256, 6, 6), (1000,)]
    assert list(alexnet)[:4] == ["conv1", "relu1", "norm1", "pool1"]
    assert list(zfnet)[:4] == ["conv1", "relu1", "pool1", "norm1"]


def test_zfnet_has_no_groups() -> None:
    network = on_paper("zfnet")
    assert count(network) == 62_357_608
    assert {layer.groups for layer in network.modules() if isinstance(layer, nn.Conv2d)} == {1}


def test_responses_are_normalised_by_the_paper_s_formula() -> None:
    values = np.random.default_rng(0).normal(scale=30, size=9)
    expected = [values[i] / (2 + 1e-4 * np.square(values[max(0, i - 2) : i + 3]).sum()) ** 0.75 for i in range(9)]
    norm = on_paper("alexnet").norm1
    np.testing.assert_allclose(norm(torch.from_numpy(values).view(1, 9, 1, 1)).flatten().numpy(), expected, rtol=1e-9)


def test_the_small_net_counts_as_its_author_does() -> None:
    network = on_paper("small")
    assert [count(layer) for layer in network if count(layer)] == [49_216, 131_104, 2_560_128, 258]
    assert count(network) == 2_740_706
    shapes = sides("small")
    assert [shapes[name] for name in ("conv1", "pool1", "conv2", "pool2", "flatten")] == [
        (64, 225, 225), (64, 75, 75), (32, 75, 75), (32, 25, 25), (20_000,),
    ]  # fmt: skip


def test_an_even_filter_pads_below_and_to_the_right() -> None:
    layer = SameConv2d(1, 1, 4, bias=False)
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[0, 0, 0, 1] = 1  # looks one up and none across
        found = layer(torch.arange(9.0).view(1, 1, 3, 3))
    assert found[0, 0].tolist() == [[0, 0, 0], [0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize("name", CLASSIC)
def test_classes_and_image_size_can_be_chosen(name: str) -> None:
    network = on_paper(name, classes=7, image_size=96)
    with torch.device("meta"):
        assert network(torch.zeros(2, 3, 96, 96)).shape == (2, 7)


def test_initial_weights_are_as_published() -> None:
    torch.manual_seed(0)
    lenet5: Any = classic("lenet5")
    for layer, inputs in ((lenet5.c1, 25), (lenet5.c3.fours, 100), (lenet5.f6, 120), (lenet5.s2, 4)):
        largest = max(float(parameter.detach().abs().max()) for parameter in layer.parameters())
        assert 0.6 * 2.4 / inputs < largest <= 2.4 / inputs
    alexnet: Any = classic("alexnet", image_size=67)
    assert [float(layer.bias.detach().mean()) for layer in alexnet if hasattr(layer, "bias")] == [0, 1, 0, 1, 1, 1, 1, 0]
    assert float(alexnet.conv3.weight.detach().std()) == pytest.approx(0.01, rel=0.01)
    zfnet: Any = classic("zfnet", image_size=67)
    assert {float(layer.bias.detach().abs().max()) for layer in zfnet if hasattr(layer, "bias")} == {0.0}
    small: Any = classic("small", image_size=32)
    assert float(small.conv1.weight.detach().abs().max()) == pytest.approx((6 / (67 * 256)) ** 0.5, rel=0.01)


def test_an_image_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(UsageError) as caught:
        classic("alexnet", image_size=62)
    assert caught.value.message == "The image is too small for the network: alexnet. Expected some 227 pixels a side, got 62."
    with torch.device("meta"):
        assert classic("alexnet", image_size=67)(torch.zeros(1, 3, 67, 67)).shape == (1, 1000)


def test_an_unknown_name_gets_the_closest() -> None:
    with pytest.raises(UsageError, match=r"Unknown published network: lenet\. Expected .* Did you mean 'lenet5'"):
        classic("lenet")
