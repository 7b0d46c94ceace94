"""The trained network begins as the probe, and its head goes back to raw features."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from seefit.training.heads import LinearHead
from seefit.training.network import TrainedNetwork, rewinder, unscaled
from seefit.training.solver import Standardised

RNG = np.random.default_rng(0)


class Upper(nn.Module):
    """A map and a vector, as an upper part gives them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 1)

    def forward(self, activation: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        found = self.conv(activation)
        return found, found.mean((2, 3))


def probe(columns: int) -> tuple[Standardised, Any, Any]:
    features = (RNG.normal(size=(50, columns)) * RNG.uniform(0.1, 9, columns) + 3).astype(np.float32)
    features[:, 1] = 4  # a constant feature is left out
    weight, bias = RNG.normal(size=(2, columns)).astype(np.float32), RNG.normal(size=2).astype(np.float32)
    weight[:, 1] = 0  # as the probe has it
    return Standardised.of(features), weight, bias


def begun(upper: nn.Module | None, scale: Standardised, weight: Any, bias: Any) -> TrainedNetwork:
    network = TrainedNetwork(upper, scale, LinearHead(len(scale.mean), len(bias), 0.5))
    network.begin(weight, bias, seed=0)
    return network.eval()


def test_before_training_it_answers_as_the_probe_does() -> None:
    scale, weight, bias = probe(4 + 5 * 2 + 5)
    network = begun(Upper(), scale, weight, bias)
    maps, below = torch.randn(6, 3, 4, 4), torch.randn(6, 4)
    with torch.no_grad():
        top, vector = network.upper(maps)  # type: ignore[misc]
        features = torch.cat([below, top.mean((2, 3)), top.amax((2, 3)), vector], 1).numpy()
        np.testing.assert_allclose(network(maps, below).numpy(), features @ weight.T + bias, rtol=0, atol=2e-4)


def test_the_head_goes_back_to_raw_features() -> None:
    scale, weight, bias = probe(4)
    network = begun(None, scale, weight, bias)
    head = network.learned_head()
    np.testing.assert_allclose(head.weight, weight, rtol=0, atol=1e-4)
    np.testing.assert_allclose(head.bias, bias, rtol=0, atol=1e-3)
    with torch.no_grad():
        for parameter in network.head.parameters():
            parameter.add_(0.3)
    below = torch.randn(7, 4)
    expected = network(torch.zeros(7, 0, 0, 0), below).detach().numpy()
    np.testing.assert_allclose(network.learned_head().logits(below.numpy()), expected, rtol=0, atol=1e-4)


def test_unscaled_features_and_their_head_stay_as_they_are() -> None:
    weight, bias = RNG.normal(size=(2, 84)).astype(np.float32), RNG.normal(size=2).astype(np.float32)
    network = begun(None, unscaled(84), weight, bias)
    below = torch.randn(7, 84)
    expected = nn.functional.linear(below, torch.from_numpy(weight), torch.from_numpy(bias))
    assert torch.equal(network(torch.zeros(7, 0, 0, 0), below), expected)
    head = network.learned_head()
    assert np.array_equal(head.weight, weight) and np.array_equal(head.bias, bias)


def test_a_step_moves_a_logit_by_as_much_for_any_width() -> None:
    moved = []
    for columns in (8, 800):
        scale, weight, bias = probe(columns)
        network = begun(None, scale, weight, bias)
        below = torch.from_numpy(scale.mean + RNG.normal(size=(64, columns)).astype(np.float32) / np.maximum(scale.factor, 1e-6))
        before = network(torch.zeros(64, 0, 0, 0), below)
        with torch.no_grad():
            step = RNG.choice([-1e-2, 1e-2], size=weight.shape).astype(np.float32)
            next(network.head.parameters()).add_(torch.from_numpy(step))
        moved.append(float((network(torch.zeros(64, 0, 0, 0), below) - before).detach().abs().mean()))
    assert 0.5 < moved[0] / moved[1] < 2


def test_a_forward_and_backward_pass_can_be_taken_back() -> None:
    torch.manual_seed(3)
    network = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2))
    network[3](torch.ones(1, 4)).sum().backward()  # the last layer has a gradient, the first has none
    rewind = rewinder(network)
    chances, statistics = torch.get_rng_state(), [buffer.clone() for buffer in network.buffers()]
    for _ in range(2):
        network(torch.randn(8, 4)).sum().backward()
        assert [parameter.grad is None for parameter in network[0].parameters()] == [False, False]
        rewind()
        assert [parameter.grad is None for parameter in network[0].parameters()] == [True, True]
        torch.testing.assert_close(network[3].weight.grad, torch.ones(2, 4), rtol=0, atol=0)
        assert torch.equal(torch.get_rng_state(), chances)
        assert all(torch.equal(one, two) for one, two in zip(network.buffers(), statistics, strict=True))
