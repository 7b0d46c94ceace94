"""Networks that timm did not make: their stages, their pooled features, their names, and what cannot be used."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from seefit.errors import UsageError
from seefit.models.traced import Traced, trace

CONFIG = {"input_size": (3, 32, 32), "mean": (0.5,) * 3, "std": (0.5,) * 3}


class Tutorial(nn.Module):
    """The network of many a first lesson: layers used twice, and functions between them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 5), nn.Conv2d(6, 16, 5)
        self.pool = nn.MaxPool2d(2)
        self.fc1, self.fc2 = nn.Linear(400, 20), nn.Linear(20, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(F.relu(self.conv1(x)))
        x = self.pool(F.relu(self.conv2(x)))
        return F.log_softmax(self.fc2(F.relu(self.fc1(torch.flatten(x, 1)))), 1)


class Residual(nn.Module):
    """A block that a trace need not look into: it has an `if` over values."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if x.mean() < 100 else x


def blocks(*after: nn.Module) -> nn.Sequential:
    stem = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
    return nn.Sequential(stem, nn.Sequential(Residual(4), nn.MaxPool2d(2), Residual(4)), *after)


def traced(network: nn.Module) -> Traced:
    torch.manual_seed(0)
    return trace(network, CONFIG, name="mine")


def test_a_first_lesson_s_network() -> None:
    network = Tutorial()
    body = traced(network)
    assert [(info["module"], info["num_chs"], info["reduction"]) for info in body.feature_info] == [
        ("relu", 6, 1), ("pool", 6, 2), ("relu_1", 16, 3), ("pool_1", 16, 6),
    ]  # fmt: skip
    assert body.num_features == 20
    assert body.pretrained_cfg == CONFIG
    x = torch.rand(2, 3, 32, 32)
    pooled, maps = body.forward_intermediates(x)
    low = F.relu(network.conv1(x))
    torch.testing.assert_close(maps[0], low)
    torch.testing.assert_close(maps[1], network.pool(low))
    torch.testing.assert_close(F.log_softmax(network.fc2(body.forward_head(pooled)), 1), network(x))


def test_weights_keep_their_names_and_are_the_network_s_own() -> None:
    network = Tutorial()
    body = traced(network)
    state = network.state_dict()
    assert set(body.state_dict()) == {key for key in state if not key.startswith("fc2.")}
    with torch.no_grad():
        network.conv1.bias.add_(1)  # type: ignore[union-attr]
    assert torch.equal(body.state_dict()["conv1.bias"], network.conv1.bias)  # type: ignore[arg-type]


def test_blocks_may_hold_anything_and_stages_end_where_the_maps_shrink() -> None:
    network = blocks(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(4, 2))
    body = traced(network)
    assert [(info["module"], info["num_chs"], info["reduction"]) for info in body.feature_info] == [("1.0", 4, 2), ("1.2", 4, 4)]
    x = torch.rand(2, 3, 32, 32)
    pooled, maps = body.forward_intermediates(x)
    torch.testing.assert_close(maps[1], network[1](network[0](x)))
    torch.testing.assert_close(pooled, maps[1].mean((2, 3)))
    assert body.blocks == {"0.0", "0.1", "0.2", "1.0", "1.1", "1.2", "2", "3", "4"}


@pytest.mark.parametrize(
    ("end", "width"),
    [
        ([nn.Conv2d(4, 9, 1)], 9),  # a map: its mean
        ([nn.Flatten(2)], 64),  # rows of tokens: their mean
        ([nn.AdaptiveAvgPool2d(1), nn.Flatten()], 4),  # a vector: as it is
        ([nn.Flatten(), nn.Linear(256, 7), nn.Softmax(1)], 256),  # what the last linear layer sees
    ],
)
def test_pooled_features(end: list[nn.Module], width: int) -> None:
    network = blocks(*end)
    body = traced(network)
    x = torch.rand(2, 3, 32, 32)
    pooled = body.forward_intermediates(x)[0]
    assert (body.num_features, tuple(pooled.shape)) == (width, (2, width))
    if width == 9:
        torch.testing.assert_close(pooled, network(x).mean((2, 3)))


def test_linear_layers_below_the_last_map_are_not_the_head() -> None:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.weigh, self.last = nn.Conv2d(3, 4, 3), nn.Linear(4, 4), nn.Conv2d(4, 5, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = self.conv(x)
            x = x * self.weigh(x.mean((2, 3))).sigmoid()[:, :, None, None]
            maps: Tensor = self.last(x)
            return maps.mean((2, 3))

    assert traced(Attention()).num_features == 5


def test_it_can_be_traced_again_and_copied() -> None:
    import copy

    body = traced(Tutorial())
    x = torch.rand(1, 3, 32, 32)
    again = copy.deepcopy(body)
    assert again.feature_info == body.feature_info
    torch.testing.assert_close(again(x), body(x))
    inside = {node.target for node in fx.Tracer().trace(nn.Sequential(body)).nodes if node.op == "call_module"}
    assert "0.conv1" in inside


def test_dropout_works_in_training_and_norms_follow() -> None:
    body: Any = traced(blocks(nn.Flatten(), nn.Dropout(0.5), nn.Linear(256, 2)))
    x = torch.rand(1, 3, 32, 32)
    assert torch.equal(body(x)[-1], body(x)[-1])
    body.train()
    assert not torch.equal(body(x)[-1], body(x)[-1])


def test_dropout_by_a_function_works_in_training_too() -> None:
    class Functional(nn.Module):
        def __init__(self, always: bool) -> None:
            super().__init__()
            self.conv, self.last, self.always = nn.Conv2d(3, 4, 3), nn.Linear(4, 2), always

        def forward(self, x: Tensor) -> Tensor:
            x = F.dropout(self.conv(x).mean((2, 3)), 0.3, training=self.always or self.training)
            logits: Tensor = self.last(x)
            return logits

    x = torch.rand(8, 3, 32, 32)
    body = traced(Functional(always=False))
    assert [module.p for module in body.modules() if isinstance(module, nn.Dropout)] == [0.3]
    assert torch.equal(body(x)[-1], body(x)[-1])
    body.train()
    assert not torch.equal(body(x)[-1], body(x)[-1])
    always = traced(Functional(always=True))  # as its author wrote it
    assert not torch.equal(always(x)[-1], always(x)[-1])


class Choosy(nn.Module):
    """A network whose own forward looks at values."""

    def forward(self, x: Tensor) -> Tensor:
        return x if x.mean() > 0 else -x


class Pair(nn.Module):
    """A network that returns two things."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


@pytest.mark.parametrize(
    ("network", "expected", "got"),
    [
        (Choosy(), "a forward without `if` or `for` over values and shapes", "TraceError"),
        (nn.Conv2d(4, 8, 3), "a network that takes images of 32 pixels a side", "RuntimeError"),
        (Pair(), "a network that returns one tensor (N, D), (N, T, D) or (N, C, H, W)", "tuple"),
    ],
)
def test_what_cannot_be_used_is_told(network: nn.Module, expected: str, got: str) -> None:
    with pytest.raises(UsageError) as caught:
        traced(network)
    assert caught.value.message.startswith(f"Cannot use the backbone: mine. Expected {expected}, got {got}")
