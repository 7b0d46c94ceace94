"""The drawing of a network: its stages, what they sum to, the words in it."""

from __future__ import annotations

import functools
import xml.etree.ElementTree as ET

import pytest

from seefit.drawing import svg, svg_file
from seefit.models.architecture import build
from seefit.models.diagram import draw_network, shape_text, short, stages
from seefit.models.summary import Summary, summarise
from seefit.models.zoo import resolve


@functools.cache
def of(name: str) -> Summary:
    network, side = build(resolve(name))
    return summarise(network, (3, side, side))


def test_stages_of_resnet50() -> None:
    assert [(row.name, row.type, row.output) for row in stages(of("resnet50"))] == [
        ("conv1 – act1", "Conv2d, BatchNorm2d, ReLU", (64, 112, 112)),
        ("maxpool", "MaxPool2d", (64, 56, 56)),
        ("layer1", "3 x Bottleneck", (256, 56, 56)),
        ("layer2", "4 x Bottleneck", (512, 28, 28)),
        ("layer3", "6 x Bottleneck", (1024, 14, 14)),
        ("layer4", "3 x Bottleneck", (2048, 7, 7)),
        ("global_pool – fc", "SelectAdaptivePool2d, Linear", (1000,)),
    ]


def test_stages_of_lite0() -> None:
    assert [(row.name, row.type, row.output) for row in stages(of("lite0"))] == [
        ("conv_stem – bn1", "Conv2dSame, BatchNormAct2d", (32, 112, 112)),
        ("blocks.0", "DepthwiseSeparableConv", (16, 112, 112)),
        ("blocks.1", "2 x InvertedResidual", (24, 56, 56)),
        ("blocks.2", "2 x InvertedResidual", (40, 28, 28)),
        ("blocks.3", "3 x InvertedResidual", (80, 14, 14)),
        ("blocks.4", "3 x InvertedResidual", (112, 14, 14)),
        ("blocks.5", "4 x InvertedResidual", (192, 7, 7)),
        ("blocks.6", "InvertedResidual", (320, 7, 7)),
        ("conv_head – bn2", "Conv2d, BatchNormAct2d", (1280, 7, 7)),
        ("global_pool – classifier", "SelectAdaptivePool2d, Linear", (1000,)),
    ]


def test_stages_of_networks_without_blocks() -> None:
    assert [(row.name, row.output) for row in stages(of("torchvision/alexnet"))] == [
        ("features.0 – features.1", (64, 55, 55)),
        ("features.2 – features.4", (192, 27, 27)),
        ("features.5 – features.11", (256, 13, 13)),
        ("features.12 – avgpool", (256, 6, 6)),
        ("classifier.0 – classifier.6", (1000,)),
    ]
    assert [row.name for row in stages(of("torchvision/googlenet"))] == [
        "conv1", "maxpool1 – conv3", "maxpool2 – inception3b", "maxpool3 – inception4e", "maxpool4 – inception5b", "avgpool – fc",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["resnet50", "vit_small", "torchvision/alexnet", "swin_tiny_patch4_window7_224"])
def test_stages_sum_to_the_whole(name: str) -> None:
    found = of(name)
    rows = stages(found)
    assert sum(row.parameters for row in rows) == found.parameters
    assert sum(row.multiply_adds for row in rows) == found.multiply_adds
    assert 5 <= len(rows) <= 16


def test_tokens_and_channels_last() -> None:
    vit = stages(of("vit_small"))
    assert [(row.name, row.type, row.output) for row in vit][:4] == [
        ("weights of its own", "VisionTransformer", ()),
        ("patch_embed", "PatchEmbed", (196, 384)),
        ("pos_drop", "Dropout", (197, 384)),
        ("blocks", "12 x Block", (197, 384)),
    ]
    assert shape_text((56, 56, 96)) == shape_text((96, 56, 56)) == "56 × 56 × 96"
    assert [shape_text(shape) for shape in ((197, 384), (1000,), (2048, 1, 1), ())] == ["197 × 384", "1000", "1 × 1 × 2048", "–"]


def test_numbers_in_three_digits() -> None:
    assert [short(n) for n in (0, 7, 999, 1000, 999_600, 25_557_032, 385_187_552, 4_089_184_256)] == [
        "0", "7", "999", "1.00 k", "1.00 M", "25.6 M", "385 M", "4.09 G",
    ]  # fmt: skip


def test_the_drawing_says_every_stage_with_its_shape_and_costs() -> None:
    found = of("resnet50")
    figure = draw_network(found, "resnet50 <b>&")
    assert tuple(figure.get_size_inches() * 72) == pytest.approx((620, 76 + 48 * 8 + 30))
    page = svg_file(svg(figure, "network", "resnet50"))
    words = [element.text for element in ET.fromstring(page).iter() if element.tag.endswith("text")]
    for row in stages(found):
        assert {row.name, row.type, shape_text(row.output)} <= set(words)
    assert {"resnet50 <b>&", "25.6 M parameters · 4.09 G multiply-adds · input 224 × 224 × 3", "input", "parameters"} <= set(words)
    assert words.count("–") == 2  # max-pooling has no parameters and no multiply-adds
