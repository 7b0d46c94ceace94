"""Plans: the settings reach the objects that the loop calls."""

from __future__ import annotations

import json
import math
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from seefit import plans
from seefit.errors import UsageError
from seefit.memory import Memory
from seefit.models.cut import freeze_norms
from seefit.plans import RATES, Choice, choose_precision, find_rates, is_sought, make_plan, promise, rates_text, spread
from seefit.settings import Settings, make_settings
from seefit.training.augment import parse_augmentation
from seefit.training.finetune import Batch, Plan
from seefit.training.heads import LinearHead, LogitHead
from seefit.training.lr_find import Curve
from seefit.training.mixing import Mixing
from seefit.training.network import TrainedNetwork
from seefit.training.solver import Standardised
from test_cache import Listener

CHOICE = Choice("fp32", 0.5)


class Upper(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)), nn.Conv2d(4, 4, 1))

    def forward(self, activation: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (self.blocks(activation),)


def settings(**given: Any) -> Settings:
    return make_settings({"data": "d", "preset": "balanced", **given})


@pytest.fixture
def network() -> TrainedNetwork:
    scale = Standardised(np.zeros(8, np.float32), np.ones(8, np.float32))
    return TrainedNetwork(Upper(), scale, LinearHead(8, 3, 0))


def plan(network: TrainedNetwork, augment: str = "none", *, validated: bool = True, **given: Any) -> Plan:
    return make_plan(settings(**given), network, parse_augmentation(augment), 10, CHOICE, validated=validated)


def test_rates_rise_from_the_lowest_layer_to_the_head(network: TrainedNetwork) -> None:
    rates = {group["stage"]: group["initial_lr"] for group in plan(network).optimiser.param_groups}
    assert list(rates.values()) == pytest.approx([3e-4, math.sqrt(3e-4 * 2e-3), 2e-3])
    rates = {group["stage"]: group["initial_lr"] for group in plan(network, lr="1e-4..3e-4", lr_spacing="steps").optimiser.param_groups}
    assert list(rates.values()) == pytest.approx([1e-4, 2e-4, 3e-4])
    assert {group["initial_lr"] for group in plan(network, lr="0.01").optimiser.param_groups} == {0.01}
    scaled = plan(network, lr="0.01", scale_lr=True, batch=64).optimiser.param_groups
    assert {group["initial_lr"] for group in scaled} == {0.0025}


def test_from_scratch_every_depth_has_the_same_rate_for_more_epochs(network: TrainedNetwork) -> None:
    scratch = plan(network, method="scratch")
    assert (scratch.epochs, {group["initial_lr"] for group in scratch.optimiser.param_groups}) == (30, {RATES["adamw"]})
    assert spread(0.012, scratch) == (0.012, 0.012)
    norm = next(module for module in network.modules() if isinstance(module, nn.BatchNorm2d))
    scratch.begin_epoch(network, 0)
    assert norm.training


def test_biases_and_norms_are_not_decayed(network: TrainedNetwork) -> None:
    for group in plan(network, weight_decay=0.1).optimiser.param_groups:
        assert {parameter.ndim > 1 for parameter in group["params"]} == {group["weight_decay"] == 0.1}


def test_mixing_comes_from_the_augmentation_unless_it_is_given(network: TrainedNetwork) -> None:
    assert plan(network).mix is None
    assert plan(network, "none,mixup=0.3").mix == Mixing(mixup=0.3)
    assert plan(network, "none,mixup=0.3", mixup=0.1, noise=0.2).mix == Mixing(mixup=0.1, noise=0.2)
    assert plan(network, "none,mixup=0.3", mixup=0).mix is None


def test_the_best_epoch_is_kept_only_where_a_validation_part_tells_it(network: TrainedNetwork) -> None:
    assert plan(network).keep_best
    assert not plan(network, validated=False).keep_best
    assert not plan(network, keep="last").keep_best


def test_layers_are_freed_from_the_head_down(network: TrainedNetwork) -> None:
    begin = plan(network, gradual=2).begin_epoch

    def free(epoch: int) -> set[str]:
        begin(network, epoch)
        return {name.rsplit(".", 1)[0] for name, parameter in network.named_parameters() if parameter.requires_grad}

    assert free(0) == free(1) == {"head.linear"}
    assert free(2) == {"head.linear", "upper.blocks.1"}
    assert free(4) == {"head.linear", "upper.blocks.1", "upper.blocks.0.0", "upper.blocks.0.1"}


def test_norms_are_frozen_or_trained(network: TrainedNetwork) -> None:
    norm = next(module for module in network.modules() if isinstance(module, nn.BatchNorm2d))
    for norms, training in (("frozen", False), ("trained", True)):
        plan(network, norms=norms).begin_epoch(network, 0)
        assert network.training
        assert norm.training is training


def test_norms_of_what_is_frozen_stay_so_when_others_are_trained(network: TrainedNetwork) -> None:
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    begin = plan(network, norms="trained", gradual=1).begin_epoch
    begin(network, 0)
    assert [norm.training for norm in norms] == [False] * len(norms)  # the head alone is trained
    begin(network, 9)
    assert [norm.training for norm in norms] == [True] * len(norms)
    below = nn.Sequential(nn.BatchNorm2d(3).requires_grad_(False), nn.BatchNorm2d(3, affine=False), nn.BatchNorm2d(3))
    freeze_norms(below.train(), trained=True)
    assert [norm.training for norm in below] == [False, True, True]


@pytest.mark.parametrize("loss", ["cross-entropy", "binary-cross-entropy"])
def test_one_logit_learns_by_its_binary_cross_entropy(loss: str) -> None:
    scale = Standardised(np.zeros(8, np.float32), np.ones(8, np.float32))
    head = LogitHead(8, 0.2)
    made = plan(TrainedNetwork(None, scale, head), head="logit", loss=loss)
    features, positive = torch.randn(5, 8), torch.tensor([0.0, 1, 1, 0, 0.3])
    found = made.loss(head.eval()(features), torch.stack([1 - positive, positive], 1))
    expected = nn.functional.binary_cross_entropy_with_logits(head.logit(features)[:, 0], positive, reduction="none")
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("given", [{"schedule": "tides"}, {"loss": "grief"}, {"lr": "fast"}, {"schedule_options": "drop=0.1"}])
def test_what_cannot_be_had_is_refused(network: TrainedNetwork, given: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        plan(network, **given)


def test_the_precision_is_measured_once_and_kept(network: TrainedNetwork, tmp_path: Path) -> None:
    batch = Batch((torch.randn(2, 3, 4, 4),), torch.tensor([[1.0, 0, 0], [0, 1, 0]]), torch.ones(2))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    choice = choose_precision(settings(), network, batch, tmp_path)
    assert choice.precision in {"fp32", "bf16"} and choice.seconds_per_batch > 0
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    (tmp_path / ".choice.json").write_text(json.dumps({"precision": "bf16", "seconds_per_batch": 9}))
    assert choose_precision(settings(precision="fp32"), network, batch, tmp_path) == Choice("bf16", 9)
    assert choose_precision(settings(precision="fp32"), network, batch, None).precision == "fp32"


def test_a_precision_that_is_much_slower_is_tried_once(network: TrainedNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def precision(name: str) -> AbstractContextManager[None]:
        tried.append(name)
        time.sleep(0.5 if name == "bf16" else 0.0)
        return nullcontext()

    monkeypatch.setattr(plans, "_precision", precision)
    batch = Batch((torch.randn(2, 3, 4, 4),), torch.tensor([[1.0, 0, 0], [0, 1, 0]]), torch.ones(2))
    assert choose_precision(settings(), network, batch, None).precision == "fp32"
    assert tried == ["fp32"] * 3 + ["bf16"]


def test_the_trial_finds_out_how_many_images_fit_into_memory(network: TrainedNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    forward, memory = network.forward, Memory()

    def narrow(maps: torch.Tensor) -> torch.Tensor:
        if len(maps) > 3:
            raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes.")
        return forward(maps)

    monkeypatch.setattr(network, "forward", narrow)
    batch = Batch((torch.randn(8, 3, 4, 4),), torch.eye(3)[torch.arange(8) % 3], torch.ones(8))
    assert choose_precision(settings(precision="fp32"), network, batch, None, memory).seconds_per_batch > 0
    assert memory.images == 2


def test_what_will_happen_is_said_before(network: TrainedNetwork) -> None:
    text = promise(settings(epochs=6), "the head", network, plan(network, epochs=6), CHOICE, 10)
    weights = sum(parameter.numel() for parameter in network.parameters())
    assert text.startswith(f"Fine-tuning the head: {weights} weights, 6 epochs of adamw in fp32 on ")
    assert text.endswith(" threads, about 0.5 min")


def test_rates_that_were_found_win_over_the_settings_and_are_said_as_they_are_given(network: TrainedNetwork) -> None:
    assert rates_text(plan(network)) == "0.0003..0.002"
    assert rates_text(plan(network, lr="0.02")) == "0.02"
    assert rates_text(plan(network, lr="auto", scale_lr=True, batch=64)) == "7.5e-05..0.0005"
    found = make_plan(
        settings(scale_lr=True, lr="auto"),
        network,
        parse_augmentation("none"),
        10,
        CHOICE,
        validated=True,
        rates=spread(0.0123, plan(network)),
    )
    assert rates_text(found) == "0.0018..0.0123"  # found for the batches in use: not scaled


@pytest.mark.parametrize(("lr", "sought"), [(None, False), ("auto", True), (" auto ", True), ("1e-3", False), ("1e-4..1e-3", False)])
def test_a_rate_is_looked_for_only_when_asked(lr: str | None, sought: bool) -> None:
    assert is_sought(settings(lr=lr)) is sought


def test_the_rate_is_found_once_and_kept(network: TrainedNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    falls = np.interp(np.linspace(0, 1, 100), [0.4, 0.6, 0.7], [2.0, 1.0, 2.0])
    monkeypatch.setattr(plans, "sweep", lambda *_, **__: Curve(1e-3, np.geomspace(1e-7, 10, 100), falls, False))
    heard, kept = Listener(), tmp_path / "checkpoints"
    first = find_rates(plan(network), CHOICE, network, [], kept, console=heard)  # type: ignore[arg-type]
    monkeypatch.delattr(plans, "sweep")
    assert find_rates(plan(network), CHOICE, network, [], kept, console=heard) == first  # type: ignore[arg-type]
    low, high = first
    assert low == pytest.approx(high * 0.3 / 2, rel=0.02)
    assert heard.said == [
        f"Learning rate of the head: {high:g} (the middle of the fall of the loss)",
        f"Learning rate of the head: {high:g}, found when the run began",
    ]
    assert [path.name for path in kept.iterdir()] == [".rates.json"]
