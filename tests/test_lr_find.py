"""The sweep of rising rates: where it diverges on a known problem, that it leaves no trace, and what made curves suggest."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from seefit.errors import RunError
from seefit.training import lr_find
from seefit.training.checkpoint import optimiser_tensors
from seefit.training.finetune import Batch, Plan, finetune
from seefit.training.lr_find import SETTLE, SPAN, STEPS, Curve, Floats, Suggestion, smooth, suggest, sweep
from seefit.training.optimisers import depth_groups, make_optimiser
from test_cache import Listener
from test_finetune import Points, make_network, make_plan, same

USUAL = 1e-3
RATES = np.geomspace(USUAL / SPAN, USUAL * SPAN, STEPS)


class One:
    """One image whose only number is 1."""

    def __len__(self) -> int:
        return 1

    def epoch(self, number: int) -> Iterator[Batch]:
        yield Batch((torch.ones(1, 1),), torch.ones(1, 1), torch.ones(1))


def quadratic(curvature: float, rate: float) -> tuple[nn.Module, Plan]:
    """A weight that begins at 1, and a loss of curvature / 2 times its square."""
    network = nn.Linear(1, 1, bias=False)
    nn.init.ones_(network.weight)
    plan = make_plan(network, "sgd", rate, loss=lambda logits, targets: curvature / 2 * logits[:, 0] ** 2, mix=None, clip=math.inf)
    plan.optimiser.param_groups[0]["weight_decay"] = 0
    return network, plan


@pytest.mark.parametrize("curvature", [0.5, 50.0])
def test_on_a_quadratic_the_loss_grows_beyond_twice_the_inverse_curvature(curvature: float) -> None:
    network, plan = quadratic(curvature, 0.1)
    curve = sweep(network, plan, One())
    weights = np.concatenate([[1.0], np.cumprod(1 - curve.rates * curvature)])[: len(curve.rates)]
    np.testing.assert_allclose(curve.losses, curvature / 2 * weights**2, rtol=1e-2)
    assert ((np.diff(curve.losses) > 0) == (curve.rates[:-1] > 2 / curvature)).all()
    assert curve.diverged
    assert len(curve.rates) < STEPS
    assert 2 / curvature < curve.rates[-1] < 20 / curvature
    found = suggest(curve)
    assert found.kind == "fall"
    assert 0.1 / curvature < found.rate < 2 / curvature


@pytest.mark.parametrize("optimiser", ["sgd", "momentum", "adagrad", "rmsprop", "adam", "adamw"])
def test_afterwards_everything_is_as_it_was(optimiser: str) -> None:
    network = make_network()
    plan = make_plan(network, optimiser, average=0.9, epochs=1)
    finetune(network, plan, Points(), None)  # so that the optimiser and the norms have a state
    network.get_parameter("1.bias").requires_grad_(False)
    weights, state = copy.deepcopy(network.state_dict()), copy.deepcopy(optimiser_tensors(plan.optimiser))
    groups = [{name: value for name, value in group.items() if name != "params"} for group in plan.optimiser.param_groups]
    assert plan.average is not None
    average, chance = copy.deepcopy(plan.average.tensors()), torch.get_rng_state()
    modes = [module.training for module in network.modules()]

    def begin(network: nn.Module, number: int) -> None:
        network.train().requires_grad_(True)

    plan.begin_epoch = begin
    curve = sweep(network, plan, Points())
    assert curve.losses.std() > 0
    assert all(torch.equal(tensor, weights[name]) for name, tensor in network.state_dict().items())
    torch.testing.assert_close(optimiser_tensors(plan.optimiser), state, rtol=0, atol=0)
    assert [{name: value for name, value in group.items() if name != "params"} for group in plan.optimiser.param_groups] == groups
    torch.testing.assert_close(plan.average.tensors(), average, rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), chance)
    assert [module.training for module in network.modules()] == modes
    assert [name for name, parameter in network.named_parameters() if not parameter.requires_grad] == ["1.bias"]
    assert all(parameter.grad is None for parameter in network.parameters())


def test_training_goes_as_if_there_had_been_no_sweep_and_a_sweep_can_be_repeated() -> None:
    plain, swept = make_network(), make_network()
    finetune(plain, make_plan(plain), Points(), None)
    plan = make_plan(swept)
    first, second = (sweep(swept, plan, Points()) for _ in range(2))
    np.testing.assert_array_equal(first.losses, second.losses)
    finetune(swept, plan, Points(), None)
    assert same(plain, swept)


def test_the_ratio_between_depths_stays_and_the_rates_rise_by_equal_factors() -> None:
    network = make_network()
    stages = [list(network[1].named_parameters("low")), list(network[5].named_parameters("head"))]  # type: ignore[index]
    optimiser = make_optimiser("sgd", depth_groups(stages, [1e-5, 1e-3]))
    seen: list[dict[float, float]] = []
    optimiser.register_step_pre_hook(lambda *_: seen.append({group["initial_lr"]: group["lr"] for group in optimiser.param_groups}))
    plan = make_plan(network)
    plan.optimiser = optimiser
    curve = sweep(network, plan, Points())
    assert curve.usual == 1e-3
    np.testing.assert_allclose(curve.rates[:5], RATES[:5])
    np.testing.assert_allclose([rates[1e-3] for rates in seen], curve.rates[: len(seen)])
    np.testing.assert_allclose([rates[1e-3] / rates[1e-5] for rates in seen], 100)


def test_each_point_is_a_step_of_the_optimiser() -> None:
    class Counted(Points):
        batches_seen = 0
        closed = False

        def epoch(self, number: int) -> Iterator[Batch]:
            try:
                for batch in super().epoch(number):
                    self.batches_seen += 1
                    yield batch
            finally:
                self.closed = True

    network, training, heard = make_network(), Counted(), Listener()
    curve = sweep(network, make_plan(network, accumulate=3), training, seconds_per_batch=2, console=heard)
    assert training.batches_seen == 3 * len(curve.losses)
    assert training.closed
    assert heard.said == ["Looking for a learning rate: at most 100 steps at rising rates, about 10.0 min"]


def test_a_loss_that_is_lost_ends_the_sweep_or_forbids_it() -> None:
    def lost_after(steps: int) -> Callable[[Tensor, Tensor], Tensor]:
        calls = iter(range(STEPS))
        return lambda logits, targets: logits.sum(1) * 0 + (1.0 if next(calls) < steps else math.nan)

    network = make_network()
    curve = sweep(network, make_plan(network, loss=lost_after(30)), Points())
    assert (len(curve.rates), curve.diverged) == (31, True)
    assert math.isnan(curve.losses[-1]) and math.isnan(curve.smoothed[-1])
    with pytest.raises(RunError) as caught:
        sweep(network, make_plan(network, loss=lost_after(2)), Points())
    assert caught.value.message == (
        "Cannot look for a learning rate: the sweep at 1.5e-06. "
        "Expected a finite loss while the rate is too small to matter, got NaN or infinity."
    )
    assert caught.value.hint == "Try another --loss, or --precision fp32."


def test_the_mean_begins_without_a_bias() -> None:
    np.testing.assert_allclose(smooth(np.full(50, 0.7)), 0.7)
    np.testing.assert_allclose(smooth(np.array([1.0, 2.0, 4.0])), [1, (0.09 + 0.2) / 0.19, (0.081 + 0.18 + 0.4) / 0.271])


def made(losses: Floats, noise: float = 0.0, *, diverged: bool = False) -> Curve:
    chance = np.random.default_rng(0).normal(0, noise, len(losses)) if noise else 0.0
    return Curve(USUAL, RATES[: len(losses)], losses + chance, diverged)


def course(*corners: tuple[float, float]) -> Floats:
    """Losses along straight lines between (rate, loss) on a logarithmic axis of rates."""
    rates, losses = zip(*corners, strict=True)
    return np.asarray(np.interp(np.log(RATES), np.log(rates), losses), np.float64)


FALLS = course((1e-5, 2.3), (1e-2, 0.5), (1e-1, 0.6), (1, 2.3), (10, 9.0))
RISES = course((1e-2, 0.3), (1e-1, 0.6), (1, 1.2))
FLAT = np.full(STEPS, 0.3)


@pytest.mark.parametrize("noise", [0, 0.02, 0.1])
def test_a_fall_suggests_its_middle(noise: float) -> None:
    found = suggest(made(FALLS, noise))
    assert found.kind == "fall"
    assert 1e-4 < found.rate < 1e-2
    assert found.why == "the middle of the fall of the loss"


def test_a_fall_that_only_chance_made_is_none() -> None:
    dips = course((1e-4, 0.30), (1e-2, 0.29), (1e-1, 0.30))
    assert suggest(made(dips, 0.05)).kind == "flat"
    assert suggest(made(dips)).kind == "flat"  # without noise, but of 3 %
    assert suggest(made(course((1e-4, 0.30), (1e-2, 0.20), (1e-1, 0.30)), 0.01)).kind == "fall"


@pytest.mark.parametrize("noise", [0, 0.02])
def test_a_loss_that_only_rises_suggests_a_tenth_of_where_that_begins(noise: float) -> None:
    found = suggest(made(RISES, noise))
    assert found.kind == "rise"
    assert 5e-4 < found.rate < 5e-3
    assert found.why == "no rate lowers the loss clearly; a tenth of the rate at which it begins to rise"


def test_a_loss_that_is_lost_at_once_counts_as_a_rise() -> None:
    lost = FLAT[:60].copy()
    lost[-1] = math.nan
    assert suggest(made(lost, diverged=True)) == Suggestion(float(f"{RATES[59] / 10:.2g}"), "rise")
    at_once = FLAT[: SETTLE + 1].copy()
    at_once[-1] = math.inf
    assert suggest(made(at_once, diverged=True)) == Suggestion(float(f"{RATES[SETTLE] / 10:.2g}"), "rise")


@pytest.mark.parametrize("noise", [0, 0.02, 0.2])
def test_a_flat_loss_suggests_the_usual_rate(noise: float) -> None:
    found = suggest(made(FLAT, noise))
    assert (found.kind, found.rate) == ("flat", USUAL)
    assert found.why == "no rate changes the loss clearly; the usual rate"


def test_a_bump_is_no_rise() -> None:
    assert suggest(made(course((1e-4, 0.3), (1e-3, 0.6), (1e-2, 0.3)))).kind == "flat"


def test_losses_below_zero_are_losses_too() -> None:
    assert suggest(made(FALLS - 3)).kind == "fall"
    assert not lr_find._has_diverged(list(FALLS[:50] - 3))
    assert lr_find._has_diverged([*(FALLS[:50] - 3), 200.0])


def test_a_loss_near_zero_does_not_diverge_by_chance() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        losses = rng.exponential(0.02, STEPS)
        assert not any(lr_find._has_diverged(list(losses[:n])) for n in range(1, STEPS + 1))
